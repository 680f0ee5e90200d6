from math import log

import pytest
import torch

from groundglass.losses.adversarial import adversarial_loss, discriminator_loss, refined_labels

OUTPUTS = (3, 4, 8)


def logits_of(*confidence):
    return torch.tensor(confidence).logit().view(1, 1, 1, -1)


def test_eq_12_by_hand():
    assert adversarial_loss(logits_of(0.5, 0.25)).item() == pytest.approx((log(2) + log(4)) / 2)


def test_eq_14_by_hand_and_unknown_pixels_count_for_neither():
    """Predictions at 0.5 and, unknown, 0.75: log 2 alone; labels at 0.8 and, unknown, 0.1: log 1.25 alone."""
    known = torch.tensor([[[True, False]]])
    fake, real = discriminator_loss(logits_of(0.5, 0.75), logits_of(0.8, 0.1), known)
    assert fake.item() == pytest.approx(log(2))
    assert real.item() == pytest.approx(log(1.25))
    assert discriminator_loss(logits_of(0.5, 0.75), logits_of(0.8, 0.1), known & False) == (0, 0)


def test_padding_is_not_to_deceive_and_has_no_pseudo_label():
    shown = torch.tensor([[[True, False]]])
    assert adversarial_loss(logits_of(0.5, 0.25), shown).item() == pytest.approx(log(2))
    assert refined_labels(torch.zeros(1, 3, 1, 2), logits_of(0.9, 0.9), OUTPUTS, 0.2, shown).tolist() == [[[3, 15]]]


def test_eq_13_by_hand():
    """Confidence above T, and exactly T, which is not above it."""
    logits = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]).view(1, 3, 1, 3)
    confidence = torch.tensor([1.0, 0.0, -2.0]).view(1, 1, 1, 3)  # 0.73, 0.5, 0.12
    found = refined_labels(logits, confidence, OUTPUTS, 0.2)
    assert found.dtype == torch.uint8
    assert found.flatten().tolist() == [4, 3, 15]
    assert refined_labels(logits, confidence, OUTPUTS, 0.5).flatten().tolist() == [4, 15, 15]


def test_losses_are_finite_where_the_discriminator_is_certain_and_float32_under_autocast():
    sure = torch.tensor([-200.0, 200.0]).view(1, 1, 1, 2)
    assert adversarial_loss(sure).item() == pytest.approx(100)
    with torch.autocast("cpu", torch.bfloat16):
        fake, real = discriminator_loss(sure.bfloat16(), sure.bfloat16(), torch.ones(1, 1, 2, dtype=torch.bool))
    assert (fake.dtype, real.dtype) == (torch.float32, torch.float32)
    assert (fake.item(), real.item()) == (pytest.approx(100), pytest.approx(100))

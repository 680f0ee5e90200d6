from math import log

import pytest
import torch

from groundglass.losses.entropy import entropy


def test_by_hand():
    """1 / log 4 (1/2 log 2 + 2 (1/4 log 4)) = 1/4 + 1/2."""
    logits = torch.tensor([0.5, 0.25, 0.25, 1e-30]).log().view(1, 4, 1, 1)
    assert entropy(logits).item() == pytest.approx(0.75)


def test_is_1_where_all_are_alike_and_0_where_one_is_certain_with_a_finite_gradient():
    logits = torch.tensor([[0.0, 200.0], [0.0, 0.0], [0.0, 0.0]]).view(1, 3, 1, 2).requires_grad_()
    found = entropy(logits)
    assert found.shape == (1, 1, 2)
    assert found.flatten().tolist() == pytest.approx([1, 0])
    found.sum().backward()
    assert logits.grad.isfinite().all()


def test_its_gradient_under_autocast_is_that_of_float32():
    logits = (3 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))).bfloat16()
    slopes = []
    for enabled in (False, True):
        seen = (logits if enabled else logits.float()).clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = entropy(seen).mean()
        assert loss.dtype == torch.float32
        loss.backward()
        slopes.append(seen.grad.float())
    torch.testing.assert_close(slopes[1], slopes[0], rtol=2**-8, atol=1e-12)


def test_agrees_with_torchs_own_in_nats():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    theirs = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()
    torch.testing.assert_close(entropy(logits) * log(3), theirs)

from math import log

import pytest
import torch

from groundglass.losses.focal import binary_cross_entropy, focal_loss


def pixel(*logits):
    return torch.tensor(logits).view(1, -1, 1, 1)


def sets(value):
    return torch.full((1, 1, 1), value, dtype=torch.uint8)


def test_eq_6_by_hand():
    """Of sigmoids 3/4, 1/2 and 1/4 the true one is the first: -(log 3/4 + log 1/2 + log 3/4) / 3."""
    loss = binary_cross_entropy(pixel(log(3), 0.0, -log(3)), sets(3), (3, 4, 8))
    assert loss.item() == pytest.approx(-(2 * log(0.75) + log(0.5)) / 3)


def test_eq_7_by_hand():
    """p_t is 3/4, 1/2 and 3/4: each log weighs (1/4)^2, (1/2)^2, (1/4)^2, and alpha 2 doubles all."""
    logits = pixel(log(3), 0.0, -log(3))
    expected = -(2 * log(0.75) / 16 + log(0.5) / 4) / 3
    assert focal_loss(logits, sets(3), (3, 4, 8)).item() == pytest.approx(expected)
    assert focal_loss(logits, sets(3), (3, 4, 8), alpha=2.0).item() == pytest.approx(2 * expected)


def test_gamma_0_is_binary_cross_entropy():
    logits = pixel(0.3, -2.0, 5.0)
    assert focal_loss(logits, sets(8), (3, 4, 8), gamma=0.0) == binary_cross_entropy(logits, sets(8), (3, 4, 8))


def test_of_a_set_only_channels_whose_answer_it_tells_count():
    """ "Infection" says no to background or lung, and of ground glass and consolidation nothing."""
    logits = pixel(log(3), 7.0, -9.0)
    assert binary_cross_entropy(logits, sets(12), (3, 4, 8)).item() == pytest.approx(-log(0.25))
    assert focal_loss(logits, sets(12), (3, 4, 8)).item() == pytest.approx(-(0.75**2) * log(0.25))


@pytest.mark.parametrize("loss", [binary_cross_entropy, focal_loss])
def test_where_nothing_is_known_loss_and_gradient_are_0(loss):
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    answer = loss(logits, torch.full((1, 4, 4), 15, dtype=torch.uint8), (3, 4, 8))
    answer.backward()
    assert answer == 0
    assert not logits.grad.any()


def test_a_sure_and_wrong_answer_has_a_finite_loss_and_a_gradient_of_1():
    logits = pixel(-200.0).requires_grad_()
    loss = focal_loss(logits, sets(4), (4,))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad.item() == pytest.approx(-1)

from itertools import pairwise
from math import log

import pytest
import torch

from groundglass.losses.label_set import cross_entropy
from groundglass.losses.proportions import label_shares, predicted_shares, proportions_loss, within

OUTPUTS = (3, 4, 8)


def logits_of(*pixels):
    """Of probabilities of three classes for each pixel of one row: (1, 3, 1, N)."""
    return torch.tensor(pixels).log().T[None, :, None]


def sets_of(*values):
    return torch.tensor([[values]], dtype=torch.uint8).view(1, 1, -1)


FOUR = logits_of((0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.2, 0.7, 0.1), (0.4, 0.2, 0.4))


def test_eq_11_by_hand():
    """Shares 1/2, 1/4, 1/4; predicted 0.5, 0.3, 0.2: 0 + 0.05^2 + 0.05^2."""
    torch.testing.assert_close(predicted_shares(FOUR.softmax(1)), torch.tensor([[0.5, 0.3, 0.2]]))
    assert proportions_loss(FOUR, sets_of(3, 3, 4, 8), OUTPUTS).item() == pytest.approx(0.005)


def test_eq_8_and_10_cross_entropy_is_conditional_entropy_and_label_marginal():
    """By hand: CE = -(log .8 + log .6 + log .7 + log .4) / 4; H(F|K) has each p divided by its class's mean."""
    p, q, y = (0.8, 0.6, 0.7, 0.4), (0.5, 0.5, 0.3, 0.2), (0.5, 0.25, 0.25)
    entropy = -sum(log(own / mean) for own, mean in zip(p, q, strict=True)) / 4  # eq. 8, first line
    marginal = -sum(a * log(b) for a, b in zip(y, (0.5, 0.3, 0.2), strict=True))  # eq. 9, to a constant
    ce = cross_entropy(FOUR, sets_of(3, 3, 4, 8), OUTPUTS).item()
    assert ce == pytest.approx(entropy + marginal, abs=1e-6)
    divergence = sum(a * log(a / b) for a, b in zip(y, (0.5, 0.3, 0.2), strict=True))
    assert marginal - divergence == pytest.approx(-sum(a * log(a) for a in y))  # the constant of eq. 9: H(y)
    assert ce == pytest.approx(entropy + divergence + 1.5 * log(2), abs=1e-6)  # H(1/2, 1/4, 1/4) = 1.5 log 2


def test_classes_that_a_pixel_ties_together_are_joined():
    """{4, 8} once: lesion 3/4 against 0.2 + 0.3, so twice 0 + ... : (1/4 - 1/2)^2 + (3/4 - 1/2)^2."""
    assert proportions_loss(FOUR, sets_of(3, 4, 8, 12), OUTPUTS).item() == pytest.approx(2 * 0.25**2)


def test_a_chain_of_ties_joins_all_and_then_nothing_is_asked():
    assert proportions_loss(FOUR, sets_of(7, 12, 4, 3), OUTPUTS).item() == pytest.approx(0, abs=1e-12)
    four = (FOUR.new_tensor([[0.4, 0.3, 0.2, 0.1]]).log().T[None, :, None]).expand(1, 4, 1, 5)
    sets = sets_of(3, 6, 12, 1, 8)  # 1 - 2 - 4 - 8 in a row
    assert proportions_loss(four, sets, (1, 2, 4, 8)).item() == pytest.approx(0, abs=1e-12)


def test_each_picture_has_its_own_ties():
    """The first joins 4 and 8, the second does not: ((1/2 - 0.7)^2 2 + 0.3^2 + 0.3^2) / 2."""
    one = logits_of((0.8, 0.1, 0.1), (0.6, 0.2, 0.2))
    both, sets = torch.cat([one, one]), torch.cat([sets_of(3, 12), sets_of(3, 3)])
    first, second = 2 * 0.2**2, 0.3**2 + 2 * 0.15**2
    assert proportions_loss(both, sets, OUTPUTS).item() == pytest.approx((first + second) / 2)


def test_unknown_pixels_are_left_out_of_both_shares():
    one = logits_of((0.8, 0.1, 0.1), (0.6, 0.2, 0.2))
    wide = torch.cat([one, torch.full((1, 3, 1, 2), 5.0)], dim=3)
    wide[:, 1, :, 2:] += 9
    expected = proportions_loss(one, sets_of(3, 8), OUTPUTS)
    torch.testing.assert_close(proportions_loss(wide, sets_of(3, 8, 15, 15), OUTPUTS), expected)


def test_a_picture_of_which_nothing_is_known_does_not_count():
    both = torch.cat([FOUR, FOUR])
    sets = torch.cat([sets_of(3, 3, 4, 8), sets_of(15, 15, 15, 15)])
    assert proportions_loss(both, sets, OUTPUTS).item() == pytest.approx(0.005)
    alone = FOUR.clone().requires_grad_()
    loss = proportions_loss(alone, sets_of(15, 15, 15, 15), OUTPUTS)
    loss.backward()
    assert loss == 0
    assert not alone.grad.any()


def test_descent_brings_the_shares_to_the_labels():
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    sets = torch.tensor([3] * 8 + [4] * 6 + [8] * 2, dtype=torch.uint8).view(1, 4, 4)
    optimiser = torch.optim.SGD([logits], lr=50.0)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = proportions_loss(logits, sets, OUTPUTS)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(b <= a for a, b in pairwise(losses[:20]))
    torch.testing.assert_close(predicted_shares(logits.softmax(1)), torch.tensor([[8, 6, 2]]) / 16, atol=0.02, rtol=0)


def test_shares_of_labels_by_hand():
    """{3} whole; {4, 8} at 0.2 and 0.4: a third and two thirds; unknown is left out."""
    shares = label_shares(FOUR.softmax(1), sets_of(3, 15, 4, 12), OUTPUTS)
    torch.testing.assert_close(shares, torch.tensor([1, 1 + 1 / 3, 2 / 3]) / 3)
    assert not label_shares(FOUR.softmax(1), sets_of(15, 15, 15, 15), OUTPUTS).any()


def test_given_its_label_a_pixel_is_of_that_class_even_where_its_probability_underflowed():
    p = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    only = torch.tensor([False, True, True]).view(1, 3, 1, 1)
    torch.testing.assert_close(within(p, only).flatten(), torch.tensor([0.0, 0.5, 0.5]))

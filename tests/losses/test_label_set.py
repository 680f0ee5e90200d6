from math import log

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from groundglass.losses.label_set import allowed, cross_entropy

TISSUES = (1, 2, 4, 8)


def pixels(*probabilities):
    """Logits (1, K, 1, n) of these probabilities."""
    return torch.tensor(probabilities).log().T[None, :, None]


def sets(*values):
    return torch.tensor([[values]], dtype=torch.uint8)


P = (0.5, 0.25, 0.125, 0.125)


@pytest.mark.parametrize(("label_set", "inside"), [(1, 0.5), (12, 0.25), (3, 0.75), (14, 0.5), (15, 1.0)])
def test_the_loss_is_minus_log_of_the_sets_probability(label_set, inside):
    assert cross_entropy(pixels(P), sets(label_set), TISSUES).item() == pytest.approx(-log(inside), abs=1e-6)


def test_soft_labels_cost_their_cross_entropy_and_count_as_much_as_they_sum_to():
    # two pixels: q = (1/2, 1/2, 0, 0), cost (log 2 + log 4) / 2; a quarter of a pixel's mass on the third, log 8 / 4
    soft = pixels((0.5, 0.5, 0, 0), (0, 0, 0.25, 0), (0, 0, 0, 0)).exp()
    loss = cross_entropy(pixels(P, P, P), sets(15, 15, 1), TISSUES, soft=soft)
    assert loss.item() == pytest.approx((1.5 * log(2) + 0.75 * log(2) + log(2)) / (1 + 0.25 + 1))
    weighed = cross_entropy(pixels(P, P, P), sets(15, 15, 1), TISSUES, weights=(1, 2, 4, 1), soft=soft)
    assert weighed.item() == pytest.approx((0.5 * log(2) + log(4) + 3 * log(2) + log(2)) / (0.5 + 1 + 1 + 1))
    logits = pixels(P).requires_grad_()
    cross_entropy(logits, sets(15), TISSUES, soft=pixels(P).exp()).backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0] * 4, abs=1e-7)  # who says so already has learnt it


def test_unknown_pixels_do_not_count_in_the_mean():
    assert cross_entropy(pixels(P, P, P), sets(12, 15, 1), TISSUES).item() == pytest.approx((log(4) + log(2)) / 2)


def test_where_nothing_is_known_the_loss_and_its_gradient_are_0():
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 3, 3), 15, dtype=torch.uint8), TISSUES)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_unknown_pixels_have_no_gradient_beside_known_ones():
    logits = pixels(P, P).requires_grad_()
    cross_entropy(logits, sets(15, 4), TISSUES).backward()
    assert (logits.grad[..., 0] == 0).all()
    assert logits.grad[0, :, 0, 1].tolist() == pytest.approx([0.5, 0.25, 0.125 - 1, 0.125])  # p - [t in S] p / p_S


def test_the_gradient_within_a_set_keeps_the_proportions_of_its_members():
    logits = pixels(P).requires_grad_()
    cross_entropy(logits, sets(3), TISSUES).backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0.5 - 2 / 3, 0.25 - 1 / 3, 0.125, 0.125])


def test_a_set_weighs_as_much_as_the_least_of_its_members():
    loss = cross_entropy(pixels(P, P), sets(12, 1), TISSUES, weights=(1, 2, 3, 4))
    assert loss.item() == pytest.approx((3 * log(4) + 1 * log(2)) / (3 + 1))


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 2.0, 4.0)])
def test_full_labels_cost_what_torch_says(weights):
    logits, codes = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    label_set = (2**codes).to(torch.uint8)
    expected = F.cross_entropy(logits, codes, None if weights is None else torch.tensor(weights))
    torch.testing.assert_close(cross_entropy(logits, label_set, TISSUES, weights), expected)


def test_a_channel_is_possible_where_its_group_and_the_set_intersect():
    assert allowed(sets(3, 2, 6, 12), (3, 4, 8))[0, :, 0].T.tolist() == [
        [True, False, False],  # {background, lung}: the first channel
        [True, False, False],  # lung: the first channel may be right, it says no finer
        [True, True, False],
        [False, True, True],
    ]


def test_labels_finer_than_a_group_cost_the_least_that_any_split_of_it_could():
    p = (0.5, 0.25, 0.25)
    assert cross_entropy(pixels(p), sets(2), (3, 4, 8)).item() == pytest.approx(-log(0.5))


def test_a_set_that_touches_every_group_says_nothing():
    p = (0.5, 0.5)
    assert cross_entropy(pixels(p, p), sets(6, 12), (3, 12)).item() == pytest.approx(log(2))


def test_a_confident_mistake_stays_finite_and_keeps_its_gradient():
    logits = torch.tensor([300.0, -300.0, 0.0, 0.0]).view(1, 4, 1, 1).requires_grad_()
    loss = cross_entropy(logits, sets(2), TISSUES)
    loss.backward()
    assert loss.item() == 600
    assert logits.grad.flatten().tolist() == [1, -1, 0, 0]


def test_the_empty_set_is_no_label():
    assert cross_entropy(pixels(P), sets(0), TISSUES).item() == torch.inf

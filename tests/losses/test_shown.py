import torch

from groundglass.batches import Labelled, Unlabelled, shown_in
from groundglass.losses.shares import share_divergence
from groundglass.losses.shown import mean_of_shown, means_of_shown

VALUES = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
LEFT = torch.tensor([[[True, False], [True, False]], [[True, True], [False, False]]])


def test_means_by_hand():
    """Of 1, 3 and 5, 6; of each picture 2 and 5.5; of nothing 0."""
    assert mean_of_shown(VALUES, LEFT) == 15 / 4
    assert means_of_shown(VALUES, LEFT).tolist() == [2.0, 5.5]
    assert mean_of_shown(VALUES, torch.zeros_like(LEFT)) == 0
    assert means_of_shown(VALUES, torch.zeros_like(LEFT)).tolist() == [0.0, 0.0]


def test_without_a_mask_everything_is_shown():
    assert mean_of_shown(VALUES, None) == VALUES.mean()
    assert torch.equal(means_of_shown(VALUES, None), VALUES.mean(dim=(1, 2)))


def test_what_is_hidden_has_no_gradient():
    values = VALUES.clone().requires_grad_()
    mean_of_shown(values, LEFT).backward()
    assert torch.equal(values.grad, LEFT / 4)


def test_batches_one_after_the_other():
    image = torch.zeros(2, 1, 2, 2)
    bare = Unlabelled(image, shown=LEFT)
    whole = Labelled(image, torch.full((2, 2, 2), 15, dtype=torch.uint8))
    assert shown_in(whole, None) is None
    assert torch.equal(shown_in(whole, bare), torch.cat([torch.ones_like(LEFT), LEFT]))
    assert torch.equal(shown_in(bare), LEFT)


def test_shares_of_what_is_shown():
    """One class in the left column, the other in the right: of the left alone, half and half costs log 2."""
    logits = torch.tensor([[[[99.0, 0.0]], [[0.0, 99.0]]]])
    half = torch.tensor([0.5, 0.5])
    assert share_divergence(logits, half).abs() < 1e-6
    assert share_divergence(logits, torch.tensor([1.0, 0.0]), torch.tensor([[[True, False]]])).abs() < 1e-6
    assert share_divergence(logits, half, torch.zeros(1, 1, 2, dtype=torch.bool)) == 0

import pytest
import torch

from groundglass.losses.label_set import cross_entropy
from groundglass.losses.pseudo_labels import answered, confident, pseudo_cross_entropy

OUTPUTS = (3, 4, 8)


def logits_of(*pixels):
    """Logits (1, K, 1, W) of pixels' probabilities."""
    return torch.tensor(pixels).log().T.view(1, len(pixels[0]), 1, len(pixels))


def test_the_most_probable_group_where_it_is_trusted():
    logits = logits_of((0.5, 0.3, 0.2), (0.1, 0.6, 0.3), (0.2, 0.2, 0.6))
    assert answered(logits, OUTPUTS).tolist() == [[[3, 4, 8]]]
    assert answered(logits, OUTPUTS, torch.tensor([[[True, False, True]]])).tolist() == [[[3, 15, 8]]]
    assert answered(logits, OUTPUTS).dtype == torch.uint8


def test_a_pixel_is_believed_from_the_threshold_on():
    logits = torch.tensor([0.0, 1.0, 2.0]).view(1, 1, 1, 3) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    largest = logits.softmax(dim=1).amax()
    assert confident(logits, (3, 12), 0.6).tolist() == [[[15, 3, 3]]]  # 0.5, 0.731, 0.881
    assert confident(logits, (3, 12), float(largest)).tolist() == [[[15, 15, 3]]]
    assert confident(logits, (3, 12), 0.0).tolist() == [[[3, 3, 3]]]


def test_pixels_that_are_not_believed_count_in_the_mean():
    """Two of four pixels are known, at p = 1/2 and 1/4: (log 2 + log 4) / 4; over known pixels it is twice that."""
    logits = logits_of((0.5, 0.25, 0.25), (0.5, 0.25, 0.25), (0.1, 0.1, 0.8), (0.2, 0.2, 0.6))
    sets = torch.tensor([[[3, 8, 15, 15]]], dtype=torch.uint8)
    assert pseudo_cross_entropy(logits, sets, OUTPUTS).item() == pytest.approx(3 * 0.693147 / 4)
    assert cross_entropy(logits, sets, OUTPUTS).item() == pytest.approx(3 * 0.693147 / 2)


def test_where_nothing_is_believed_it_is_0_with_a_gradient_of_0():
    logits = torch.rand(1, 3, 2, 2).requires_grad_()
    loss = pseudo_cross_entropy(logits, torch.full((1, 2, 2), 15, dtype=torch.uint8), OUTPUTS)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()

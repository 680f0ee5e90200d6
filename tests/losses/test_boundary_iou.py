from math import log

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.losses.boundary_iou import boundary_iou, boundary_weight


def test_the_weight_by_hand():
    """One pixel in a large picture: it differs from its mean, 1 / 961, by 960 / 961; its neighbours by 1 / 961."""
    mask = torch.zeros(1, 64, 64)
    mask[0, 32, 32] = 1
    weight = boundary_weight(mask)[0]
    assert weight[32, 32].item() == pytest.approx(1 + 5 * 960 / 961)
    assert weight[32 + 15, 32 - 15].item() == pytest.approx(1 + 5 / 961)
    assert weight[32 + 16, 32].item() == 1


def test_far_inside_the_weight_is_1_and_at_the_pictures_edge_it_is_not():
    """Beyond the picture is no infection: in a corner 16 x 16 of 31 x 31 pixels are in it."""
    weight = boundary_weight(torch.ones(1, 64, 64))[0]
    assert weight[32, 32].item() == 1
    assert weight[0, 0].item() == pytest.approx(1 + 5 * (1 - 256 / 961))


def probability(p):
    return torch.tensor([0.0, log(p / (1 - p))]).view(1, 2, 1, 1).expand(1, 2, 1, 2)


def test_the_loss_by_hand():
    """p = 1/4 on a pixel inside and one outside; the weights are 1 + 5 (1 - 1/961) and 1 + 5/961."""
    inside, outside = 1 + 5 * 960 / 961, 1 + 5 / 961
    sets = torch.tensor([[[12, 3]]], dtype=torch.uint8)
    both, either = inside / 4, inside + outside / 4
    assert boundary_iou(probability(0.25), sets, (3, 12)).item() == pytest.approx(1 - (both + 1) / (either + 1))


def test_unknown_pixels_are_left_out_and_a_batch_is_a_mean_of_pictures():
    inside, nothing = torch.tensor([[[12, 15]]], dtype=torch.uint8), torch.tensor([[[15, 15]]], dtype=torch.uint8)
    weight = 1 + 5 * 960 / 961
    alone = 1 - (weight / 4 + 1) / (weight + 1)
    assert boundary_iou(probability(0.25), inside, (3, 12)).item() == pytest.approx(alone)
    assert boundary_iou(probability(0.25), nothing, (3, 12)).item() == 0
    both = boundary_iou(probability(0.25).expand(2, 2, 1, 2), torch.cat([inside, nothing]), (3, 12))
    assert both.item() == pytest.approx(alone / 2)


def test_outputs_that_cannot_answer_are_refused():
    with pytest.raises(UsageError, match="do not tell infection"):
        boundary_iou(probability(0.5), torch.full((1, 1, 2), 3, dtype=torch.uint8), (7, 8))

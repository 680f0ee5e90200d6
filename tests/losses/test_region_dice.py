import pytest
import torch

from groundglass.labels import Region
from groundglass.losses.region_dice import region_dice

INFECTION = (3, 12)


def batch(*samples):
    """Logits (B, 2, 1, n) and label sets (B, 1, n) of samples of pixels (p of infection, label set)."""
    p = torch.tensor([[pixel[0] for pixel in sample] for sample in samples])
    sets = torch.tensor([[pixel[1] for pixel in sample] for sample in samples], dtype=torch.uint8)
    return torch.stack([1 - p, p], dim=1).log().unsqueeze(2), sets.unsqueeze(1)


def dice(logits, sets, outputs=INFECTION, region=Region.INFECTION):
    return region_dice(logits, sets, outputs, [region])[region].item()


def test_one_pixel_in_and_one_out():
    assert dice(*batch([(0.75, 12), (0.25, 3)])) == pytest.approx(1 - 2 * 0.75 / (1 + 1))


def test_unknown_pixels_are_left_out():
    assert dice(*batch([(0.75, 4), (0.25, 1), (0.9, 15), (0.9, 6)])) == pytest.approx(0.25)


def test_sums_are_pooled_over_the_batch():
    """A sample without a positive counts below the line: 1 - 2 * 0.5 / (0.5 + 0.5 + 0.5 + 0.5 + 1)."""
    assert dice(*batch([(0.5, 12), (0.5, 3)], [(0.5, 3), (0.5, 3)])) == pytest.approx(1 - 1 / 3)


def test_by_slice_it_is_the_mean_over_slices_that_have_some():
    """Pooled, 1 - 2 * (0.5 + 1 + 1) / (0.5 + 0.5 + 1 + 1 + 0.5 + 1 + 2); by slice the third one says nothing."""
    logits, sets = batch([(0.5, 12), (0.5, 3)], [(1.0 - 1e-7, 12), (1.0 - 1e-7, 12)], [(0.5, 3), (1e-7, 3)])
    assert dice(logits, sets) == pytest.approx(1 - 5 / 6.5, abs=1e-5)
    found = region_dice(logits, sets, INFECTION, [Region.INFECTION], by_slice=True)
    assert found[Region.INFECTION].item() == pytest.approx((1 - 2 * 0.5 / 2 + 0) / 2, abs=1e-5)


def test_the_probability_of_a_region_is_the_sum_over_its_tissues():
    logits = torch.tensor([0.2, 0.2, 0.25, 0.35]).log().view(1, 4, 1, 1)
    sets = torch.tensor([[[12]]], dtype=torch.uint8)
    assert dice(logits, sets, (1, 2, 4, 8)) == pytest.approx(1 - 2 * 0.6 / 1.6)


def test_a_region_is_absent_where_the_batch_has_none_of_it():
    logits, sets = batch([(0.5, 3), (0.5, 15)])
    assert region_dice(logits, sets, INFECTION) == {}


def test_a_region_that_the_channels_cannot_answer_is_absent():
    logits, sets = batch([(0.5, 4), (0.5, 3)])
    assert set(region_dice(logits, sets, INFECTION)) == {Region.INFECTION}


def test_infection_as_one_class_says_nothing_of_ground_glass():
    logits = torch.zeros(1, 4, 1, 2)
    sets = torch.tensor([[[12, 3]]], dtype=torch.uint8)
    assert set(region_dice(logits, sets, (1, 2, 4, 8))) == {Region.LUNG_FIELD, Region.INFECTION}


def test_a_perfect_answer_costs_nothing():
    logits = torch.tensor([[[[-50.0, 50.0]], [[50.0, -50.0]]]])
    assert dice(logits, torch.tensor([[[12, 3]]], dtype=torch.uint8)) == pytest.approx(0)

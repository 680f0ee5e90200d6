import math
from dataclasses import replace

import numpy as np
import pytest

from groundglass.evaluation.burden import measure, saturate, six_zone_points
from groundglass.labels import Region
from groundglass.scan import Scan, Source

AFFINE = np.diag([-10.0, -10.0, 10.0, 1.0])  # a voxel is 1 mL


def case(codes, sides, hu=-800, **source):
    codes, sides = np.array(codes, np.uint8), np.array(sides, np.uint8)
    values = np.broadcast_to(np.array(hu, np.int16), codes.shape).copy()
    return measure(Scan(values, AFFINE, replace(Source(), **source)), codes, sides)


def column(codes, sides):
    """One voxel a slice, feet to head."""
    return case(np.reshape(codes, (-1, 1, 1)), np.reshape(sides, (-1, 1, 1)))


def test_volumes_percentages_and_mean_hu_by_hand():
    # four voxels of 1 mL: lung -800, lung -900, ground glass -600, consolidation 0
    burden = case([[[1, 1, 2, 3]]], [[[1, 1, 1, 1]]], hu=[-800, -900, -600, 0])
    amounts = burden.zones[0].amounts
    assert amounts[Region.LUNG_FIELD].volume_ml == pytest.approx(4)
    assert amounts[Region.LUNG_FIELD].mean_hu == pytest.approx(-575)
    assert amounts[Region.INFECTION].percent_of_lung == pytest.approx(50)
    assert amounts[Region.INFECTION].mean_hu == pytest.approx(-300)
    assert amounts[Region.GROUND_GLASS].volume_ml == pytest.approx(1)
    assert amounts[Region.CONSOLIDATION].mean_hu == pytest.approx(0)
    assert burden.opacity_percent == pytest.approx(50)


def test_right_and_left_add_up_to_both():
    burden = case([[[1, 2, 0, 1, 3, 3]]], [[[1, 1, 0, 2, 2, 2]]])
    right, left, both = (burden.zone(side).amounts[Region.INFECTION] for side in ("right", "left", "both"))
    assert (right.voxels, left.voxels, both.voxels) == (1, 2, 3)
    assert right.percent_of_lung == pytest.approx(50)
    assert left.percent_of_lung == pytest.approx(200 / 3)


def test_thirds_are_of_each_lungs_own_height():
    # slices 0 to 8; the right lung has slices 2 to 7: thirds 2-3, 4-5, 6-7
    burden = column([0, 0, 2, 1, 1, 1, 1, 3, 0], [0, 0, 1, 1, 1, 1, 1, 1, 0])
    extents = {third: burden.zone("right", third) for third in ("lower", "middle", "upper")}
    assert [(z.first_slice, z.last_slice) for z in extents.values()] == [(2, 3), (4, 5), (6, 7)]
    assert extents["lower"].amounts[Region.GROUND_GLASS].percent_of_lung == pytest.approx(50)
    assert extents["middle"].amounts[Region.INFECTION].voxels == 0
    assert extents["upper"].amounts[Region.CONSOLIDATION].percent_of_lung == pytest.approx(50)


@pytest.mark.parametrize(
    ("percent", "points"),
    [(0, 0), (0.01, 1), (24.99, 1), (25, 2), (49.99, 2), (50, 3), (74.99, 3), (75, 4), (100, 4)],
)
def test_points_of_a_zone(percent, points):
    assert six_zone_points(percent) == points


def test_the_six_zone_score_is_the_sum_over_both_lungs():
    codes = np.ones((3, 1, 8), np.uint8)
    codes[0, 0, :4] = 2  # right lower: all of it, 4 points
    codes[1, 0, :2] = 3  # right middle: half, 3
    codes[2, 0, :1] = 2  # right upper: a quarter, 2
    codes[0, 0, 4] = 2  # left lower: a quarter, 2
    burden = case(codes, np.tile([1, 1, 1, 1, 2, 2, 2, 2], (3, 1, 1)))
    assert burden.six_zone_score == 11
    assert burden.six_zone_points["right", "lower"] == 4
    assert burden.six_zone_points["left", "upper"] == 0


def test_where_the_scan_cuts_the_lungs_off_there_is_no_six_zone_score():
    whole = np.ones((12, 1, 2), np.uint8)
    whole[0] = whole[-1] = 0
    assert case(whole, whole * [1, 2]).six_zone_score == 0
    for gone in (0, -1):
        cut = np.delete(whole, gone, axis=0)
        assert case(cut, cut * [1, 2]).six_zone_score is None
        assert case(cut, cut * [1, 2], format="image").six_zone_score == 0
        assert case(cut, cut * [1, 2]).zone("left", "upper").amounts[Region.LUNG_FIELD].voxels
    hu = np.full((12, 1, 2), -800)
    hu[1:11, 0, 1] = -700
    assert case(whole, whole * [1, 2], hu=hu).six_zone_score is None  # the ends are blank and count as not there


def test_without_a_left_lung_there_is_no_six_zone_score():
    burden = column([1, 1, 1], [1, 1, 1])
    assert burden.six_zone_score is None
    assert burden.six_zone_points == {}
    assert burden.zone("left").amounts[Region.LUNG_FIELD].voxels == 0
    assert burden.zone("left").amounts[Region.INFECTION].percent_of_lung is None


def test_lesions_that_touch_by_a_corner_are_one():
    codes = np.ones((4, 4, 4), np.uint8)
    codes[0, 0, 0] = codes[1, 1, 1] = 2
    codes[3, 3, 3] = 3
    burden = case(codes, np.ones_like(codes))
    assert burden.lesion_count == 2
    assert burden.largest_lesion_ml == pytest.approx(2)


def test_scores_of_slices_rank_them_by_infected_area():
    codes = np.ones((3, 1, 100), np.uint8)
    codes[1, 0, 0] = 2  # 1 % of the largest slice
    codes[2, 0, :3] = 3
    burden = case(codes, np.ones_like(codes))
    assert burden.slice_scores == pytest.approx((0, 1 - math.exp(-1), 1 - math.exp(-3)))
    assert burden.case_score == pytest.approx(1 - math.exp(-4 / 3))


def test_saturation_by_hand():
    assert saturate(0) == 0
    assert saturate(1) == pytest.approx(0.632, abs=1e-3)
    assert saturate(100) == pytest.approx(1)


def test_without_lung_nothing_is_made_up():
    burden = column([0, 0, 0], [0, 0, 0])
    assert burden.opacity_percent is None
    assert burden.case_score is None
    assert burden.largest_lesion_ml is None
    assert burden.zones[0].amounts[Region.LUNG_FIELD].mean_hu is None
    assert burden.slice_scores == (0, 0, 0)
    assert (burden.zones[0].first_slice, burden.zones[0].last_slice) == (None, None)


def test_without_a_voxel_size_there_are_percentages_but_no_millilitres():
    burden = case([[[1, 2]]], [[[1, 1]]], spacing_known=False)
    assert burden.zones[0].amounts[Region.INFECTION].volume_ml is None
    assert burden.largest_lesion_ml is None
    assert burden.opacity_percent == pytest.approx(50)


def test_without_known_sides_there_is_no_left_and_right():
    burden = case([[[1, 2]]], [[[1, 2]]], sides_known=False)
    assert [zone.side for zone in burden.zones] == ["both"]
    assert burden.six_zone_score is None


def test_fewer_than_three_slices_have_no_thirds():
    assert {zone.third for zone in column([1, 2], [1, 1]).zones} == {"all"}

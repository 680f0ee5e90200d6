import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from groundglass.errors import LabelError
from groundglass.evaluation.surface import SurfaceDistances, average_surface_distance, hausdorff_95, surface_dice
from tests.evaluation.golden.inputs import PAIRS, TOLERANCES_MM, box, point

ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))
EMPTY = np.zeros((4, 4), bool)


def test_a_surface_is_what_has_a_face_outside():
    # a 3 x 3 square: 8 pixels around 1; the point in its middle is 1 (4 times) or sqrt 2 (4 times) away
    square, middle = box((5, 5), (1, 4), (1, 4)), point((5, 5), 2, 2)
    distances = SurfaceDistances.between(square, middle, (1.0, 1.0))
    assert sorted(distances.found_to_true_mm) == pytest.approx([1] * 4 + [math.sqrt(2)] * 4)
    assert distances.true_to_found_mm == pytest.approx([1])
    assert distances.average() == pytest.approx((5 + 4 * math.sqrt(2)) / 9)


def test_a_mask_at_the_border_has_a_surface_there():
    # of a full 3 x 3 image all but the middle is surface, of a full 3 x 5 one 12 of 15
    full = np.ones((3, 3), bool)
    assert len(SurfaceDistances.between(full, full, (1.0, 1.0)).found_to_true_mm) == 8
    full = np.ones((3, 5), bool)
    assert len(SurfaceDistances.between(full, full, (1.0, 1.0)).found_to_true_mm) == 12


def test_hausdorff_95_is_the_greater_direction_by_linear_interpolation():
    # a line of 21 pixels against its first: 0 to 20 mm one way, whose 95 % is 19 mm, and 0 the other
    line, first = np.ones((1, 21), bool), point((1, 21), 0, 0)
    assert hausdorff_95(line, first, (1.0, 1.0)) == pytest.approx(19)
    assert hausdorff_95(first, line, (1.0, 1.0)) == pytest.approx(19)
    assert hausdorff_95(line, first, (9.0, 0.5)) == pytest.approx(9.5)


def test_surface_dice_by_hand():
    # 0, 1, ... 4 mm one way and 0 the other: within 1 mm are 2 of 5, and 1 of 1
    line, first = np.ones((1, 5), bool), point((1, 5), 0, 0)
    assert surface_dice(line, first, (1.0, 1.0), 1.0) == pytest.approx(3 / 6)
    assert surface_dice(line, first, (1.0, 1.0), 0.0) == pytest.approx(2 / 6)


def test_a_tolerance_of_whole_voxels_takes_them_whatever_rounding_says():
    ends = point((1, 9), 0, 5), point((1, 9), 0, 8)
    assert surface_dice(*ends, (1.0, 0.7), 2.1) == 1
    assert surface_dice(*ends, (1.0, 0.7), 2.09) == 0


@pytest.mark.parametrize("metric", [hausdorff_95, average_surface_distance])
def test_without_a_surface_there_is_no_distance(metric):
    some = point((4, 4), 1, 1)
    assert metric(EMPTY, EMPTY, (1.0, 1.0)) is None
    assert metric(some, EMPTY, (1.0, 1.0)) is None
    assert metric(EMPTY, some, (1.0, 1.0)) is None


def test_surface_dice_of_a_missing_surface_is_0_and_of_none_at_all_is_none():
    some = point((4, 4), 1, 1)
    assert surface_dice(some, EMPTY, (1.0, 1.0), 100.0) == 0
    assert surface_dice(EMPTY, some, (1.0, 1.0), 100.0) == 0
    assert surface_dice(EMPTY, EMPTY, (1.0, 1.0), 100.0) is None


def test_where_a_mask_meets_the_unknown_is_no_surface():
    # a bar over columns 1 to 4 and 3 rows high, in an image whose column 4 and beyond nobody knows:
    # columns 1 to 3 are left, and of these all but the middle row's second and third are surface
    bar = box((5, 7), (1, 4), (1, 5))
    known = box((5, 7), (0, 5), (0, 4))
    distances = SurfaceDistances.between(bar, bar, (1.0, 1.0), known)
    assert len(distances.found_to_true_mm) == 9 - 2
    turned = SurfaceDistances.between(bar[:, ::-1], bar[:, ::-1], (1.0, 1.0), known[:, ::-1])
    assert len(turned.found_to_true_mm) == 9 - 2
    # a second blob in the unknown changes nothing
    other = SurfaceDistances.between(bar | point((5, 7), 0, 6), bar, (1.0, 1.0), known)
    np.testing.assert_array_equal(other.found_to_true_mm, distances.found_to_true_mm)
    assert hausdorff_95(bar, bar, (1.0, 1.0), np.zeros((5, 7), bool)) is None


@pytest.mark.parametrize("name", PAIRS)
def test_as_monai_has_it(name):
    found, true, spacing = PAIRS[name]
    expected = ANSWERS["monai"][name]
    assert hausdorff_95(found, true, spacing) == pytest.approx(expected["hausdorff_95"], rel=1e-6)
    assert average_surface_distance(found, true, spacing) == pytest.approx(expected["average"], rel=1e-6)
    distances = SurfaceDistances.between(found, true, spacing)
    assert [distances.dice(mm) for mm in TOLERANCES_MM] == pytest.approx(expected["dice"], abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_surface_elements_differ_by_no_more_than_a_voxels_diagonal(name):
    found, true, spacing = PAIRS[name]
    difference = hausdorff_95(found, true, spacing) - ANSWERS["deepmind"][name]["hausdorff_95"]
    assert abs(difference) <= math.hypot(*spacing)


@pytest.mark.parametrize("name", PAIRS)
def test_distances_as_a_distance_transform_of_the_whole_array_has_them(name):
    found, true, spacing = PAIRS[name]
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (found, true)]
    maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    distances = SurfaceDistances.between(found, true, spacing)
    np.testing.assert_allclose(distances.found_to_true_mm, maps[1][edges[0]], atol=1e-12)
    np.testing.assert_allclose(distances.true_to_found_mm, maps[0][edges[1]], atol=1e-12)


def test_other_shapes_and_spacings_are_refused():
    with pytest.raises(LabelError, match=r"\(4, 4\), \(1, 4\)"):
        hausdorff_95(EMPTY, np.zeros((1, 4), bool), (1.0, 1.0))
    with pytest.raises(LabelError, match="3 spacings for masks of 2"):
        hausdorff_95(EMPTY, EMPTY, (1.0, 1.0, 1.0))

import json
import math
from pathlib import Path

import numpy as np
import pytest

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.curves import adaptive_threshold
from groundglass.evaluation.structure import (
    balanced_absolute_error,
    e_measure,
    e_measure_curve,
    mean_absolute_error,
    s_measure,
)
from tests.evaluation.golden.inputs import MAPS, SAMPLED, point

ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))
HALF = np.array([[1, 1], [0, 0]], bool)
NOT_EMPTY = [name for name, (_, truth) in MAPS.items() if truth.any()]


def test_s_measure_by_hand():
    # truth: upper row of 2 x 2, map 0.5 everywhere. Objects: m = 0.5, sigma = 0: 1 / 1.25 = 0.8 on both sides.
    # The centroid is (row 1, column 1.5 -> 2) from 1: the upper and the lower row are the parts, both constant
    # in map and truth, so numerator and denominator are 0 and SSIM 1
    assert s_measure(np.full((2, 2), 0.5), HALF) == pytest.approx(0.5 * 0.8 + 0.5 * 1)


def test_the_object_part_falls_with_spread():
    # truth: the first column of 2 x 2; the map there is 0 and 1: m = 0.5, sigma = sqrt 0.5; the rest is 0,
    # 1 - 0 = 1 with sigma 0: 2 / 2 = 1. The centroid is (1.5 -> 2, 1): the parts are the columns, the first
    # with a truth of variance 0: 4 x y s_xy = 0 but x^2 s_x^2 > 0, SSIM 0; the second constant, SSIM 1
    scores, truth = np.array([[0.0, 0], [1, 0]]), HALF.T
    objects = 0.5 * 1 / (0.25 + 1 + math.sqrt(0.5)) + 0.5 * 1
    assert s_measure(scores, truth) == pytest.approx(0.5 * objects + 0.5 * 0.5)


def test_ssim_of_parts_by_hand():
    # one row of 3, truth 1 0 1: centroid in the middle, parts of 2 (weight 2/3) and 1 (weight 1/3)
    # first part: map 0.5 0, truth 1 0: x = .25, y = .5, s_xy = .25, s_x^2 = .125, s_y^2 = .5,
    #   4 x y s_xy / ((x^2 + y^2)(s_x^2 + s_y^2)) = .125 / (.3125 * .625) = .64; second: constant, 1
    # objects: the truth's .5 and 1: m = .75, sigma = sqrt .125; the rest 1 - 0: 1
    scores, truth = np.array([[0.5, 0, 1]]), np.array([[1, 0, 1]], bool)
    regions = 2 / 3 * 0.64 + 1 / 3
    objects = 2 / 3 * 1.5 / (0.5625 + 1 + math.sqrt(0.125)) + 1 / 3
    assert s_measure(scores, truth) == pytest.approx(0.5 * objects + 0.5 * regions)


def test_s_measure_of_an_empty_and_of_a_full_truth():
    scores = np.array([[0.1, 0.3]])
    assert s_measure(scores, np.zeros((1, 2), bool)) == pytest.approx(0.8)
    assert s_measure(scores, np.ones((1, 2), bool)) == pytest.approx(0.2)
    assert s_measure(np.zeros((0, 2)), np.zeros((0, 2), bool)) is None


def test_s_measure_is_never_negative():
    truth = np.zeros((6, 6), bool)
    truth[::2] = True
    assert s_measure(1.0 - truth, truth) == 0


def test_a_centroid_in_the_last_column_leaves_parts_out_that_are_empty():
    # the right parts are empty, NaN in the authors' code; a right map is 1
    truth = point((3, 4), 2, 3)
    assert s_measure(truth.astype(float), truth) == pytest.approx(1)


def test_a_centroid_at_a_half_is_rounded_up():
    # one row of 4, truth 1 1 0 0: centroid 1.5 from 1, rounded to 2: parts 1 1 and 0 0. The map is constant on
    # each, SSIM 1 twice; by rounding down to 1 the second part, map .5 0 0 and truth 1 0 0, has .5 / .625 = .8
    scores, truth = np.array([[0.5, 0.5, 0, 0]]), np.array([[1, 1, 0, 0]], bool)
    objects = 0.5 * 1 / 1.25 + 0.5 * 1
    assert s_measure(scores, truth) == pytest.approx(0.5 * objects + 0.5 * 1)


def test_constant_parts_are_alike_whatever_rounding_makes_of_their_mean():
    # 0.1 summed 7 times over 7 is not 0.1
    scores, truth = np.full((7, 9), 0.1), point((7, 9), 6, 8)
    inside, outside = 0.2 / (0.01 + 1), 1.8 / (0.81 + 1)
    objects = inside / 63 + outside * 62 / 63
    # a single part: the truth's 1 / 63 varies, the map does not: numerator 0, SSIM 0
    assert s_measure(scores, truth) == pytest.approx(0.5 * objects)
    # the truth in the first corner: one part is that pixel, three hold no truth, all constant, SSIM 1
    assert s_measure(scores, truth[::-1, ::-1]) == pytest.approx(0.5 * objects + 0.5)


def test_e_measure_by_hand():
    # 4 pixels, truth 1 1 0 0, found 1 0 0 0: t = .5 .5 -.5 -.5, f = .75 -.25 -.25 -.25
    # 2 f t / (f^2 + t^2) = .75 / .8125, -.25 / .3125, .25 / .3125, .25 / .3125
    aligned = [0.75 / 0.8125, -0.8, 0.8, 0.8]
    expected = sum((1 + value) ** 2 / 4 for value in aligned) / 3
    assert e_measure(np.array([1, 0, 0, 0], bool), np.array([1, 1, 0, 0], bool)) == pytest.approx(expected)


def test_e_measure_passes_1_by_a_hair_as_the_authors_have_it():
    assert e_measure(HALF, HALF) == pytest.approx(4 / 3)


def test_e_measure_of_empty_and_full_truths():
    none, full, one = np.zeros(5, bool), np.ones(5, bool), np.array([1, 0, 0, 0, 0], bool)
    assert e_measure(one, none) == pytest.approx(4 / 4)
    assert e_measure(one, full) == pytest.approx(1 / 4)
    # nothing found, or everything, is aligned with nothing: 1/4 of 5 pixels, over 4
    assert e_measure(none, one) == e_measure(full, one) == pytest.approx(1.25 / 4)
    assert e_measure(none[:1], none[:1]) is None
    assert e_measure_curve(np.zeros(1), none[:1]) is None


@pytest.mark.parametrize("comparison", [">=", ">"])
@pytest.mark.parametrize("name", MAPS)
def test_the_curve_is_the_e_measure_of_the_map_cut_at_each_threshold(name, comparison):
    scores, truth = MAPS[name]
    near = 1e-4  # what lies so near to a level is on it
    cut = (lambda t: 255 * scores >= t - near) if comparison == ">=" else (lambda t: 255 * scores > t + near)
    expected = [e_measure(cut(t), truth) for t in range(255, -1, -1)]
    np.testing.assert_allclose(e_measure_curve(scores, truth, comparison=comparison), expected, rtol=1e-12)


def test_by_greater_alone_the_first_threshold_finds_nothing():
    curve = e_measure_curve(np.array([1.0, 0, 0, 0]), np.array([1, 0, 0, 0], bool), comparison=">")
    assert curve[0] == pytest.approx(0.25 * 4 / 3)
    assert curve[1:] == pytest.approx(4 / 3)


def test_unknown_pixels_are_left_out():
    scores, truth = np.array([0.1, 0.8, 0.4, np.nan]), np.array([0, 1, 1, 1], bool)
    known = np.array([1, 1, 1, 0], bool)
    np.testing.assert_array_equal(e_measure_curve(scores, truth, known), e_measure_curve(scores[:3], truth[:3]))
    assert e_measure(truth, ~truth, known) == e_measure(truth[:3], ~truth[:3])
    assert mean_absolute_error(scores, truth, known) == pytest.approx((0.1 + 0.2 + 0.6) / 3)
    assert balanced_absolute_error(scores, truth, known) == pytest.approx((0.1 + (0.2 + 0.6) / 2) / 2)


def test_absolute_errors_weigh_pixels_or_sides():
    # a lesion of 1 in 10 pixels, missed by a map of zeros
    scores, truth = np.zeros(10), np.arange(10) == 3
    assert mean_absolute_error(scores, truth) == pytest.approx(0.1)
    assert balanced_absolute_error(scores, truth) == pytest.approx(0.5)
    assert balanced_absolute_error(np.full(10, 0.3), truth) == pytest.approx(0.5)


def test_absolute_errors_of_empty_sets():
    none = np.zeros(2, bool)
    assert mean_absolute_error(np.array([0.1, 0.3]), none) == pytest.approx(0.2)
    assert mean_absolute_error(np.array([0.1, 0.3]), ~none) == pytest.approx(0.8)
    assert mean_absolute_error(np.zeros(0), none[:0]) is None
    assert balanced_absolute_error(np.zeros(2), none) is None
    assert balanced_absolute_error(np.zeros(2), ~none) is None


@pytest.mark.parametrize("name", MAPS)
def test_structure_as_py_sod_metrics_has_it(name):
    scores, truth = MAPS[name]
    expected = ANSWERS["py_sod"][name]
    assert s_measure(scores, truth) == pytest.approx(expected["s_measure"], abs=1e-6)
    assert mean_absolute_error(scores, truth) == pytest.approx(expected["mean_absolute_error"], abs=1e-6)
    curve = e_measure_curve(scores, truth)
    assert curve.mean() == pytest.approx(expected["e_measure_mean"], abs=1e-6)
    assert curve.max() == pytest.approx(expected["e_measure_max"], abs=1e-6)
    assert curve[SAMPLED] == pytest.approx(expected["e_measure_curve"], abs=1e-6)


@pytest.mark.parametrize("name", ["binary", "right", "zeros", "ones", "zeros, empty truth"])
def test_adaptive_e_measure_as_py_sod_metrics_has_it(name):
    # theirs does not stretch by itself; these maps are 0 to 1, or constant
    scores, truth = MAPS[name]
    expected = ANSWERS["py_sod"][name]["e_measure_adaptive"]
    assert e_measure(scores >= adaptive_threshold(scores), truth) == pytest.approx(expected, abs=1e-6)


def test_what_is_no_map_is_refused():
    for metric in (s_measure, e_measure_curve, mean_absolute_error, balanced_absolute_error):
        with pytest.raises(UsageError, match="to 255"):
            metric(255.0 * HALF, HALF)
        with pytest.raises(LabelError, match=r"\(2, 3\), \(2, 2\)"):
            metric(np.zeros((2, 3)), HALF)

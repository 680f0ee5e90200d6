import json
from pathlib import Path

import numpy as np
import pytest

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.calibration import Calibration, brier, expected_calibration_error
from tests.evaluation.golden.inputs import MAPS

ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))


def test_brier_by_hand():
    # 0.2^2 + 0.4^2 + 1^2 over 3
    assert brier(np.array([0.2, 0.6, 1.0]), np.array([0, 1, 0], bool)) == pytest.approx(1.2 / 3)


def test_expected_calibration_error_by_hand():
    # two bins. Below 0.5: 0.1, 0.3 with one in the region, |0.2 - 0.5| = 0.3, 2 of 5 pixels;
    # from 0.5 on: 0.5, 0.9, 1 with all in it, |0.8 - 1| = 0.2, 3 of 5
    scores, truth = np.array([0.1, 0.3, 0.5, 0.9, 1.0]), np.array([0, 1, 1, 1, 1], bool)
    assert expected_calibration_error(scores, truth, bins=2) == pytest.approx(0.4 * 0.3 + 0.6 * 0.2)


def test_probabilities_that_mean_what_they_say_have_no_error():
    scores = np.repeat([0.2, 0.8], 5)
    truth = np.array([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], bool)
    assert expected_calibration_error(scores, truth) == pytest.approx(0, abs=1e-12)
    assert brier(scores, truth) == pytest.approx(0.16)


def test_images_pool_exactly():
    (first, one), (second, other) = MAPS["good"], MAPS["noisy truth"]
    pooled = Calibration.of(first, one) + Calibration.of(second, other)
    both, truths = np.concatenate([first, second]), np.concatenate([one, other])
    assert pooled.brier == pytest.approx(brier(both, truths), rel=1e-12)
    assert pooled.expected_calibration_error == pytest.approx(expected_calibration_error(both, truths), rel=1e-12)
    # of errors of opposite sign some cancel, so that the mean over images is another number
    images = [expected_calibration_error(first, one), expected_calibration_error(second, other)]
    assert pooled.expected_calibration_error != pytest.approx(np.mean(images), abs=1e-3)


def test_unknown_pixels_do_not_count_and_no_pixel_is_no_number():
    scores, truth = np.array([0.2, np.nan, 0.9]), np.array([0, 1, 1], bool)
    known = np.array([1, 0, 1], bool)
    assert brier(scores, truth, known) == pytest.approx((0.04 + 0.01) / 2)
    assert expected_calibration_error(scores, truth, known) == pytest.approx((0.2 + 0.1) / 2)
    assert brier(scores, truth, ~truth & truth) is None
    assert expected_calibration_error(scores, truth, ~truth & truth) is None


@pytest.mark.parametrize("name", MAPS)
def test_brier_as_scikit_learn_has_it(name):
    assert brier(*MAPS[name]) == pytest.approx(ANSWERS["calibration"][name]["brier"], abs=1e-9)


@pytest.mark.parametrize("name", MAPS)
def test_expected_calibration_error_as_torchmetrics_has_it(name):
    expected = ANSWERS["calibration"][name]["expected_calibration_error"]
    assert expected_calibration_error(*MAPS[name]) == pytest.approx(expected, abs=1e-6)


def test_a_last_bin_with_ones_and_others_is_where_torchmetrics_differs():
    # 0.95 outside and 1 outside are one bin here; with a bin for 1 it would be 0.5 * 0.05 + 0.5 * 1
    scores, truth = np.array([0.95, 1.0]), np.array([1, 0], bool)
    assert expected_calibration_error(scores, truth) == pytest.approx(abs(0.975 - 0.5))


def test_what_is_no_probability_and_what_does_not_fit_is_refused():
    truth = np.array([0, 1], bool)
    with pytest.raises(UsageError, match="from 0 to 255"):
        brier(np.array([0.0, 255.0]), truth)
    with pytest.raises(UsageError, match="nan"):
        brier(np.array([0.0, np.nan]), truth)
    with pytest.raises(LabelError, match=r"\(3,\), \(2,\)"):
        brier(np.zeros(3), truth)
    with pytest.raises(UsageError, match="15 and 10"):
        Calibration.of(np.zeros(2), truth) + Calibration.of(np.zeros(2), truth, bins=10)


def test_sums_of_float32_probabilities_may_pass_1_by_rounding():
    assert brier(np.array([np.nextafter(np.float32(1), np.float32(2))]), np.array([True])) == 0

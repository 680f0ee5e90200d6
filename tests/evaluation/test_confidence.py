import numpy as np
import pytest

from groundglass.evaluation.confidence import error_area, wrong_pixels


def test_area_by_hand():
    """Two wrong at 0.2 and 0.6, three right at 0.9, 0.6 and 0.5: pairs 3 + 1.5 of 6, ties a half: (3 + .5 + 1) / 6."""
    confidence = np.array([0.2, 0.6, 0.9, 0.6, 0.5])
    wrong = np.array([True, True, False, False, False])
    assert error_area(confidence, wrong) == pytest.approx(4.5 / 6)
    assert error_area(1 - confidence, wrong) == pytest.approx(1.5 / 6)
    assert error_area(confidence, wrong, np.array([True, False, True, True, True])) == 1


def test_confidence_that_differs_by_a_hair_still_orders():
    assert error_area(np.array([0.5, 0.5001]), np.array([True, False])) == 1


def test_where_nothing_is_wrong_there_is_no_area():
    assert error_area(np.array([0.5, 0.6]), np.array([False, False])) is None
    assert error_area(np.array([0.5, 0.6]), np.array([True, True])) is None


def test_wrong_is_what_the_truth_excludes():
    """Not lesion against {background}: may be right; against unknown nothing is known."""
    wrong, known = wrong_pixels(np.array([3, 4, 8, 4], np.uint8), np.array([1, 8, 12, 15], np.uint8))
    assert wrong.tolist() == [False, True, False, False]
    assert known.tolist() == [True, True, True, False]

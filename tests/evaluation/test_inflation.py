import pytest

from groundglass.evaluation.inflation import Scored, mean_of, means_of
from groundglass.evaluation.overlap import Counts

SCORED = (
    Scored("a", True, "ground_glass", Counts(1, 1, 1, 7)),  # Dice 0.5, IoU 1 / 3
    Scored("b", False, "ground_glass", Counts(3, 0, 0, 7)),  # 1, trained on
    Scored("a", True, "consolidation", Counts(0, 5, 0, 5)),  # has none: does not count
    Scored("a", True, "background", Counts(9, 1, 1, 0)),  # 0.9
    Scored("b", False, "background", Counts(9, 0, 0, 1)),  # 1
    Scored("a", True, "infection", Counts(1, 0, 2, 7)),  # 0.5
)


def test_where_a_high_number_comes_from():
    assert mean_of(SCORED, ["ground_glass"]) == 0.5
    assert mean_of(SCORED, ["ground_glass"], "iou") == pytest.approx(1 / 3)
    assert mean_of(SCORED, ["ground_glass"], trained_too=True) == 0.75
    assert mean_of(SCORED, ["background", "ground_glass", "consolidation"]) == 0.7
    assert mean_of(SCORED, ["background", "ground_glass"], trained_too=True) == pytest.approx((0.95 + 0.75) / 2)
    assert mean_of(SCORED, ["consolidation"]) is None


def test_all_ways():
    means = means_of(SCORED)
    assert (means.ground_glass, means.infection, means.background) == (0.5, 0.5, 0.9)
    assert (means.lesions, means.lesions_trained_too) == (0.5, 0.75)
    assert means.with_background == 0.7
    assert means.with_background_iou == pytest.approx((9 / 11 + 1 / 3) / 2)
    assert means.with_background_trained_too == pytest.approx(0.85)

import numpy as np
import pytest

from groundglass.evaluation.consistency import Consistency, consistency, is_kept


def slices(labels, said, largest):
    return [(np.array([labels], np.uint8), np.array([said], np.uint8), np.array([largest], np.float32))]


def test_agreement_is_dice_of_infection_over_all_pixels_and_confidence_the_mean_where_either_says_it():
    # taught: 4, 8, 4; found: 4, 12; both: the first two. Unknown and "lung or ground glass" are no infection.
    one = slices([4, 8, 3, 15], [4, 12, 3, 6], [0.9, 0.7, 1, 1])
    two = slices([4, 3, 3, 3], [15, 3, 3, 3], [0.5, 1, 1, 1])
    found = consistency([*one, *two])
    assert found.agreement == pytest.approx(2 * 2 / (3 + 2))
    assert found.confidence == pytest.approx((0.9 + 0.7 + 0.5) / 3)


def test_whoever_says_nothing_agrees_with_nobody():
    assert consistency(slices([3], [3], [0.6])) == Consistency(0, 0)
    assert consistency(slices([4], [3], [0.5])) == Consistency(0, 0.5)
    assert consistency(slices([3], [4], [0.5])) == Consistency(0, 0.5)


@pytest.mark.parametrize(
    ("agreement", "confidence", "kept"),
    [(0.8, 0.9, True), (0.7, 0.9, True), (0.69, 0.95, False), (0.9, 0.79, False), (0.7, 0.8, True)],
)
def test_a_level_is_kept_if_neither_falls(agreement, confidence, kept):
    assert is_kept(Consistency(agreement, confidence), Consistency(0.7, 0.8)) is kept


def test_the_first_level_is_kept():
    assert is_kept(Consistency(0.1, 0.3), None)

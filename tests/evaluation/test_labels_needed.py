import math

import numpy as np
import pytest

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.labels_needed import labels_needed, reaches
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.trials import Row, Trial
from groundglass.report.study import needed

PRESENT = Convention("present")
DICE = {0.4: Counts(4, 6, 6, 9), 0.5: Counts(5, 5, 5, 9), 0.6: Counts(6, 4, 4, 9), 0.8: Counts(8, 2, 2, 9)}


def rows(recipe, labels, scores, seed=0):
    """A slice a group; what it is scored."""
    trial = Trial(recipe, recipe, "data", seed, 0, labels)
    return [Row(trial, 1.0, f"s{place}", f"g{place}", "infection", DICE[score]) for place, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "goal", "expected"),
    [
        ((0.2, 0.4, 0.6), 0.5, 10 * math.sqrt(2)),  # half way from 10 to 20, by the logarithm
        ((0.2, 0.6, 0.4), 0.5, 5 * 2**0.75),  # three quarters of the way from 5 to 10, wherever it falls to afterwards
        ((0.2, 0.4, 0.6), 0.6, 20),
        ((0.5, 0.3, 0.6), 0.5, 5),
        ((0.6, 0.6, 0.6), 0.5, 5),
        ((0.2, 0.4, 0.6), 0.7, math.inf),
    ],
)
def test_a_curve_reaches_its_goal_between_two_numbers_of_labels(scores, goal, expected):
    found = reaches((5, 10, 20), np.array([scores, scores]), np.array([goal, goal]))
    np.testing.assert_allclose(found, [expected, expected])


def test_what_a_recipe_needs_by_hand():
    """0.4 by 10 labels and 0.6 by all 40: 0.5, which the first has by all, is reached by the root of 10 x 40."""
    told = rows("first", "10", [0.4] * 3) + rows("first", "all", [0.5] * 3)
    told += rows("other", "10", [0.4] * 3) + rows("other", "all", [0.6] * 3)
    (one,) = labels_needed(told, "dice", PRESENT, 40)
    assert (one.recipe, one.region, one.most, one.numbers) == ("other", "infection", 40, (10, 40))
    assert (one.slices, one.groups) == (3, 3)
    assert one.goal == pytest.approx(0.5)
    np.testing.assert_allclose([one.labels, one.low, one.high], [20, 20, 20])
    page = needed([one], "first")
    assert "| Infection | 0.500 | 40 | other | 20 [20, 20] | 3, 3 |" in page
    assert "Fewer than 10 groups" in page


def test_the_interval_is_of_drawn_groups_and_ends_beyond_what_was_trained_on():
    """Of two groups (drawn alike, mixed, alike: 1/4, 1/2, 1/4) one needs more than all, one 10 or fewer."""
    told = rows("first", "all", [0.5, 0.5])
    told += rows("other", "10", [0.4, 0.5]) + rows("other", "40", [0.4, 0.6])
    (one,) = labels_needed(told, "dice", PRESENT, 40)
    assert one.labels == pytest.approx(40)  # 0.45 and 0.5
    assert (one.low, one.high) == (10, math.inf)
    assert "40 [10 or fewer, more than 40]" in needed([one], "first")


def test_seeds_of_a_slice_are_averaged():
    told = rows("first", "all", [0.5]) + rows("other", "10", [0.4]) + rows("other", "40", [0.4])
    told += rows("other", "40", [0.8], seed=1)  # 0.6 with the other
    (one,) = labels_needed(told, "dice", PRESENT, 40)
    assert one.labels == pytest.approx(20)


def test_only_slices_that_all_were_tested_on_count():
    told = rows("first", "all", [0.5, 0.8]) + rows("other", "10", [0.4]) + rows("other", "40", [0.6, 0.4])
    (one,) = labels_needed(told, "dice", PRESENT, 40)
    assert (one.slices, one.goal) == (1, pytest.approx(0.5))


def test_one_number_of_labels_is_no_curve_and_other_slices_are_no_comparison():
    first = rows("first", "all", [0.5])
    assert labels_needed(first, "dice", PRESENT, 40) == []
    assert labels_needed(first + rows("other", "10", [0.4]), "dice", PRESENT, 40) == []
    elsewhere = rows("other", "10", [0.4, 0.4])[1:] + rows("other", "40", [0.4, 0.4])[1:]
    assert labels_needed(first + elsewhere, "dice", PRESENT, 40) == []

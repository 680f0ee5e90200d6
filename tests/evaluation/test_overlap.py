import numpy as np
import pytest

from groundglass.evaluation.overlap import dice
from groundglass.labels import Region


def test_dice_by_hand():
    prediction, truth = np.array([2, 2, 3, 0], np.uint8), np.array([2, 1, 2, 0], np.uint8)
    assert dice(prediction, truth, Region.GROUND_GLASS) == pytest.approx(2 * 1 / (2 + 2))
    assert dice(prediction, truth, Region.INFECTION) == pytest.approx(2 * 2 / (3 + 2))
    assert dice(prediction, truth, Region.CONSOLIDATION) == 0


def test_nothing_against_nothing_is_no_number():
    empty = np.zeros(3, np.uint8)
    assert dice(empty, empty, Region.INFECTION) is None

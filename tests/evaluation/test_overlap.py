import json
from pathlib import Path

import numpy as np
import pytest

from groundglass.evaluation.overlap import METRICS, Counts, count, dice
from groundglass.labels import Region
from tests.evaluation.golden.inputs import MAPS, PAIRS

ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))


def test_dice_by_hand():
    prediction, truth = np.array([2, 2, 3, 0], np.uint8), np.array([2, 1, 2, 0], np.uint8)
    assert dice(prediction, truth, Region.GROUND_GLASS) == pytest.approx(2 * 1 / (2 + 2))
    assert dice(prediction, truth, Region.INFECTION) == pytest.approx(2 * 2 / (3 + 2))
    assert dice(prediction, truth, Region.CONSOLIDATION) == 0


def test_nothing_against_nothing_is_no_number():
    empty = np.zeros(3, np.uint8)
    assert dice(empty, empty, Region.INFECTION) is None


def test_every_metric_of_counts_by_hand():
    counts = count(
        np.array([1, 1, 1, 0, 0, 0, 0, 1], bool),
        np.array([1, 1, 0, 1, 0, 0, 0, 0], bool),
        np.array([1, 1, 1, 1, 1, 1, 1, 0], bool),
    )
    assert counts == Counts(both=2, found_only=1, true_only=1, neither=3)
    expected = {"dice": 4 / 6, "iou": 2 / 4, "precision": 2 / 3, "recall": 2 / 3, "specificity": 3 / 4}
    assert {name: metric(counts) for name, metric in METRICS.items()} == pytest.approx(expected | {"accuracy": 5 / 7})


def test_what_is_0_of_0_is_none():
    nothing, full = Counts(0, 0, 0, 4), Counts(4, 0, 0, 0)
    assert {name for name, metric in METRICS.items() if metric(nothing) is None} == {
        "dice", "iou", "precision", "recall",
    }  # fmt: skip
    assert {name for name, metric in METRICS.items() if metric(full) is None} == {"specificity"}
    assert all(metric(Counts(0, 0, 0, 0)) is None for metric in METRICS.values())


@pytest.mark.parametrize("name", PAIRS)
def test_overlap_as_torchmetrics_has_it(name):
    counts = count(*PAIRS[name][:2])
    found = {metric: function(counts) for metric, function in METRICS.items()}
    assert found == pytest.approx(ANSWERS["overlap"][name], abs=1e-6)


def test_the_inputs_are_those_that_others_were_asked_about():
    sums = {name: [a.sum(), b.sum()] for name, (a, b, *_) in (PAIRS | MAPS).items()}
    assert {name: pytest.approx(sum_, abs=1e-5) for name, sum_ in ANSWERS["sums"].items()} == sums

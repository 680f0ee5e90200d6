import dataclasses

import pytest

from groundglass.evaluation.failure import Failure
from groundglass.evaluation.statistics import Comparison
from groundglass.labels import Region
from groundglass.report.demonstration import (
    Demonstration,
    Trained,
    difference_row,
    failure_words,
    method_rows,
    verdict,
)

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def compared(mean, low, high, p=0.03):
    return Comparison(mean, low, high, 2.0, p, 0.04, 0.5, 10, "")


def made(**more):
    fields = {
        "baseline": Trained("supervised", {Region.INFECTION: (0.6, 0.02), Region.GROUND_GLASS: (0.5, None)}),
        "other": Trained("mean_teacher", {Region.INFECTION: (0.65, 0.03), Region.CONSOLIDATION: (None, None)}),
        "difference": {Region.INFECTION: compared(0.05, 0.01, 0.09)},
        "seeds": 3,
        "labels": 6,
        "unlabelled": 200,
        "slices": 120,
        "steps": 300,
        "shown": "the training of supervised with seed 0",
    }
    return Demonstration(**{**fields, **more})


def test_methods_have_mean_and_deviation_and_what_is_unknown_is_a_dash():
    first, second = method_rows(made())
    assert (first.title, first.cells) == ("Supervised", ("3", "0.600 ± 0.020", "0.500", "–"))  # noqa: RUF001
    assert (second.title, second.cells) == ("Mean teacher", ("3", "0.650 ± 0.030", "–", "–"))  # noqa: RUF001


def test_the_difference_stands_with_its_interval():
    row = difference_row(made())
    assert row.title == "Mean teacher less Supervised"
    assert row.cells[1] == "+0.050 (+0.010 to +0.090)"


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (compared(0.05, 0.01, 0.09), "They helped: with them Dice of infection changed by +0.050"),
        (compared(-0.05, -0.09, -0.01), f"They did harm: with them Dice of infection changed by {MINUS}0.050"),
        (compared(0.05, -0.01, 0.11, 0.09), "No difference could be told from chance: "),
        (compared(0.05, -0.01, 0.11, 0.09), "interval -0.010 to +0.110; 10 patients, paired t-test p = 0.090)."),
        (compared(0.05, 0.04, 0.06, 1e-9), "p < 0.001"),
        (compared(0.05, None, None, None), "Too few patients were held out to tell."),
    ],
)
def test_the_verdict_says_what_the_interval_says(difference, words):
    told = verdict(made(difference={Region.INFECTION: difference})).replace(MINUS, "-").replace(NBSP, " ")
    assert words.replace(MINUS, "-") in told


def test_a_failure_is_told_in_its_own_numbers_the_largest_first():
    failure = Failure(30, 14.2, 1.25, 6.11, 0.8, 0.04)
    assert failure_words(failure, 72).replace(NBSP, " ") == (
        "Slice 31 of 72 holds 14 mL of infection: 6.1 mL was called infection and is none, 1.2 mL was missed and "
        "0.8 mL of ground glass was taken for consolidation."
    )
    tiny = dataclasses.replace(failure, missed_ml=0.03, overcalled_ml=0.0, haze_as_solid_ml=0.0)
    assert (
        failure_words(tiny, 72).replace(NBSP, " ").endswith("under 0.1 mL of consolidation was taken for ground glass.")
    )

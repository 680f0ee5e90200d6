"""What the demo adds to a page: two methods trained on the same few labels, and where a model fails, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from groundglass.evaluation.failure import Failure
from groundglass.labels import Region
from groundglass.report.tables import Row
from groundglass.report.words import SPACE, UNKNOWN, ml, number, signed

if TYPE_CHECKING:  # it takes its time to import, and a page of a patient has no use for it
    from groundglass.evaluation.statistics import Comparison

SHOWN: Final = (Region.INFECTION, Region.GROUND_GLASS, Region.CONSOLIDATION)
NAMED_FROM_ML: Final = 0.05  # what is less would be written as 0.0


@dataclass(frozen=True)
class Trained:
    """How well a method does on held-out slices.

    Attributes:
        method: its name.
        dice: region -> (mean, sample standard deviation) over seeds of the mean over slices; None where no slice
            has the region, or for the deviation of one seed.
    """

    method: str
    dice: Mapping[Region, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Demonstration:
    """Two methods on the same labels.

    Attributes:
        baseline: what does without unlabelled slices.
        other: what uses them.
        difference: region -> Dice of ``other`` less that of ``baseline``, paired over patients.
        seeds: trainings of each method.
        labels: labelled slices that a training sees.
        unlabelled: slices without labels that ``other`` sees beside them.
        slices: held-out ones.
        steps: optimiser steps of a training.
        shown: which of the models segmented the scan on the page.
    """

    baseline: Trained
    other: Trained
    difference: Mapping[Region, Comparison]
    seeds: int
    labels: int
    unlabelled: int
    slices: int
    steps: int
    shown: str


def method_rows(made: Demonstration) -> tuple[Row, ...]:
    """A row for each method: its trainings, then mean and standard deviation of each region's Dice."""
    return tuple(
        Row(_title(trained.method), (str(made.seeds), *(_spread(trained.dice.get(region)) for region in SHOWN)))
        for trained in (made.baseline, made.other)
    )


def difference_row(made: Demonstration) -> Row:
    """The paired differences with their intervals."""
    cells = (_interval(made.difference.get(region)) for region in SHOWN)
    return Row(f"{_title(made.other.method)} less {_title(made.baseline.method)}", (UNKNOWN, *cells))


def verdict(made: Demonstration) -> str:
    """Whether the unlabelled slices helped, as far as the interval of infection's Dice tells."""
    found = made.difference.get(Region.INFECTION)
    if found is None or found.ci_low is None or found.ci_high is None:
        return "Too few patients were held out to tell."
    told = (
        "They helped"
        if found.ci_low > 0
        else "They did harm"
        if found.ci_high < 0
        else "No difference could be told from chance"
    )
    p = UNKNOWN if found.t_p is None else "p < 0.001" if found.t_p < 0.001 else f"p = {number(found.t_p, 3)}"
    return (
        f"{told}: with them Dice of infection changed by {signed(found.mean_difference, 3)} (95{SPACE}% interval "
        f"{signed(found.ci_low, 3)} to {signed(found.ci_high, 3)}; {found.pairs} patients, paired t-test {p})."
    )


def failure_words(failure: Failure, slices: int) -> str:
    """What went wrong in the worst slice, the largest amount first."""
    parts = [
        (failure.missed_ml, "was missed"),
        (failure.overcalled_ml, "was called infection and is none"),
        (failure.haze_as_solid_ml, "of ground glass was taken for consolidation"),
        (failure.solid_as_haze_ml, "of consolidation was taken for ground glass"),
    ]
    ordered = sorted(parts, key=lambda part: -part[0])
    told = [f"{ml(volume)} {what}" for volume, what in ordered if volume >= NAMED_FROM_ML] or [
        f"{ml(ordered[0][0])} {ordered[0][1]}"
    ]
    return f"Slice {failure.index + 1} of {slices} holds {ml(failure.true_ml)} of infection: {_listed(told)}."


def _title(method: str) -> str:
    return method.replace("_", " ").capitalize()


def _spread(value: tuple[float | None, float | None] | None) -> str:
    if value is None or value[0] is None:
        return UNKNOWN
    return number(value[0], 3) if value[1] is None else f"{number(value[0], 3)} ± {number(value[1], 3)}"


def _interval(found: Comparison | None) -> str:
    if found is None:
        return UNKNOWN
    mean = signed(found.mean_difference, 3)
    if found.ci_low is None or found.ci_high is None:
        return mean
    return f"{mean} ({signed(found.ci_low, 3)} to {signed(found.ci_high, 3)})"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

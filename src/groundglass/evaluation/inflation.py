"""How a mean Dice grows by what goes into it: background as a class, training slices among the scored ones.

Some papers print means of both kinds and name neither (DRSegUNet's 0.96 to 0.99); the same predictions counted each
way say where such a number comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from groundglass.evaluation.overlap import Counts, average

BACKGROUND: Final = "background"
GROUND_GLASS, INFECTION = "ground_glass", "infection"
LESIONS: Final = (GROUND_GLASS, "consolidation")
ALL_CLASSES: Final = (BACKGROUND, *LESIONS)


@dataclass(frozen=True)
class Scored:
    """Pixels of a class in a slice, and whether the slice was held out or trained on."""

    slice: str
    held_out: bool
    name: str
    counts: Counts


@dataclass(frozen=True)
class Means:
    """The same predictions in several ways: Dice unless the name says otherwise, of held-out slices likewise.

    Each is the mean over classes of the mean over slices that have the class (``present``), None where none has any.
    """

    ground_glass: float | None
    infection: float | None
    background: float | None
    lesions: float | None
    lesions_trained_too: float | None
    with_background: float | None
    with_background_iou: float | None
    with_background_trained_too: float | None


def means_of(scored: Sequence[Scored]) -> Means:
    """All of them, of every slice and class of a recipe's runs."""
    return Means(
        ground_glass=mean_of(scored, [GROUND_GLASS]),
        infection=mean_of(scored, [INFECTION]),
        background=mean_of(scored, [BACKGROUND]),
        lesions=mean_of(scored, LESIONS),
        lesions_trained_too=mean_of(scored, LESIONS, trained_too=True),
        with_background=mean_of(scored, ALL_CLASSES),
        with_background_iou=mean_of(scored, ALL_CLASSES, "iou"),
        with_background_trained_too=mean_of(scored, ALL_CLASSES, trained_too=True),
    )


def mean_of(
    scored: Sequence[Scored], classes: Sequence[str], metric: str = "dice", *, trained_too: bool = False
) -> float | None:
    """The mean over classes of the mean over slices that have the class; None where none has any.

    Args:
        scored: every slice and class.
        classes: those that count.
        metric: ``dice`` or ``iou``.
        trained_too: the training slices count too.
    """
    means = []
    for name in classes:
        counts = [row.counts for row in scored if row.name == name and (row.held_out or trained_too)]
        value = average(metric, counts, "present")
        if value is not None:
            means.append(value)
    return sum(means) / len(means) if means else None

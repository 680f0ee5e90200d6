"""How far masks agree: counts of pixels, what is made of them, and how images are averaged.

The full evaluator has more metrics and conventions; these are what a training is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import Region, region_of_codes

Convention = Literal["present", "empty-zero"]
CONVENTIONS: Final[tuple[Convention, ...]] = ("present", "empty-zero")


@dataclass(frozen=True)
class Counts:
    """Pixels of one image: found and true, found only, true only, neither."""

    both: int
    found_only: int
    true_only: int
    neither: int

    def __add__(self, other: Counts) -> Counts:
        """The pixels of both images together."""
        return Counts(
            self.both + other.both,
            self.found_only + other.found_only,
            self.true_only + other.true_only,
            self.neither + other.neither,
        )


def count(found: NDArray[np.bool_], true: NDArray[np.bool_], known: NDArray[np.bool_] | None = None) -> Counts:
    """Count the pixels that are known (all, by default)."""
    if known is not None:
        found, true = found[known], true[known]
    both = int((found & true).sum())
    found_only, true_only = int(found.sum()) - both, int(true.sum()) - both
    return Counts(both, found_only, true_only, found.size - both - found_only - true_only)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# Each in [0, 1]; None where it is 0/0.
METRICS: Final[Mapping[str, Callable[[Counts], float | None]]] = {
    "dice": lambda c: _share(2 * c.both, 2 * c.both + c.found_only + c.true_only),
    "iou": lambda c: _share(c.both, c.both + c.found_only + c.true_only),
    "precision": lambda c: _share(c.both, c.both + c.found_only),
    "recall": lambda c: _share(c.both, c.both + c.true_only),
    "specificity": lambda c: _share(c.neither, c.neither + c.found_only),
    "accuracy": lambda c: _share(c.both + c.neither, c.both + c.found_only + c.true_only + c.neither),
}


def average(metric: str, images: Sequence[Counts], convention: Convention) -> float | None:
    """Mean of a metric over images; None where no image counts.

    Args:
        metric: one of ``METRICS``.
        images: the counts of each.
        convention: ``present``: over the images whose truth has the region, 0/0 counting as 0; ``empty-zero``:
            over all images, one whose truth lacks the region scoring 0.
    """
    present = [image for image in images if image.both + image.true_only]
    total = sum(METRICS[metric](image) or 0.0 for image in present)
    number = len(present) if convention == "present" else len(images)
    return total / number if number else None


def dice(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], region: Region) -> float | None:
    """2 |P and T| / (|P| + |T|) of a region over all voxels of two label maps (codes 0 to 3).

    In [0, 1]; None where neither has the region, for then it is 0/0.
    """
    return METRICS["dice"](count(region_of_codes(prediction, region), region_of_codes(truth, region)))

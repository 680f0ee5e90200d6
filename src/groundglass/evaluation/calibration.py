"""Whether probabilities mean what they say: Brier score and expected calibration error of a region.

Of the region's own probability p_R, not of the winning class: pixels given 0.3 should be in the region three
times in ten. Most pixels of a CT slice are far from any lesion, and easy; give ``known`` to score within the
lung field alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import UsageError
from groundglass.evaluation.curves import Map, Mask, known_pixels

BINS: Final = 15  # as Guo et al. 2017


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sums over the pixels of one image, or of several added with ``+``.

    Attributes:
        pixels: (B,), pixels in each of B bins of equal width of the probability, the last one with 1.
        probability: (B,), the sum of their probabilities.
        inside: (B,), how many of them are in the region.
        squared_error: the sum of (probability - truth)^2 over all pixels.
    """

    pixels: NDArray[np.int64]
    probability: NDArray[np.float64]
    inside: NDArray[np.int64]
    squared_error: float

    @classmethod
    def of(cls, scores: Map, truth: Mask, known: Mask | None = None, bins: int = BINS) -> Calibration:
        """Sum over the known pixels of a map of probabilities, any shape, and its truth.

        Raises:
            LabelError: shapes that differ.
            UsageError: a value that is not in [0, 1].
        """
        values, true = known_pixels(scores, truth, known)
        bin_ = np.minimum((values * bins).astype(np.intp), bins - 1)
        return cls(
            pixels=np.bincount(bin_, minlength=bins),
            probability=np.bincount(bin_, weights=values, minlength=bins).astype(np.float64),
            inside=np.bincount(bin_[true], minlength=bins),
            squared_error=float(((values - true) ** 2).sum()),
        )

    def __add__(self, other: Calibration) -> Calibration:
        """The sums of both images."""
        if len(self.pixels) != len(other.pixels):
            raise UsageError(
                f"Calibrations of {len(self.pixels)} and {len(other.pixels)} bins.",
                expected="one number of bins",
                remedy="Sum all images with the same one.",
            )
        return Calibration(
            self.pixels + other.pixels,
            self.probability + other.probability,
            self.inside + other.inside,
            self.squared_error + other.squared_error,
        )

    @property
    def brier(self) -> float | None:
        """Mean of (probability - truth)^2, in [0, 1], 0 is best; None for no pixel (Brier 1950)."""
        number = int(self.pixels.sum())
        return self.squared_error / number if number else None

    @property
    def expected_calibration_error(self) -> float | None:
        """Sum over bins of n_b / N |mean probability - share in the region|, in [0, 1], 0 is best.

        Naeini et al., AAAI 2015; Guo et al., ICML 2017. None for no pixel; an empty bin counts nothing.
        torchmetrics gives probabilities of exactly 1 a bin of their own, and differs where they are not all
        in the region and the last bin holds others.
        """
        number = int(self.pixels.sum())
        return float(np.abs(self.probability - self.inside).sum()) / number if number else None


def brier(scores: Map, truth: Mask, known: Mask | None = None) -> float | None:
    """``Calibration.brier`` of one map."""
    return Calibration.of(scores, truth, known).brier


def expected_calibration_error(scores: Map, truth: Mask, known: Mask | None = None, bins: int = BINS) -> float | None:
    """``Calibration.expected_calibration_error`` of one map."""
    return Calibration.of(scores, truth, known, bins).expected_calibration_error

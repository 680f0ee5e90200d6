"""Metrics over all thresholds of a map: ROC and precision-recall, and the curves of Inf-Net's evaluator.

A map is a float array in [0, 1], high where the region is thought to be; its truth is a boolean array of the
same shape, of any dimensions; ``known`` (boolean, same shape) leaves pixels out. A threshold takes the pixels
that are at least as high. Thresholds run from 1 down to 0, as in the files that Inf-Net's authors released.

All curves are made from a ``Histogram``: how many pixels lie at each level of the map, by class. Histograms
add, so thousands of images pool in a few kB, and what is computed from the sum is exact for the map cut down
to its levels (256 levels lose nothing of an 8-bit map).

Inf-Net: Fan et al., "Inf-Net: Automatic COVID-19 lung infection segmentation from CT images", IEEE TMI 2020,
and its released MATLAB evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, UsageError

Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Numbers = NDArray[np.int64]

LEVELS: Final = 256
NEARLY: Final = 1e-4  # of a level: more than rounding does to 8-bit maps in float32
SLACK: Final = 1e-5  # how far a sum of float32 probabilities may leave [0, 1]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Pixels at each level of a map, by class; ``+`` pools images.

    Level k of L holds the values from k / (L - 1) to just below (k + 1) / (L - 1), the last one 1 alone: at
    least k / (L - 1) and at level k or above are the same. What is less than 1e-4 of a level below one is on it.

    Attributes:
        inside: (L,), pixels of the region.
        outside: (L,), the others.
    """

    inside: Numbers
    outside: Numbers

    @classmethod
    def of(cls, scores: Map, truth: Mask, known: Mask | None = None, levels: int = LEVELS) -> Histogram:
        """Count the known pixels of a map in [0, 1].

        Raises:
            LabelError: shapes that differ.
            UsageError: a value that is not in [0, 1].
        """
        values, true = known_pixels(scores, truth, known)
        level = (values * (levels - 1) + NEARLY).astype(np.intp)
        return cls(*(np.bincount(level[side], minlength=levels) for side in (true, ~true)))

    def __add__(self, other: Histogram) -> Histogram:
        """The histogram of both images together."""
        if len(self.inside) != len(other.inside):
            raise UsageError(
                f"Histograms of {len(self.inside)} and {len(other.inside)} levels.",
                expected="one number of levels",
                remedy="Count all images with the same one.",
            )
        return Histogram(self.inside + other.inside, self.outside + other.outside)

    def at_least(self) -> tuple[Numbers, Numbers]:
        """Pixels (of the region, others) at each threshold or above, (L,), for thresholds from 1 down to 0."""
        return np.cumsum(self.inside[::-1]), np.cumsum(self.outside[::-1])


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve and the area under it.

    Attributes:
        x: in [0, 1]; 1 - specificity of a ROC, recall of a precision-recall curve.
        y: in [0, 1]; sensitivity of a ROC, precision of a precision-recall curve.
        area: in [0, 1].
    """

    x: Values
    y: Values
    area: float


def roc(histogram: Histogram) -> Curve | None:
    """Receiver operating characteristic: sensitivity against 1 - specificity, from (0, 0) to (1, 1).

    The area is by trapezium: the chance that a pixel of the region lies higher than another, pixels of one
    level counting half. In [0, 1], 0.5 for a map that tells nothing. None where one class is missing.
    """
    if not histogram.inside.any() or not histogram.outside.any():
        return None
    inside, outside = (np.concatenate([[0], counts]) / counts[-1] for counts in histogram.at_least())
    trapezia = np.diff(outside) * (inside[1:] + inside[:-1]) / 2
    return Curve(outside, inside, float(trapezia.sum()))


def precision_recall(histogram: Histogram) -> Curve | None:
    """Precision against recall, for the thresholds that find anything.

    The area is average precision, sum_n (R_n - R_{n-1}) P_n with R_0 = 0: no line is drawn between points, as
    that would flatter. In [0, 1], the region's share of the pixels for a map that tells nothing. None where
    one class is missing.
    """
    if not histogram.inside.any() or not histogram.outside.any():
        return None
    both, only = histogram.at_least()
    some = both + only > 0
    recall, precision = both[some] / both[-1], both[some] / (both + only)[some]
    return Curve(recall, precision, float((np.diff(recall, prepend=0) * precision).sum()))


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """One image by Inf-Net's evaluator: each (256,), in [0, 1], for thresholds from 1 down to 0.

    ``dice`` is also F1; ``recall`` is also sensitivity; ``accuracy`` is ours. **Each is 0 where no pixel is found
    rightly, even specificity** (a true positive is lacking, so their code gives up): of an image without the region
    all are 0, and the mean over images must be read with that in mind.
    """

    thresholds: Values
    dice: Values
    iou: Values
    recall: Values
    specificity: Values
    precision: Values
    accuracy: Values


def threshold_curve(scores: Map, truth: Mask, known: Mask | None = None) -> ThresholdCurve:
    """Dice and others of a map at 256 thresholds, as Inf-Net's evaluator; its tables are means over them.

    The map is stretched to [0, 1] first. At the last threshold, 0, every pixel is found: recall 1 where there is
    the region, specificity 0, precision the region's share. A constant map is not stretched (``stretch``): one of
    zeros finds nothing but at the last threshold, one of a value v finds everything from threshold v downwards.
    Where the truth fills the image specificity is 0/0, theirs NaN, ours 0.
    Theirs leaves ties to rounding, which ``Histogram`` does not.

    Raises:
        LabelError: shapes that differ.
        UsageError: a value that is not finite, or a constant map that is not in [0, 1].
    """
    values, true = known_pixels(scores, truth, known, stretched=True)
    histogram = Histogram.of(values, true)
    both, only = histogram.at_least()
    positive, negative = int(true.sum()), int((~true).sum())

    def share(part: Numbers, whole: Numbers | int) -> Values:
        result = np.zeros(LEVELS)
        np.divide(part, whole, out=result, where=(both > 0) & (np.asarray(whole) > 0))
        return result

    return ThresholdCurve(
        thresholds=np.arange(LEVELS - 1, -1, -1) / (LEVELS - 1),
        dice=share(2 * both, both + only + positive),
        iou=share(both, only + positive),
        recall=share(both, positive),
        specificity=share(negative - only, negative),
        precision=share(both, both + only),
        accuracy=share(both + negative - only, positive + negative),
    )


def adaptive_threshold(scores: Map, known: Mask | None = None) -> float | None:
    """Twice the mean of the stretched map, at most 1: in [0, 1]. None for no pixel.

    0 for a map of zeros, which then finds everything (Inf-Net's evaluator has that too).
    """
    values = _in_unit(stretch(scores if known is None else scores[known]))
    return min(2 * float(values.mean()), 1.0) if values.size else None


def stretch(scores: Map, known: Mask | None = None) -> Values:
    """(map - least) / (greatest - least): the map as [0, 1]. A constant one is returned as it is.

    Least and greatest are those of the known pixels; others may leave [0, 1].
    """
    values = scores.astype(np.float64)
    seen = values if known is None else values[known]
    least, greatest = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
    with np.errstate(invalid="ignore"):  # infinity becomes NaN
        return values if least == greatest else (values - least) / (greatest - least)


def known_pixels(
    scores: Map, truth: Mask, known: Mask | None = None, *, stretched: bool = False
) -> tuple[Values, Mask]:
    """The known pixels of a map, clipped to [0, 1] or ``stretched``, and of its truth, (N,) each.

    Raises:
        LabelError: shapes that differ.
        UsageError: a value that is not finite, or not in [0, 1].
    """
    shapes = [array.shape for array in (scores, truth, known) if array is not None]
    if len(set(shapes)) > 1:
        raise LabelError(
            f"A map and masks of shapes {', '.join(map(str, shapes))}.",
            expected="the same grid",
            remedy="Resample one of them to the other's grid first.",
        )
    values, true = (scores.ravel(), truth.ravel()) if known is None else (scores[known], truth[known])
    return _in_unit(stretch(values) if stretched else values), true


def _in_unit(values: Map) -> Values:
    """The values, clipped to [0, 1] if they leave it by rounding only."""
    # written so that NaN, for which every comparison is false, is refused
    if values.size and not (values.min() >= -SLACK and values.max() <= 1 + SLACK):
        raise UsageError(
            f"A map with values from {values.min():.4g} to {values.max():.4g}.",
            expected="probabilities, 0 to 1",
            remedy="Scale the map to [0, 1] first, e.g. divide 8-bit grey by 255.",
        )
    return values.astype(np.float64).clip(0, 1)

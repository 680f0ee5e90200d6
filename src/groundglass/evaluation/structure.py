"""How well a map in [0, 1] and a mask look alike: S-measure, E-measure and absolute errors.

1. S-measure: Fan et al., "Structure-measure: a new way to evaluate foreground maps", ICCV 2017.
2. E-measure: Fan et al., "Enhanced-alignment measure for binary foreground map evaluation", IJCAI 2018.

Both as their authors' released MATLAB evaluates them, with its special cases of empty and full truths. Maps
are float arrays in [0, 1], truths boolean arrays of the same shape; ``known`` (boolean, same shape) leaves
pixels out. Nothing is stretched here: Inf-Net's tables are of maps that went through ``curves.stretch`` first.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from groundglass.evaluation.curves import Histogram, Map, Mask, Numbers, Values, known_pixels
from groundglass.evaluation.overlap import count

ALPHA: Final = 0.5  # the object's share of the S-measure
EPSILON: Final = float(np.finfo(np.float64).eps)


def s_measure(scores: Map, truth: Mask) -> float | None:
    """0.5 S_object + 0.5 S_region, or 0 if that is negative; in [0, 1], 1 is best.

    There is no ``known``: the parts of the image are compared as wholes. 1 - the map's mean where the truth is
    empty, the map's mean where it fills the image; None for an image without pixels.

    Args:
        scores: (H, W), in [0, 1].
        truth: (H, W).

    Raises:
        LabelError: shapes that differ.
        UsageError: a value that is not in [0, 1].
    """
    if not truth.size:
        return None
    values = known_pixels(scores, truth)[0].reshape(truth.shape)
    share = float(truth.mean())
    if share in (0, 1):
        return float(values.mean() if share else 1 - values.mean())
    s_object = share * _object(values[truth]) + (1 - share) * _object(1 - values[~truth])
    return max(0.0, ALPHA * s_object + (1 - ALPHA) * _region(values, truth))


def _object(values: Values) -> float:
    """2 m / (m^2 + 1 + sigma), of the map's values on one side of the truth, (N,)."""
    mean, sigma = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + sigma + EPSILON))


def _region(values: Values, truth: Mask) -> float:
    """SSIM of the four parts that a cross through the truth's centroid makes, weighted by their area.

    The centroid belongs to the upper left part; halves are rounded up, as in MATLAB (py_sod_metrics rounds
    them to even). In the last row or column it leaves empty parts, NaN in MATLAB, which do not count here.
    """
    y, x = (int(np.floor(indices.mean() + 0.5)) + 1 for indices in np.nonzero(truth))
    parts = [(rows, columns) for rows in (slice(y), slice(y, None)) for columns in (slice(x), slice(x, None))]
    return sum(_ssim(values[part], truth[part]) * truth[part].size / truth.size for part in parts if truth[part].size)


def _ssim(values: Values, truth: Mask) -> float:
    """4 x y s_xy / ((x^2 + y^2)(s_x^2 + s_y^2)); 1 if both are 0, 0 if the numerator alone is.

    A constant part has variance 0 here, whatever rounding makes of its mean; theirs may be 1e-33 there, which
    turns the 1 of two constant parts into 0.
    """
    x = float(values.flat[0]) if values.min() == values.max() else float(values.mean())
    y = float(truth.mean())
    dx, dy, size = values - x, truth - y, truth.size - 1 + EPSILON
    numerator = 4 * x * y * float((dx * dy).sum()) / size
    denominator = (x**2 + y**2) * float((dx**2).sum() + (dy**2).sum()) / size
    if numerator == 0:
        return float(denominator == 0)
    return numerator / (denominator + EPSILON)


def e_measure(found: Mask, truth: Mask, known: Mask | None = None) -> float | None:
    """Enhanced alignment of a mask with the truth, in [0, N / (N - 1)], 1 is best.

    sum (1 + 2 f t / (f^2 + t^2))^2 / 4 / (N - 1), with f and t the masks minus their means, over N pixels. The
    sum is the pixels not found where the truth is empty, those found where it fills the image. Divided by
    N - 1 and not by N, as by the authors, so that 1 may be passed by a hair. None for fewer than 2 pixels.
    """
    counts = count(found, truth, known)
    both, only = np.array([counts.both]), np.array([counts.found_only])
    negative = counts.found_only + counts.neither
    alignment = _alignment(both, only, counts.both + counts.true_only, negative)
    return None if alignment is None else float(alignment[0])


def e_measure_curve(
    scores: Map, truth: Mask, known: Mask | None = None, comparison: Literal[">=", ">"] = ">="
) -> Values | None:
    """E-measure of the map cut at 256 thresholds, from 1 down to 0, (256,): mean and maximum are reported.

    Args:
        scores: in [0, 1].
        truth: same shape.
        known: same shape, the pixels that count; all by default.
        comparison: what takes a pixel: ``>=`` the threshold (py_sod_metrics), or ``>``, by which Inf-Net's
            evaluator cuts for the E-measure alone, so that nothing is found at its first threshold.

    Returns:
        Each as ``e_measure``; None for fewer than 2 pixels.

    Raises:
        LabelError: shapes that differ.
        UsageError: a value that is not in [0, 1].
    """
    values, true = known_pixels(scores, truth, known)
    positive, negative = int(true.sum()), int((~true).sum())
    if comparison == ">=":
        return _alignment(*Histogram.of(values, true).at_least(), positive, negative)
    # above t is what 1 - t or more of the inverted map leaves
    both, only = Histogram.of(1 - values, true).at_least()
    return _alignment(positive - both[::-1], negative - only[::-1], positive, negative)


def _alignment(both: Numbers, only: Numbers, positive: int, negative: int) -> Values | None:
    """E-measure from pixels found rightly and wrongly, (T,) each, and the truth's pixels, in and out."""
    size = positive + negative
    if size < 2:
        return None
    if not positive:
        return (negative - only) / (size - 1)
    if not negative:
        return both / (size - 1)
    f, t = (both + only) / size, positive / size
    total: Values = np.zeros(len(both))
    for pixels, a, b in (
        (both, 1 - f, 1 - t),
        (only, 1 - f, -t),
        (positive - both, -f, 1 - t),
        (negative - only, -f, -t),
    ):
        total += pixels * (1 + 2 * a * b / (a**2 + b**2 + EPSILON)) ** 2 / 4
    return total / (size - 1)


def mean_absolute_error(scores: Map, truth: Mask, known: Mask | None = None) -> float | None:
    """Mean of |map - truth|, in [0, 1], 0 is best; None for no pixel. An empty or full truth is nothing special."""
    values, true = known_pixels(scores, truth, known)
    return float(np.abs(values - true).mean()) if true.size else None


def balanced_absolute_error(scores: Map, truth: Mask, known: Mask | None = None) -> float | None:
    """Mean of the error over the truth and the error over the rest, in [0, 1], 0 is best.

    A lesion of 1 % of the image weighs as much as the other 99 %, while a map of zeros has a
    ``mean_absolute_error`` of 0.01 there: 0.5 is what any constant map gets. It is the error with each pixel
    weighted by 1 / (2 n), n the pixels of its side. None where the truth, or the rest, is empty.
    """
    values, true = known_pixels(scores, truth, known)
    if true.all() or not true.any():
        return None
    return float((1 - values[true]).mean() + values[~true].mean()) / 2

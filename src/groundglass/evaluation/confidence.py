"""Whether a map of confidence knows where a prediction is wrong."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.curves import Histogram, Map, Mask, roc
from groundglass.labels import UNKNOWN, check_label_sets

LEVELS: Final = 2**16  # confidence may be all but the same everywhere


def error_area(confidence: Map, wrong: Mask, known: Mask | None = None) -> float | None:
    """Area under the ROC of 1 - confidence as a detector of wrong pixels.

    The chance that a wrong pixel is less trusted than a right one: 0.5 for a map that tells nothing, 1 is best. None
    where no pixel is wrong, or none right.

    Args:
        confidence: in [0, 1].
        wrong: same shape.
        known: same shape, the pixels that count; all by default.

    Raises:
        LabelError: shapes that differ.
        UsageError: a value that is not in [0, 1].
    """
    curve = roc(Histogram.of(1 - confidence, wrong, known, levels=LEVELS))
    return None if curve is None else curve.area


def wrong_pixels(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Pixels (wrong, known) of label sets that cannot be those of the truth, and of which the truth says something.

    Args:
        found: label sets, a group of tissues a pixel.
        truth: label sets, same shape.
    """
    known: Mask = check_label_sets(truth) != UNKNOWN
    wrong: Mask = (found & truth) == 0
    return wrong, known

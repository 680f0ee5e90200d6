"""Where a label map differs most from the truth, and how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import NAME_OF_CODE


@dataclass(frozen=True)
class Failure:
    """The slice with the most wrong infection; all volumes are of that slice.

    Attributes:
        index: of the slice, from 0.
        true_ml: its infection.
        missed_ml: what of that was called no infection.
        overcalled_ml: what was called infection and is none.
        haze_as_solid_ml: ground glass that was called consolidation.
        solid_as_haze_ml: consolidation that was called ground glass.
    """

    index: int
    true_ml: float
    missed_ml: float
    overcalled_ml: float
    haze_as_solid_ml: float
    solid_as_haze_ml: float


def worst_slice(codes: NDArray[np.uint8], truth: NDArray[np.uint8], voxel_ml: float) -> Failure | None:
    """The slice where most infection is wrong: missed, overcalled, or of the wrong kind.

    Args:
        codes: uint8 ``[z, y, x]``, 0 background, 1 lung, 2 ground-glass opacity, 3 consolidation.
        truth: the same.
        voxel_ml: volume of a voxel.

    Returns:
        None where nothing is wrong; whether a voxel without infection is lung does not matter.
    """
    n = len(NAME_OF_CODE)
    pairs = [np.bincount((true * n + found).ravel(), minlength=n * n) for true, found in zip(truth, codes, strict=True)]
    table = np.stack(pairs).reshape(-1, n, n)  # [slice, true code, found code], voxels
    missed = table[:, 2:, :2].sum(axis=(1, 2))
    overcalled = table[:, :2, 2:].sum(axis=(1, 2))
    wrong = missed + overcalled + table[:, 2, 3] + table[:, 3, 2]
    worst = int(wrong.argmax())
    if not wrong[worst]:
        return None
    voxels = (table[worst, 2:].sum(), missed[worst], overcalled[worst], table[worst, 2, 3], table[worst, 3, 2])
    return Failure(worst, *(float(count) * voxel_ml for count in voxels))

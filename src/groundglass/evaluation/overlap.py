"""How far two label maps agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import Region, region_of_codes


def dice(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], region: Region) -> float | None:
    """2 |P and T| / (|P| + |T|) of a region over all voxels of two label maps (codes 0 to 3).

    In [0, 1]; None where neither has the region, for then it is 0/0.
    """
    predicted, true = region_of_codes(prediction, region), region_of_codes(truth, region)
    both = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / both if both else None

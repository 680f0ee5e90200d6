"""How far two label maps of one picture agree: ``python -m benchmarks.labelled_twice STORE SLICE SLICE``.

The second slice is laid over the first by the affine map of the greatest correlation of their pictures, and its labels
with it (the nearest pixel's). What two readings of one picture share no model can be asked to surpass.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.optimize import minimize

from groundglass.cli.ending import computing
from groundglass.errors import UsageError

REGIONS = ("infection", "ground_glass", "consolidation")


def laid(plane: NDArray[np.generic], by: NDArray[np.float64], order: int) -> NDArray[np.generic]:
    """A plane (H, W) moved by scale and shear (``by[:4]``) about its middle, and by a shift in pixels (``by[4:]``)."""
    middle = (np.array(plane.shape) - 1) / 2
    matrix = by[:4].reshape(2, 2)
    moved: NDArray[np.generic] = affine_transform(plane, matrix, offset=middle - matrix @ middle + by[4:], order=order)
    return moved


def over(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """How the second picture is laid over the first, and their correlation then."""

    def unlike(by: NDArray[np.float64]) -> float:
        return -float(np.corrcoef(first.ravel(), laid(second, by, 1).ravel())[0, 1])

    starts = [np.array([tall, 0, 0, wide, 0, 0]) for tall, wide in product((0.95, 1.0, 1.05), repeat=2)]
    best = min((minimize(unlike, start, method="Powell") for start in starts), key=lambda found: float(found.fun))
    return best.x, -float(best.fun)


def main(words: list[str]) -> None:
    """Print the correlation, and Dice of each region."""
    from groundglass.evaluation.overlap import METRICS, count
    from groundglass.labels import Region, inside
    from groundglass.store import open_store

    if len(words) != 3:
        raise UsageError(f"{len(words)} words.", expected="a store and two slices", remedy="Say STORE SLICE SLICE.")
    store = open_store(Path(words[0]))
    first, second = (store.number(name) for name in words[1:])
    by, correlation = over(store.prepared(first), store.prepared(second))
    mine, other = store.prepared_label_set(first), laid(store.prepared_label_set(second), by, 0)
    print(f"correlation {correlation:.3f}")
    for region in (one for one in Region if one.key in REGIONS):
        found, true = ((sets > 0) & inside(sets, region) for sets in (other, mine))
        print(f"{region.key}: Dice {METRICS['dice'](count(found, true, np.ones_like(true))) or 0:.3f}")


if __name__ == "__main__":
    with computing():
        main(sys.argv[1:])

"""Whether a generative segmenter still tells its classes apart: StitchNet's failure on unlabelled pictures, as numbers.

StichNet (2020, section 5) and StitchNet (2022, "Discussion") saw the styles of unlabelled pictures become one and their
segmentations the same for every picture. Neither measured it. Here (ours):

- **styles apart**: mean absolute difference between two styles of a picture, over pixels, in HU; of the two styles of
  different tissues that are the least apart for their noise.
- **noise** of that difference: how much it differs between two samples of the latents, which is what the posterior's
  randomness alone does. (That all styles together become brighter or darker tells nothing of how far they are apart.)
- **error** of the stitched picture, beside that of the mean picture, which knows nothing of any: a model whose latents
  have collapsed has little noise, and its styles may well be apart.
- **share of each class**: mean probability. A class of share 0 or 1 has collapsed.
- **information of pictures**: mutual information between the class of a pixel and which picture it is of, at a place of
  the grid: 0 where all pictures are segmented the same.
- **information of grey values**: mutual information between the class of a pixel and its grey value: 0 where the
  segmentation does not depend on what is seen there.

Arrays: pictures (N, H, W) in [0, 1]; styles (N, K, H, W) in HU or any other unit; probabilities (N, K, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
BINS: Final = 32  # of grey values
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Distance:
    """How far two styles are apart, and what of it the posterior's randomness alone makes; in the styles' unit."""

    apart: float
    noise: float


def closest(
    styles: Array, samples: tuple[Array, Array], tissues: Sequence[int], shown: Mask | None = None
) -> Distance | None:
    """The two styles of different tissues whose distance is the fewest times its noise; None where there are no two.

    Args:
        styles: by the latents' means, (N, S, H, W).
        samples: the same by two samples of them.
        tissues: the tissue group of each style: two styles of one may be alike.
        shown: (N, H, W), what is no padding; all by default.
    """
    found = []
    for one, other in combinations(range(len(tissues)), 2):
        if tissues[one] != tissues[other]:
            gap, first, second = (each[:, one] - each[:, other] for each in (styles, *samples))
            found.append(Distance(_mean(np.abs(gap), shown), _mean(np.abs(first - second), shown)))
    return min(found, key=lambda one: one.apart / max(one.noise, _TINY)) if found else None


def error_of_mean_picture(pictures: Array, shown: Mask | None = None) -> float:
    """Mean absolute difference of pictures (N, H, W) from their mean: what a model is off that knows none by itself."""
    seen = np.ones(pictures.shape, bool) if shown is None else shown
    mean = (pictures * seen).sum(axis=0, dtype=np.float64) / np.maximum(seen.sum(axis=0), 1)
    return _mean(np.abs(pictures - mean), shown)


def shares(probability: Array, shown: Mask | None = None) -> list[float]:
    """Mean probability of each class of (N, K, H, W)."""
    return [_mean(each, shown) for each in np.moveaxis(probability, 1, 0)]


def information_of_pictures(probability: Array, shown: Mask | None = None) -> float:
    """``H(mean over pictures of p) - mean over pictures of H(p)`` at each pixel, the mean over pixels; bits.

    Of N pictures at most log2 N; 0 for one. A place counts as often as pictures show it.
    """
    p = probability.astype(np.float64)
    seen = np.ones((len(p), *p.shape[2:]), bool) if shown is None else shown
    count = seen.sum(axis=0)
    mean = (p * seen[:, None]).sum(axis=0) / np.maximum(count, 1)
    own = (_entropy(p, axis=1) * seen).sum()
    return float(((_entropy(mean, axis=0) * count).sum() - own) / max(count.sum(), 1))


def information_of_grey_values(
    pictures: Array, probability: Array, bins: int = BINS, shown: Mask | None = None
) -> float:
    """Mutual information of class and grey value, of the table of their joint frequencies; bits.

    Args:
        pictures: (N, H, W), [0, 1].
        probability: (N, K, H, W); a pixel counts for each class by its probability.
        bins: of equal width, that grey values are put into.
        shown: (N, H, W), what is no padding; all by default.
    """
    seen = np.ones(pictures.shape, bool) if shown is None else shown
    place = np.minimum((np.clip(pictures[seen], 0, 1) * bins).astype(np.intp), bins - 1)
    table = np.stack([np.bincount(place, weights=p[seen], minlength=bins) for p in np.moveaxis(probability, 1, 0)])
    joint = table / table.sum()
    both = _entropy(joint.sum(axis=0), axis=0) + _entropy(joint.sum(axis=1), axis=0)
    return float(both - _entropy(joint.ravel(), axis=0))


def _mean(values: Array, shown: Mask | None) -> float:
    """Of what is shown of (N, H, W)."""
    return float((values if shown is None else values[shown]).mean(dtype=np.float64))


def _entropy(p: Array, axis: int) -> NDArray[np.float64]:
    """Bits; 0 log 0 is 0."""
    logarithm = np.log2(p, out=np.zeros(p.shape), where=p > 0)
    entropy: NDArray[np.float64] = -(p * logarithm).sum(axis=axis)
    return entropy

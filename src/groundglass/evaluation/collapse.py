"""Whether a generative segmenter still tells its classes apart: StitchNet's failure on unlabelled pictures, as numbers.

StichNet (2020, section 5) and StitchNet (2022, "Discussion") saw the styles of unlabelled pictures become one and their
segmentations the same for every picture. Neither measured it. Here (ours):

- **styles apart**: mean absolute difference between two styles of a picture, over pixels and pairs of styles, in HU.
- **noise**: the same between two samples of one style: what the posterior's randomness alone does. Styles that are
  apart by no more than that are one.
- **share of each class**: mean probability. A class of share 0 or 1 has collapsed.
- **information of pictures**: mutual information between the class of a pixel and which picture it is of, at a place of
  the grid: 0 where all pictures are segmented the same.
- **information of grey values**: mutual information between the class of a pixel and its grey value: 0 where the
  segmentation does not depend on what is seen there.

Arrays: pictures (N, H, W) in [0, 1]; styles (N, K, H, W) in HU or any other unit; probabilities (N, K, H, W).
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
BINS: Final = 32  # of grey values


def styles_apart(styles: Array) -> float | None:
    """Mean absolute difference between styles (N, K, H, W), over pictures, pixels and pairs; None for one style."""
    pairs = list(combinations(range(styles.shape[1]), 2))
    if not pairs:
        return None
    return float(np.mean([np.abs(styles[:, one] - styles[:, other]).mean() for one, other in pairs]))


def noise(one: Array, other: Array) -> float:
    """Mean absolute difference between two samples (N, K, H, W) of the same styles."""
    return float(np.abs(one - other).mean())


def shares(probability: Array) -> list[float]:
    """Mean probability of each class."""
    return [float(share) for share in probability.mean(axis=(0, 2, 3), dtype=np.float64)]


def information_of_pictures(probability: Array) -> float:
    """``H(mean over pictures of p) - mean over pictures of H(p)`` at each pixel, the mean over pixels; bits.

    Of N pictures at most log2 N; 0 for one.
    """
    p = probability.astype(np.float64)
    return float((_entropy(p.mean(axis=0), axis=0) - _entropy(p, axis=1).mean(axis=0)).mean())


def information_of_grey_values(pictures: Array, probability: Array, bins: int = BINS) -> float:
    """Mutual information of class and grey value, of the table of their joint frequencies; bits.

    Args:
        pictures: (N, H, W), [0, 1].
        probability: (N, K, H, W); a pixel counts for each class by its probability.
        bins: of equal width, that grey values are put into.
    """
    place = np.minimum((np.clip(pictures, 0, 1) * bins).astype(np.intp), bins - 1).ravel()
    table = np.stack([np.bincount(place, weights=p.ravel(), minlength=bins) for p in np.moveaxis(probability, 1, 0)])
    joint = table / table.sum()
    both = _entropy(joint.sum(axis=0), axis=0) + _entropy(joint.sum(axis=1), axis=0)
    return float(both - _entropy(joint.ravel(), axis=0))


def _entropy(p: Array, axis: int) -> NDArray[np.float64]:
    """Bits; 0 log 0 is 0."""
    logarithm = np.log2(p, out=np.zeros(p.shape), where=p > 0)
    entropy: NDArray[np.float64] = -(p * logarithm).sum(axis=axis)
    return entropy

"""Lesions found, lesions missed and lesions made up.

A lesion is a connected component: voxels that touch by a face, an edge or a corner (8 neighbours in 2-D, 26 in
3-D). Counts add over images, and what is made of them is made of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lesions:
    """Lesions of one image, or of several added with ``+``.

    Attributes:
        true: lesions of the truth.
        true_found: those of them that were found.
        found: lesions of what was found.
        found_false: those of them that hold no voxel of the truth (false positives).
    """

    true: int
    true_found: int
    found: int
    found_false: int

    def __add__(self, other: Lesions) -> Lesions:
        """The lesions of both images."""
        return Lesions(
            self.true + other.true,
            self.true_found + other.true_found,
            self.found + other.found,
            self.found_false + other.found_false,
        )

    @property
    def sensitivity(self) -> float | None:
        """``true_found / true``, in [0, 1]; None where there is no lesion."""
        return self.true_found / self.true if self.true else None

    @property
    def precision(self) -> float | None:
        """1 - ``found_false / found``, in [0, 1]; None where nothing was found."""
        return 1 - self.found_false / self.found if self.found else None


def match_lesions(
    found: Mask, true: Mask, known: Mask | None = None, *, smallest: int = 1, share: float = 0.0
) -> Lesions:
    """Count lesions of the truth that were found, and found ones that are none.

    Args:
        found: mask of 2 or 3 dimensions.
        true: same shape.
        known: same shape; what lies on other pixels is left out, which may cut a lesion in two.
        smallest: in voxels. Smaller lesions of the truth are not asked for, but to find them is not false;
            smaller found ones are taken as not found.
        share: in [0, 1], how much of a lesion of the truth has to be found; one voxel at least.
    """
    if known is not None:
        found, true = found & known, true & known
    pieces, piece_sizes = _components(found)
    wanted = piece_sizes >= smallest
    touches_truth = np.bincount(pieces[true], minlength=len(piece_sizes)) > 0

    lesions, sizes = _components(true)
    asked = sizes >= smallest
    hit = np.bincount(lesions[wanted[pieces]], minlength=len(sizes))
    return Lesions(
        true=int(asked.sum()),
        true_found=int((asked & (hit > 0) & (hit >= share * sizes)).sum()),
        found=int(wanted.sum()),
        found_false=int((wanted & ~touches_truth).sum()),
    )


def _components(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The component of each voxel, from 1, and the components' sizes; 0 is no component, and its size -1."""
    labels, number = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = -1
    return labels, sizes

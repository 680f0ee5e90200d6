"""From lesions, by whatever model, and the classical lung field to a whole label map.

The field is a lower bound: solid lung that touches the pleura is not in it. So a component of lesion is
kept whole if it touches the field and lies inside the body; lung is the field and the kept lesions together;
a component that touches no lung is dropped.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.preprocess.grid import box
from groundglass.preprocess.lung import LEFT, RIGHT, LungField
from groundglass.preprocess.morphology import TOUCHING, Mask, label
from groundglass.scan import Scan

INSIDE_SHARE: Final = 0.9  # of a component, inside the body


def complete(lesions: NDArray[np.uint8], field: LungField, scan: Scan, model: ModelCard) -> Segmentation:
    """The label map of lesions that are lung's, and of the lung around them.

    Args:
        lesions: uint8 ``[z, y, x]``, 2 ground-glass opacity, 3 consolidation, else 0.
        field: the scan's lung field.
        scan: the scan.
        model: what found the lesions.
    """
    kept = keep_lesions(lesions > 0, field)
    codes = np.where(kept, lesions, field.mask.view(np.uint8))
    return Segmentation(codes, _sides(field, kept, scan.spacing_mm), model, field.notices)


def keep_lesions(lesions: Mask, field: LungField) -> Mask:
    """The components (26 neighbours) of ``lesions`` that touch the lung field and lie inside the body, whole.

    Touching is sharing a voxel or a face, edge or corner with it.
    """
    kept = np.zeros_like(lesions)
    near = box(lesions, (1, 1, 1))
    if not lesions.any() or not field.mask.any():
        return kept
    labels, sizes = label(lesions[near], corners=True)
    within = np.bincount(labels[field.body[near]], minlength=len(sizes))
    touched = np.zeros(len(sizes), bool)
    touched[np.unique(labels[_and_neighbours(field.mask[near])])] = True
    kept[near] = (touched & (sizes > 0) & (within >= INSIDE_SHARE * sizes))[labels]
    return kept


def _and_neighbours(mask: Mask) -> Mask:
    grown: Mask = ndimage.binary_dilation(mask, TOUCHING)
    return grown


def _sides(field: LungField, kept: Mask, spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The field's sides; a kept voxel outside the field goes to the nearer lung."""
    sides = field.sides.copy()
    outside = kept & (sides == 0)
    if outside.any():
        # every component touches the field, so the box around them holds the lung that is nearest
        near = box(outside, (2, 4, 4))
        right, left = (
            ndimage.distance_transform_edt(sides[near] != side, sampling=spacing_mm)
            if (sides[near] == side).any()
            else np.full(sides[near].shape, np.inf)
            for side in (RIGHT, LEFT)
        )
        sides[near] = np.where(outside[near], np.where(left < right, LEFT, RIGHT), sides[near])
    return sides

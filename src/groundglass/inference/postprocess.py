"""From lesions, by whatever model, and the classical lung field to a whole label map.

The field is a lower bound: solid lung that touches the pleura is not in it. So a component of lesion is
kept whole if enough of its surface touches the field and it lies inside the body; lung is the field and the
kept lesions together. Stomach, gut and liver that a model takes for consolidation touch the field at a point
or not at all, and are dropped. In a crop around the lungs, where the field is a guess, all lesions are kept.

In such a crop a model that knows lung adds what it calls lung and the field lacks. In whole slices it does not: of a
healthy scan our own calls 3 % more lung, most of it gas in the gut, and what borders on that would count as lesion.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.preprocess.grid import box
from groundglass.preprocess.lung import LEFT, RIGHT, LungField
from groundglass.preprocess.morphology import TOUCHING, Mask, label
from groundglass.scan import Scan

INSIDE_SHARE: Final = 0.9  # of a component, inside the body
# Of a component's surface, at the field: between gut called consolidation (0 to 1 %) and a solid third of a lung
# (30 to 36 %; a mass at the pleura has 87 % and more).
TOUCHING_SHARE: Final = 0.1


def complete(
    lesions: NDArray[np.uint8], field: LungField, scan: Scan, model: ModelCard, lungs: Mask | None = None
) -> Segmentation:
    """The label map of lesions that are lung's, and of the lung around them.

    Args:
        lesions: uint8 ``[z, y, x]``, 2 ground-glass opacity, 3 consolidation, else 0.
        field: the scan's lung field.
        scan: the scan.
        model: what found the lesions.
        lungs: bool ``[z, y, x]``, what it calls lung without lesion, for crops; None if it knows no lung.
    """
    if lungs is not None and field.cropped:
        more = lungs & (field.sides == 0) & ~field.airways
        field = replace(field, sides=_sides(field, more, scan.spacing_mm))
    kept = lesions > 0 if field.cropped else keep_lesions(lesions > 0, field)
    codes = np.where(kept, lesions, field.mask.view(np.uint8))
    known = bool(field.mask.any())
    sides = _sides(field, kept, scan.spacing_mm)
    return Segmentation(codes, sides, model, field.notices, lung_known=known, cropped=field.cropped)


def keep_lesions(lesions: Mask, field: LungField) -> Mask:
    """The components (26 neighbours) of ``lesions`` that border on the lung field and lie inside the body, whole.

    To border on it, at least ``TOUCHING_SHARE`` of a component's surface (voxels with a face to what is no lesion)
    is in the field or shares a face, edge or corner with it.
    """
    kept = np.zeros_like(lesions)
    near = box(lesions, (1, 1, 1))
    if not lesions.any() or not field.mask.any():
        return kept
    labels, sizes = label(lesions[near], corners=True)
    within = np.bincount(labels[field.body[near]], minlength=len(sizes))
    # where the scan ends, a lesion is cut and has no surface
    surface = lesions[near] & ~ndimage.binary_erosion(lesions[near], border_value=1)
    whole = np.bincount(labels[surface], minlength=len(sizes))
    touching = np.bincount(labels[surface & _and_neighbours(field.mask[near])], minlength=len(sizes))
    chosen = (touching > 0) & (touching >= TOUCHING_SHARE * whole) & (within >= INSIDE_SHARE * sizes) & (sizes > 0)
    kept[near] = chosen[labels]
    return kept


def _and_neighbours(mask: Mask) -> Mask:
    grown: Mask = ndimage.binary_dilation(mask, TOUCHING)
    return grown


def _sides(field: LungField, kept: Mask, spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The field's sides; a kept voxel outside the field goes to the nearer lung."""
    sides = field.sides.copy()
    outside = kept & (sides == 0)
    if outside.any():
        # every component touches the field (or the picture is a crop, and small), so this holds the nearest lung
        near = (slice(None),) * 3 if field.cropped else box(outside, (2, 4, 4))
        points = np.argwhere(outside[near]) * spacing_mm
        right, left = (_distances(points, sides[near] == side, spacing_mm) for side in (RIGHT, LEFT))
        sides[near][outside[near]] = np.where(left < right, LEFT, RIGHT)
    return sides


def _distances(points: NDArray[np.floating], mask: Mask, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance in mm of points (N, 3) outside of a mask to it: to its surface; infinite where it is empty.

    The points are few: a tree of the surface takes a tenth of what distances of all voxels do.
    """
    surface = np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing_mm
    if not len(surface):
        return np.full(len(points), np.inf)
    distances: NDArray[np.float64] = KDTree(surface).query(points)[0]
    return distances

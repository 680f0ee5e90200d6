"""Morphology with balls in millimetres, by exact distances, on boxes; components as sizes and boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.preprocess.grid import box

Spacing = tuple[float, float, float]
Mask = NDArray[np.bool_]
TOUCHING = np.ones((3, 3, 3), bool)


def distance_mm(mask: Mask, spacing_mm: Spacing) -> NDArray[np.float32]:
    """Distance of each voxel of the mask to the nearest voxel outside it, in mm; 0 outside the mask.

    What lies beyond the array counts as neither in nor out: in a mask that fills it every distance is infinite.
    """
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    distances: NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    return distances.astype(np.float32)


def dilate(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """All voxels within ``radius_mm`` of the mask."""
    if not mask.any():
        return mask.copy()
    near = box(mask, _voxels(radius_mm, spacing_mm))
    grown = np.zeros_like(mask)
    grown[near] = distance_mm(~mask[near], spacing_mm) <= radius_mm
    return grown


def erode(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """All voxels of the mask farther than ``radius_mm`` from what is outside it."""
    near = box(mask, (1, 1, 1))
    shrunk = np.zeros_like(mask)
    if mask.any():
        shrunk[near] = distance_mm(mask[near], spacing_mm) > radius_mm
    return shrunk


def close(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Dilation, then erosion: fills gaps that a ball of ``radius_mm`` does not fit into.

    Above and below the array the mask is thought to go on as its outermost slices do, so that a lung cut off
    by the scan's first or last slice is closed there as elsewhere.
    """
    if not mask.any():
        return mask.copy()
    wide = _voxels(radius_mm, spacing_mm)
    near = box(mask, wide)
    (above, below), *in_plane = [
        (n - (held.start - side.start), n - (side.stop - held.stop))
        for n, held, side in zip(wide, box(mask, (0, 0, 0)), near, strict=True)
    ]
    # twice as far as the ball reaches, so that erosion does not look beyond what was dilated;
    # a single slice that goes on as it is, is closed in itself
    along = (above + wide[0], below + wide[0]) if len(mask) > 1 else (0, 0)
    padded = np.pad(np.pad(mask[near], [along, (0, 0), (0, 0)], mode="edge"), [(0, 0), *in_plane])
    closed = erode(dilate(padded, radius_mm, spacing_mm), radius_mm, spacing_mm)
    first = (along[0], *(before for before, _ in in_plane))
    inner = tuple(slice(n, n + size) for n, size in zip(first, mask[near].shape, strict=True))
    result = mask.copy()
    result[near] |= closed[inner]
    return result


def open_(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Erosion, then dilation within the mask: removes what a ball of ``radius_mm`` does not fit into."""
    return dilate(erode(mask, radius_mm, spacing_mm), radius_mm, spacing_mm) & mask


def fill_slices(mask: Mask) -> Mask:
    """Fills what the mask encloses within each axial slice."""
    filled = mask.copy()
    for plane in filled:
        if plane.any():
            plane[:] = ndimage.binary_fill_holes(plane)
    return filled


def label(mask: Mask, *, corners: bool = False) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected components (6 neighbours; 26 with ``corners``) and their sizes in voxels; size 0 is [0]'s."""
    labels, count = ndimage.label(mask, structure=TOUCHING if corners else None)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels.astype(np.int32, copy=False), sizes


def largest(mask: Mask) -> Mask:
    """The largest connected component (6 neighbours); an empty mask stays empty."""
    labels, sizes = label(mask)
    found: Mask = (labels == sizes.argmax()) & mask
    return found


def _voxels(radius_mm: float, spacing_mm: Spacing) -> tuple[int, int, int]:
    z, y, x = (int(np.ceil(radius_mm / step)) + 1 for step in spacing_mm)
    return z, y, x

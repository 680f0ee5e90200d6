"""Half in-plane resolution: what the classical steps work on, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def halve(hu: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 x 2 pixels of each slice; an odd last row or column is repeated first.

    Args:
        hu: ``[z, y, x]``.

    Returns:
        ``[z, ceil(y / 2), ceil(x / 2)]``, float32.
    """
    z, y, x = hu.shape
    half = np.empty((z, -(-y // 2), -(-x // 2)), np.float32)
    for plane, out in zip(hu, half, strict=True):
        padded = np.pad(plane, ((0, y % 2), (0, x % 2)), mode="edge").astype(np.float32)
        rows = padded[0::2] + padded[1::2]
        out[:] = (rows[:, 0::2] + rows[:, 1::2]) / 4
    return half


def double(half: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Each pixel of each slice as 2 x 2 pixels, cut to ``shape`` ``[z, y, x]``."""
    return half.repeat(2, axis=1).repeat(2, axis=2)[:, : shape[1], : shape[2]]


def double_smoothly(half: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask at twice the in-plane resolution, its outline interpolated; cut to ``shape`` ``[z, y, x]``."""
    whole = np.zeros(shape, bool)
    for plane, out in zip(half, whole, strict=True):
        if plane.any():
            picture = Image.fromarray(plane.astype(np.uint8) * 255)
            smooth = picture.resize((2 * plane.shape[1], 2 * plane.shape[0]), Image.Resampling.BILINEAR)
            out[:] = np.asarray(smooth)[: shape[1], : shape[2]] >= 128
    return whole


def box(mask: NDArray[np.bool_], margin: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    """The smallest box that holds the mask, wider by a margin in voxels (z, y, x) and inside the array.

    An empty mask has an empty box.
    """
    sides = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        low, high = (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)
        wide = margin[axis] if found.size else 0
        sides.append(slice(max(low - wide, 0), min(high + wide, mask.shape[axis])))
    return sides[0], sides[1], sides[2]

"""Tubes: tapering pipes between two points, and how much of each voxel they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.phantom.fields import Array, Grid

_UNSEEN = 0.1  # a tube that can fill no more of a voxel than this is left out


@dataclass(frozen=True, eq=False)
class Tubes:
    """N pipes with round ends.

    Attributes:
        start: (N, 3), mm (z, y, x).
        stop: (N, 3).
        radius: (N, 2), mm at either end.
    """

    start: Array
    stop: Array
    radius: Array

    def __len__(self) -> int:
        return len(self.start)

    def wider(self, extra_mm: Array | float) -> Tubes:
        """The same tubes, thicker by (N,) or one amount."""
        return Tubes(self.start, self.stop, (self.radius + np.asarray(extra_mm, np.float32)[..., None]))

    def where(self, chosen: NDArray[np.bool_]) -> Tubes:
        """The chosen (N,) tubes."""
        return Tubes(self.start[chosen], self.stop[chosen], self.radius[chosen])


def path(points: Array, radius: list[float] | float) -> Tubes:
    """A tube through points (N, 3) with one radius or one at each."""
    r = np.broadcast_to(np.asarray(radius, np.float32), len(points))
    return Tubes(points[:-1], points[1:], np.stack([r[:-1], r[1:]], axis=1))


def join(parts: list[Tubes]) -> Tubes:
    """All tubes of the parts."""
    return Tubes(
        np.concatenate([p.start for p in parts]),
        np.concatenate([p.stop for p in parts]),
        np.concatenate([p.radius for p in parts]),
    )


def fill(tubes: Tubes, grid: Grid) -> Array:
    """Share of each voxel inside a tube, (Z, Y, X) in [0, 1]."""
    out = np.zeros(grid.shape, np.float32)
    width = grid.pixel_mm
    reach = np.maximum(tubes.radius.max(axis=1), grid.thickness_mm / 2) + width
    low, high = np.minimum(tubes.start, tubes.stop), np.maximum(tubes.start, tubes.stop)
    flat_reach = tubes.radius.max(axis=1) + width
    boxes = np.empty((len(tubes), 3, 2), np.intp)
    for a, (axis, r) in enumerate(zip((grid.z, grid.y, grid.x), (reach, flat_reach, flat_reach), strict=True)):
        boxes[:, a, 0] = np.searchsorted(axis, low[:, a] - r)
        boxes[:, a, 1] = np.searchsorted(axis, high[:, a] + r)
    wide = 2 * tubes.radius.max(axis=1)
    seen = np.minimum(wide / width, 1) * np.minimum(wide / grid.thickness_mm, 1) > _UNSEEN
    for n in np.flatnonzero(seen & (boxes[:, :, 1] > boxes[:, :, 0]).all(axis=1)):
        box = tuple(slice(i, j) for i, j in boxes[n])
        np.maximum(out[box], _fill_one(tubes, int(n), grid, box), out=out[box])
    return out


def _fill_one(tubes: Tubes, n: int, grid: Grid, box: tuple[slice, ...]) -> Array:
    """Share of the voxels of a box inside tube ``n``.

    A slice thicker than a tube in its plane holds it only in part: the tube is stretched to the slice's
    thickness and its share lowered by as much.
    """
    along = tubes.stop[n] - tubes.start[n]
    length = float(np.sqrt(along @ along)) + 1e-6
    r0, r1 = (float(r) for r in tubes.radius[n])
    squash = min(1.0, 2 * max(r0, r1) / grid.thickness_mm)
    flat = float(np.hypot(along[1], along[2])) / length
    share = min(1.0, 2 * max(r0, r1) / (grid.thickness_mm * flat + 1e-6))
    dz, dy, dx = float(along[0]) * squash, float(along[1]), float(along[2])
    z = ((grid.z[box[0]] - tubes.start[n, 0]) * squash)[:, None, None]
    y = (grid.y[box[1]] - tubes.start[n, 1])[None, :, None]
    x = (grid.x[box[2]] - tubes.start[n, 2])[None, None, :]
    t = np.clip((z * dz + y * dy + x * dx) * (1 / (dz * dz + dy * dy + dx * dx + 1e-6)), 0, 1)
    distance = np.sqrt((z - t * dz) ** 2 + (y - t * dy) ** 2 + (x - t * dx) ** 2)
    width = grid.pixel_mm
    # A tube thinner than a pixel fills it in part even where it hits its middle.
    thin = min(1.0, 2 * max(r0, r1) / width)
    inside: Array = np.clip(0.5 + (r0 + t * (r1 - r0) - distance) * (1 / width), 0, 1) * (share * thin)
    return inside.astype(np.float32)

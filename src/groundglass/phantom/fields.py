"""Where a phantom is sampled, and smooth random fields that are the same however finely they are sampled.

A field is a sum of cubic B-splines on a coarse lattice in millimetres with normal coefficients. On a grid
it is three small matrix products (one an axis), so a slice costs a slice, and a slice cut from a patient is
the slice of that patient's volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Standard deviation of a sum of cubic B-splines with normal coefficients, averaged over positions: the mean of
# sum(b^2) over one lattice cell is 151/315 along an axis.
_SPLINE_SD = (151 / 315) ** 1.5
# The box that fields fill, in mm (z, y, x); beyond it they continue as they are at its border.
_LOW_MM = (-200.0, -240.0, -260.0)
_HIGH_MM = (200.0, 240.0, 260.0)


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions of voxel centres, in mm from the middle of the chest.

    Attributes:
        z: (Z,), feet to head.
        y: (Y,), front to back.
        x: (X,), the patient's right to left.
        thickness_mm: of a slice, for what is thinner than it.
    """

    z: Array
    y: Array
    x: Array
    thickness_mm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def pixel_mm(self) -> float:
        """The larger distance of neighbouring pixels in a slice."""
        return float(max(self.y[1] - self.y[0], self.x[1] - self.x[0]))

    def planes(self, start: int, stop: int) -> Grid:
        """The slices ``start`` to ``stop``."""
        return Grid(self.z[start:stop], self.y, self.x, self.thickness_mm)


def centred(count: int, step_mm: float) -> Array:
    """``count`` positions with the given distance, around 0."""
    return ((np.arange(count) - (count - 1) / 2) * step_mm).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth random function of the place, of mean 0 and standard deviation about 1.

    Attributes:
        coefficients: (Z, Y, X), on the lattice.
        step_mm: distance of lattice points; details are about twice as large.
    """

    coefficients: Array
    step_mm: float

    def on(self, grid: Grid) -> Array:
        """Values on a grid, (Z, Y, X)."""
        z, y, x = (
            _spline_weights(axis, low, self.step_mm, count)
            for axis, low, count in zip((grid.z, grid.y, grid.x), _LOW_MM, self.coefficients.shape, strict=True)
        )
        planes = np.tensordot(z, self.coefficients, axes=1)
        return (y @ planes @ x.T).astype(np.float32, copy=False)

    def at(self, points: Array) -> Array:
        """Values at points (N, 3), mm (z, y, x)."""
        (i, a), (j, b), (k, c) = (
            _spline_support(points[:, axis], _LOW_MM[axis], self.step_mm, self.coefficients.shape[axis])
            for axis in range(3)
        )
        near = self.coefficients[i[:, None, None], j[None, :, None], k[None, None, :]]
        values: Array = (((near * c).sum(axis=2) * b).sum(axis=1) * a).sum(axis=0)
        return values


def draw_field(rng: np.random.Generator, step_mm: float) -> Field:
    """A field with lattice points ``step_mm`` apart."""
    shape = [int(np.ceil((high - low) / step_mm)) + 4 for low, high in zip(_LOW_MM, _HIGH_MM, strict=True)]
    return Field(rng.standard_normal(shape, np.float32) / np.float32(_SPLINE_SD), step_mm)


def _spline_support(positions: Array, low_mm: float, step_mm: float, count: int) -> tuple[NDArray[np.intp], Array]:
    """The four lattice points (4, N) that reach each position, and their weights (4, N)."""
    u = np.clip((positions - low_mm) / step_mm, 0, count - 4.001) + 1
    first = np.floor(u).astype(np.intp)
    t = (u - first).astype(np.float32)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return first + np.arange(-1, 3)[:, None], weights.astype(np.float32)


def _spline_weights(positions: Array, low_mm: float, step_mm: float, count: int) -> Array:
    """(N, count): how much each lattice point counts at each position."""
    index, weight = _spline_support(positions, low_mm, step_mm, count)
    matrix = np.zeros((len(positions), count), np.float32)
    matrix[np.arange(len(positions)), index] = weight
    return matrix

"""A patient's build: what varies between phantoms, and the surfaces of body, chest, lungs and mediastinum.

Everything is written in the millimetres of a reference chest: x from the midline to the patient's left, y from
the middle of the chest to the back, z from the lowest lung to the head. `Build.place` takes a place in the
scanner to the reference chest: turned, scaled, bent along the spine and warped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groundglass.phantom.fields import Array, Field, Grid, draw_field
from groundglass.phantom.shapes import ellipse, ellipsoid, ramp, soft_max, soft_min, squircle

HEIGHT_MM = 235.0  # from the posterior costophrenic recess to the apex
HALF_WIDTH_MM = 126.0
HALF_DEPTH_MM = 90.0
HILUM_MM = 138.0  # height of the hila
CARINA_MM = 150.0
_WARP_MM = 2.4
SPINE_MM = (56.0, 78.0)  # y of the vertebral body and of the canal


@dataclass(frozen=True, eq=False)
class Build:
    """What makes one patient different from another; lengths in reference mm unless stated.

    Attributes:
        scale: of (z, y, x) against the reference chest.
        turn: of the patient on the couch, radians.
        bend_mm: how far the upper back leans forward.
        square: how box-like the chest is.
        dome_mm: height of the right half of the diaphragm; low is a deep breath.
        left_lower_mm: how much lower the left half is.
        heart: size of the heart, 1 on average.
        fat_mm: under the skin.
        muscle_mm: of the chest wall.
        breast_mm: size of the breasts, 0 for none.
        midline_mm: shift of the mediastinum to the left.
        blood_hu: 30 to 50, more with contrast medium.
        lung_hu: of the lung's middle.
        gradient_hu: how much denser the back of the lung is than its front.
        bone: density of the bones, 1 on average.
        gas: size of the bubbles in stomach and gut, 1 is large.
        couch_mm: distance of the couch from the back; curvature of the couch in `couch_bend`.
        couch_bend: 1 / mm.
        warp: irregularities in x, y and of the diaphragm.
        tissue: patches in muscle, fat and organs.
        lobules: density of the lung.
    """

    scale: tuple[float, float, float]
    turn: float
    bend_mm: float
    square: float
    dome_mm: float
    left_lower_mm: float
    heart: float
    fat_mm: float
    muscle_mm: float
    breast_mm: float
    midline_mm: float
    blood_hu: float
    lung_hu: float
    gradient_hu: float
    bone: float
    gas: float
    couch_mm: float
    couch_bend: float
    warp: tuple[Field, Field, Field]
    tissue: tuple[Field, Field]
    lobules: tuple[Field, Field]

    def place(self, grid: Grid) -> tuple[Array, Array, Array]:
        """The reference coordinates (x, y, z) of a grid: x and y (Z, Y, X), z (Z, 1, 1)."""
        z = (grid.z / self.scale[0] + HEIGHT_MM / 2)[:, None, None].astype(np.float32)
        across, along = grid.x[None, None, :], grid.y[None, :, None]
        x = (across * np.cos(self.turn) + along * np.sin(self.turn)) / self.scale[2]
        y = (along * np.cos(self.turn) - across * np.sin(self.turn)) / self.scale[1]
        x = x + _WARP_MM * self.warp[0].on(grid)
        y = y + _WARP_MM * self.warp[1].on(grid) + self._lean(z)
        return x.astype(np.float32), y.astype(np.float32), z

    def place_points(self, points: Array) -> tuple[Array, Array, Array]:
        """The same for points (N, 3), scanner mm (z, y, x)."""
        z = points[:, 0] / self.scale[0] + HEIGHT_MM / 2
        x = (points[:, 2] * np.cos(self.turn) + points[:, 1] * np.sin(self.turn)) / self.scale[2]
        y = (points[:, 1] * np.cos(self.turn) - points[:, 2] * np.sin(self.turn)) / self.scale[1]
        x, y = x + _WARP_MM * self.warp[0].at(points), y + _WARP_MM * self.warp[1].at(points) + self._lean(z)
        return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)

    def to_scanner(self, points: Array) -> Array:
        """Scanner mm (z, y, x) of reference points (N, 3), (z, y, x); the inverse of `place` to a fraction of a mm."""
        z, y, x = np.asarray(points, np.float32).T
        zs = (z - HEIGHT_MM / 2) * self.scale[0]
        out = np.zeros((len(z), 3), np.float32)
        warp_x, warp_y = np.zeros_like(x), np.zeros_like(x)
        for _ in range(3):  # fixed-point iteration: the warp is gentle
            xr, yr = (x - warp_x) * self.scale[2], (y - warp_y - self._lean(z)) * self.scale[1]
            out = np.stack(
                [
                    zs,
                    yr * np.cos(self.turn) + xr * np.sin(self.turn),
                    xr * np.cos(self.turn) - yr * np.sin(self.turn),
                ],
                axis=1,
            ).astype(np.float32)
            warp_x, warp_y = _WARP_MM * self.warp[0].at(out), _WARP_MM * self.warp[1].at(out)
        return out

    def _lean(self, z: Any) -> Any:
        """How far the patient's axis runs to the front (the back's kyphosis), mm."""
        return self.bend_mm * (ramp(z, 90, 260) + 0.25 * ramp(-z, -60, 40))


def draw_build(rng: np.random.Generator) -> Build:
    """A patient."""
    size = rng.normal(1.0, 0.05)
    contrast = rng.random() < 0.15
    return Build(
        scale=(size * rng.normal(1.08, 0.05), size * rng.normal(1.0, 0.05), size * rng.normal(1.02, 0.04)),
        turn=float(np.deg2rad(rng.normal(0, 2.5))),
        bend_mm=rng.uniform(14, 34),
        square=rng.uniform(0.25, 0.6),
        dome_mm=float(np.clip(rng.normal(70, 13), 42, 100)),
        left_lower_mm=rng.uniform(2, 20),
        heart=float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.25)),
        fat_mm=float(np.clip(rng.gamma(4, 4), 5, 40)),
        muscle_mm=rng.uniform(10, 18),
        breast_mm=rng.uniform(25, 55) if rng.random() < 0.45 else 0.0,
        midline_mm=rng.normal(0, 4),
        blood_hu=rng.uniform(140, 280) if contrast else rng.uniform(32, 48),
        lung_hu=rng.uniform(-905, -815),
        gradient_hu=rng.uniform(20, 90),
        bone=rng.uniform(0.75, 1.2),
        gas=rng.uniform(0.3, 1.15),
        couch_mm=rng.uniform(2, 14),
        couch_bend=rng.uniform(0.0, 0.0014),
        warp=(draw_field(rng, 42), draw_field(rng, 42), draw_field(rng, 34)),
        tissue=(draw_field(rng, 16), draw_field(rng, 7)),
        lobules=(draw_field(rng, 24), draw_field(rng, 5)),
    )


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Signed distances in mm (negative inside) and places of the voxels of a grid.

    Attributes:
        x: reference coordinate, to the left.
        y: to the back.
        z: (Z, 1, 1), to the head.
        costal: from the inner surface of the rib cage.
        mediastinum: from what lies between the lungs, spine included.
        diaphragm: from the abdomen's side of the diaphragm: negative above it.
        side_lung: from the lungs as bounded by rib cage and mediastinum.
    """

    x: Array
    y: Array
    z: Array
    costal: Array
    mediastinum: Array
    diaphragm: Array
    side_lung: Array

    @property
    def lung(self) -> Array:
        """From the lungs."""
        return soft_max(self.side_lung, self.diaphragm, 6)


def surfaces(build: Build, x: Array, y: Array, z: Array, dome_warp: Array) -> Surfaces:
    """The surfaces at reference places; ``dome_warp`` is ``build.warp[2]`` there."""
    costal = rib_cage(build, x, y, z)
    middle = mediastinum(build, x, y, z)
    side = soft_max(costal + 1.0, -middle, 9)
    return Surfaces(x, y, z, costal, middle, diaphragm(build, x, y, z, dome_warp), side)


def surfaces_on(build: Build, grid: Grid) -> Surfaces:
    """The surfaces on a grid."""
    return surfaces(build, *build.place(grid), build.warp[2].on(grid))


def surfaces_at(build: Build, points: Array) -> Surfaces:
    """The surfaces at points (N, 3), scanner mm (z, y, x)."""
    return surfaces(build, *build.place_points(points), build.warp[2].at(points))


def rib_cage(build: Build, x: Array, y: Array, z: Array) -> Array:
    """From the inner surface of the rib cage: a rounded box that narrows to the apex, where it sits further back."""
    t = np.clip((z - 70) / (HEIGHT_MM - 70), 0, 1)
    below = 1 - 0.06 * ramp(-z, -90, 20)
    half_width = HALF_WIDTH_MM * below * (1 - 0.35 * t**2.2)
    half_depth = HALF_DEPTH_MM * (1 - 0.42 * t**1.6)
    trunk = squircle(x, y - (HALF_DEPTH_MM - half_depth) * np.float32(0.75), half_width, half_depth, build.square)
    cap = ellipsoid(np.abs(x) - 46, y - 24, np.maximum(z - 145, 0), (84.0, 116.0, HEIGHT_MM - 145))
    return soft_max(trunk, cap, 12)


def mediastinum(build: Build, x: Array, y: Array, z: Array) -> Array:
    """From heart, great vessels, hila and spine together, with the fat between them."""
    mid = x - np.float32(build.midline_mm) * ramp(-y, -45, -10)
    upper = ramp(z, CARINA_MM - 35, CARINA_MM + 10)
    plate = np.abs(mid) - 3.5 - 7 * ramp(y, 5, 45) - 12 * ramp(z, 195, 240)
    column = ellipse(mid, y + 6, 12 + 15 * upper + 10 * ramp(z, 200, 245), 22 + 22 * upper)
    union = soft_min(plate, column, 14)
    union = soft_min(union, heart(build, x, y, z) - 3, 10)
    hila = ellipsoid(np.abs(mid) - 34, y - 6, z - HILUM_MM, (20.0, 19.0, 30.0))
    union = soft_min(union, hila, 12)
    aorta = np.hypot(x - 17, y - 32) - 13.5 + 30 * ramp(z, 185, 200)
    return soft_min(soft_min(union, aorta, 8), spine(x, y) - 3, 6)


def heart(build: Build, x: Array, y: Array, z: Array) -> Array:
    """From the heart: an ellipsoid that leans to the patient's left, on the diaphragm."""
    base = build.dome_mm - 4
    rise = z - base - 33 * build.heart
    lean = x - 20 - build.midline_mm + 0.35 * rise
    return ellipsoid(lean, y + 34 - 0.12 * rise, rise, (47 * build.heart, 40 * build.heart, 54 * build.heart))


def spine(x: Array, y: Array) -> Array:
    """From the vertebral column with its paravertebral wedge, the same at every height."""
    body = ellipse(x, y - SPINE_MM[0], 19.5, 17.0)
    wedge = (np.abs(x) - 17 - np.float32(0.62) * np.maximum(y - SPINE_MM[0], 0)) * np.float32(0.8)
    return soft_min(body, soft_max(wedge, SPINE_MM[0] - y, 4), 6)


def diaphragm(build: Build, x: Array, y: Array, z: Array, warp: Array) -> Array:
    """From the diaphragm, negative above it: two domes, deepest behind, shallow in front."""
    dome = build.dome_mm - build.left_lower_mm * ramp(x, -10, 30)
    lateral = np.maximum(np.abs(x) - 52, 0) / 66
    behind, front = np.maximum(y + 22, 0) / 108, np.maximum(-22 - y, 0) / 70
    drop = np.minimum(0.78 * lateral * lateral + behind * behind + 0.35 * front * front, 1.3)
    height = dome - (dome - 2) * drop + 2.5 * warp
    slanted: Array = (height - z) * np.float32(0.8)
    return slanted.astype(np.float32)

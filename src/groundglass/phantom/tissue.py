"""What a patient is made of, in Hounsfield units: tissues are laid over one another, each by its share of a voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundglass.phantom.anatomy import (
    HALF_DEPTH_MM,
    HALF_WIDTH_MM,
    SPINE_MM,
    Build,
    Surfaces,
    heart,
    surfaces_on,
)
from groundglass.phantom.fields import Array, Grid
from groundglass.phantom.lesions import Disease, haze_hu, weights
from groundglass.phantom.shapes import coverage, ellipse, ellipsoid, ramp, soft_max, soft_min
from groundglass.phantom.trees import Trees
from groundglass.phantom.tubes import fill

Values = NDArray[np.floating[Any]]
AIR, FAT, MUSCLE, LIVER, SPLEEN, WATER, SKIN = -1000.0, -105.0, 55.0, 58.0, 48.0, 5.0, 10.0
CARTILAGE, MARROW, CORTEX = 110.0, 160.0, 550.0
GAS, LUMEN = -960.0, -990.0


@dataclass(frozen=True, eq=False)
class Painted:
    """Slices without noise or blur, and what is in them.

    Attributes:
        hu: float32 (Z, Y, X).
        codes: uint8, 0 background, 1 lung, 2 ground glass, 3 consolidation.
        sides: uint8, 0 no lung, 1 right lung, 2 left lung.
        inside: share of each voxel inside the body.
    """

    hu: Array
    codes: NDArray[np.uint8]
    sides: NDArray[np.uint8]
    inside: Array


class _Canvas:
    """Slices being painted; each stroke covers what is below it by its share of the voxel."""

    def __init__(self, grid: Grid) -> None:
        self.hu = np.full(grid.shape, AIR, np.float32)
        self.width = grid.pixel_mm

    def lay(self, hu: Values | float, share: Values) -> None:
        self.hu += share * (np.asarray(hu, np.float32) - self.hu)

    def fill(self, hu: Values | float, distance: Values) -> None:
        self.lay(hu, coverage(np.asarray(distance, np.float32), self.width))


def paint(build: Build, trees: Trees, disease: Disease, grid: Grid) -> Painted:
    """A patient's slices on a grid."""
    places = surfaces_on(build, grid)
    patches, grain = build.tissue[0].on(grid), build.tissue[1].on(grid)
    canvas = _Canvas(grid)
    body = _body(build, places)
    _couch(canvas, build, grid)
    _body_wall(canvas, build, places, body, patches, grain)
    _abdomen(canvas, build, places, patches)
    _mediastinum(canvas, build, places)
    great = fill(trees.great, grid)
    canvas.lay(build.blood_hu, great)
    air_share = _lung_share(places, grid, canvas.width) * (1 - great)
    lesions = weights(disease, places, grid)
    canvas.lay(_lung_hu(build, disease, places, grid, lesions.haze, lesions.solid, grain), air_share)
    canvas.lay(np.maximum(build.blood_hu, canvas.hu), fill(trees.vessels, grid) * (air_share > 0.02))
    _bones(canvas, build, places, body, grain)
    canvas.lay(MARROW * 2 * build.bone, fill(trees.bones, grid))
    large = _airways(canvas, trees, grid, air_share * (1 - lesions.solid * (not disease.bronchograms)))
    codes = _codes(air_share * (great < 0.5) * (large < 0.5), lesions.haze, lesions.solid)
    sides = np.where(codes > 0, np.where(places.x < 0, 1, 2), 0).astype(np.uint8)
    return Painted(canvas.hu, codes, sides, coverage(body, canvas.width))


def _codes(lung: Array, haze: Array, solid: Array) -> NDArray[np.uint8]:
    """A voxel is what more than half of it is; vessels in the lung are lung, vessels in a lesion are lesion."""
    codes = (lung > 0.5).astype(np.uint8)
    codes += codes * (haze > 0.5)
    codes += (codes == 2) & (solid > 0.5)
    return codes


def _lung_share(places: Surfaces, grid: Grid, width: float) -> Array:
    """Share of each voxel inside the lungs; a thick slice blurs the diaphragm, which lies nearly flat in it."""
    return coverage(places.side_lung, width) * coverage(places.diaphragm, max(width, 0.7 * grid.thickness_mm))


def _lung_hu(
    build: Build, disease: Disease, places: Surfaces, grid: Grid, haze: Array, solid: Array, grain: Array
) -> Array:
    """HU of the lung itself: denser towards the back, uneven, with fissures, haze and consolidation."""
    lobules = build.lobules[0].on(grid)
    fine = build.lobules[1].on(grid)
    hu = build.lung_hu + build.gradient_hu * (places.y / (2 * HALF_DEPTH_MM)) + 10 * lobules + 9 * fine
    hu += 150 * _fissures(places, lobules, grid)
    hu += haze * (haze_hu(disease, grid, 0.6 * grain + 0.6 * fine) - build.lung_hu)
    hu += solid * (np.float32(disease.solid_hu) + 14 * grain - hu)
    capped: Array = np.minimum(hu, 90).astype(np.float32, copy=False)
    return capped


def _fissures(places: Surfaces, wave: Array, grid: Grid) -> Array:
    """Share of a voxel inside an oblique fissure, or the right lung's horizontal one."""
    x, y, z = places.x, places.y, places.z
    oblique = (z - 112 - 1.05 * y + 4 * wave + 0.10 * np.abs(x)) * np.float32(0.69)
    flat = np.where((x < 0) & (oblique > 0), z - 128 - 4 * wave + 0.15 * y, np.float32(50))
    half = 0.5 + 0.35 * grid.thickness_mm
    sheets = np.clip(1 - np.abs(oblique) / half, 0, 1) + 0.8 * np.clip(1 - np.abs(flat) / (half + 0.5), 0, 1)
    return (sheets * (0.5 / half)).astype(np.float32, copy=False)


def _body(build: Build, places: Surfaces) -> Array:
    """From the skin."""
    x, y, z = places.x, places.y, places.z
    shoulders = ramp(z, 165, 260)
    a = HALF_WIDTH_MM + build.muscle_mm + 10 + 0.9 * build.fat_mm + 55 * shoulders
    b = HALF_DEPTH_MM + 0.6 * build.muscle_mm + 12 + 0.8 * build.fat_mm - 26 * shoulders
    body = ellipse(x, y - 3 - 16 * shoulders, a, b)
    flattened = soft_max(body, y - np.float32(HALF_DEPTH_MM + 20 + 0.45 * build.fat_mm), 25)
    return flattened if build.breast_mm == 0 else soft_min(flattened, _breasts(build, places), 40)


def _breasts(build: Build, places: Surfaces) -> Array:
    """From two half-ellipsoids on the front of the chest that sag sideways, as in a patient on her back."""
    size = build.breast_mm
    front = HALF_DEPTH_MM + 8
    return ellipsoid(np.abs(places.x) - 82, places.y + front, places.z - 105, (70.0, 12 + 0.55 * size, 76.0))


def _body_wall(canvas: _Canvas, build: Build, places: Surfaces, body: Array, patches: Array, grain: Array) -> None:
    """Skin, fat, breasts, muscles of the chest wall and back."""
    x, y, z = places.x, places.y, places.z
    canvas.fill(SKIN, body)
    canvas.fill(FAT + 8 * grain, body + 2.2)
    if build.breast_mm:
        gland = np.clip(0.7 * patches + 0.7 * grain - 0.3, 0, 1) * coverage(_breasts(build, places) + 14, 8)
        canvas.lay(30.0, gland * coverage(body + 5, canvas.width) * (places.costal > 12))
    front = 11 * ramp(-y, 20, 55) * ramp(np.abs(x), 12, 40) * ramp(z, 110, 165)
    sideways = 12 * ramp(np.abs(x), 75, 115) * ramp(y, -40, 10) * ramp(z, 60, 150)
    thick = build.muscle_mm * (0.7 + 0.18 * patches) + front + sideways + 150 * ramp(z, 175, 270)
    back = soft_min(ellipse(np.abs(x) - 30, y - 92, 26, 15), places.costal - thick, 5)
    wall = np.maximum(np.maximum(back, body + 3 + 0.5 * build.fat_mm), 1 - places.costal)
    share = coverage(wall, canvas.width)
    # Planes of fat between the muscles: where smooth noise crosses 0, and a sheet between two layers.
    sheet = np.abs(places.costal - 13 - 3 * patches)
    planes = np.clip(1.3 - 5 * np.abs(patches + 0.3 * grain), 0, 1) * ramp(places.costal, 11, 15)
    planes = np.maximum(planes, np.clip(1.6 - 0.8 * sheet, 0, 1))
    canvas.lay(MUSCLE + 6 * grain - 135 * planes, share)
    canvas.fill(FAT, np.maximum(places.costal - 1, body + 4))


def _abdomen(canvas: _Canvas, build: Build, places: Surfaces, patches: Array) -> None:
    """What lies below the diaphragm: its muscle, liver, spleen, a stomach with a bubble on top, gas in the colon."""
    x, y, z = places.x, places.y, places.z
    within = np.maximum(places.costal + 1.5, -places.diaphragm)
    canvas.fill(MUSCLE, within)
    cavity = np.maximum(places.costal + 4, -places.diaphragm + 3)
    canvas.fill(FAT, cavity)
    border = x - 22 - 0.45 * (y + 40) * (y < 20) + 6 * patches
    canvas.fill(LIVER + 4 * patches, np.maximum(cavity, border))
    top = build.dome_mm - build.left_lower_mm
    spleen = ellipsoid(x - 82, y - 38, z - (top - 62), (34.0, 42.0, 52.0))
    canvas.fill(SPLEEN, np.maximum(cavity, spleen))
    stomach = ellipsoid(x - 62, y + 22, z - (top - 42), (46.0, 48.0, 36.0))
    canvas.fill(MUSCLE, np.maximum(cavity, stomach))
    content = np.maximum(cavity, stomach + 4)
    canvas.fill(WATER + 25 + 20 * patches, content)
    canvas.fill(GAS, np.maximum(content, y + 22 + 40 * (1 - build.gas)))
    for cx, cy, cz in ((96, -22, top - 46), (-74, -66, -14), (40, -66, -16)):
        size = 8 + 13 * build.gas
        gut = ellipsoid(x - cx, y - cy, z - cz, (size, 1.15 * size, 1.1 * size)) + 3 * patches
        canvas.fill(FAT, np.maximum(cavity, gut - 6))
        canvas.fill(MUSCLE, np.maximum(cavity, gut))
        canvas.fill(GAS, np.maximum(cavity, gut + 3))


def _mediastinum(canvas: _Canvas, build: Build, places: Surfaces) -> None:
    """Fat between the lungs with heart and oesophagus; the great vessels are tubes."""
    x, y, z = places.x, places.y, places.z
    above = np.maximum(places.costal + 1, places.mediastinum)
    canvas.fill(FAT + 20, np.maximum(above, places.diaphragm))
    beats = np.maximum(heart(build, x, y, z), places.diaphragm + 1)
    canvas.fill(MUSCLE - 9, beats)
    canvas.fill(build.blood_hu, beats + 7)
    gullet = ellipse(x - 6 - build.midline_mm * 0.5, y - 24, 8, 6)
    canvas.fill(MUSCLE - 15, np.maximum(gullet, places.diaphragm))


def _bones(canvas: _Canvas, build: Build, places: Surfaces, body: Array, grain: Array) -> None:
    """Ribs, spine, sternum and shoulder blades: marrow in a shell of cortex."""
    for marrow, shape in (_ribs(places), _sternum(places), _scapulae(places), _vertebrae(places)):
        distance = np.maximum(shape, body + 4)
        canvas.fill(CORTEX * build.bone, distance)
        canvas.fill((marrow + 45 * grain) * build.bone, distance + 1.7)
    cartilage = np.maximum(_rib_rings(places), np.maximum(places.y + 62, np.abs(places.x) - 80))
    canvas.fill(CARTILAGE, cartilage)
    canvas.fill(28.0, ellipse(places.x, places.y - SPINE_MM[1], 9.5, 8.0))


def _rib_rings(places: Surfaces) -> Array:
    """From rings that run down from the back to the front, a spacing apart."""
    spacing = 25.0
    level = (places.z - 0.5 * (places.y - HALF_DEPTH_MM) - 14) / spacing
    dz = (level - np.round(level)) * (spacing * 0.894)
    rings: Array = (np.hypot(dz / 6.2, (places.costal - 6.4) / 3.8) - 1) * 4.2
    return np.maximum(rings, 40 * (level - 9.6)).astype(np.float32)


def _ribs(places: Surfaces) -> tuple[float, Array]:
    front = np.minimum(places.y + 62, np.abs(places.x) - 80)
    return MARROW, np.maximum(_rib_rings(places), -front).astype(np.float32)


def _sternum(places: Surfaces) -> tuple[float, Array]:
    across = np.abs(places.x) - 15 - 9 * ramp(places.z, 165, 195)
    box = np.maximum(across, np.abs(places.costal - 9) - 5.5)
    ends = np.maximum(75 - places.z, places.z - 205)
    return MARROW - 40, np.maximum(np.maximum(box, places.y + 20), ends).astype(np.float32)


def _scapulae(places: Surfaces) -> tuple[float, Array]:
    sheet = np.abs(places.costal - 21 - 0.18 * (np.abs(places.x) - 95)) - 2.6
    window = np.maximum(np.maximum(22 - places.y, 72 - np.abs(places.x)), np.abs(places.x) - 140)
    ends = np.maximum(112 - places.z, places.z - 240)
    return MARROW + 60, np.maximum(np.maximum(sheet, window), ends).astype(np.float32)


def _vertebrae(places: Surfaces) -> tuple[Array, Array]:
    """Bodies with discs between them, the ring around the canal, transverse and spinous processes."""
    x, y = places.x, places.y - SPINE_MM[1]
    phase = places.z / 25.0
    dz = (phase - np.round(phase)) * 25.0
    body = ellipse(x, places.y - SPINE_MM[0], 17.5, 15.0)
    disc = ramp(np.abs(dz), 8.5, 10.5)
    ring = np.abs(np.hypot(x, y) - 12.5) - 3.2 + 5 * disc
    spinous = np.maximum(np.maximum(np.abs(x) - 3.6, 12 - y), y - 30 + 7 * disc)
    transverse = np.maximum(np.abs(y - 3 - 0.4 * np.abs(x)) - 4.0 + 7 * disc, np.abs(x) - 34)
    whole = np.minimum(np.minimum(body, ring), np.minimum(spinous, transverse)) + 1.2 * disc
    marrow = (MARROW + 20) * (1 - disc) + 80 * disc
    return marrow.astype(np.float32), whole.astype(np.float32)


def _airways(canvas: _Canvas, trees: Trees, grid: Grid, open_share: Array) -> Array:
    """Walls and lumens of the airways; returns the share of each voxel in large airways with their walls.

    Args:
        canvas: painted on.
        trees: of the patient.
        grid: of the canvas.
        open_share: share of each voxel where a small airway can be.
    """
    small, large = trees.airways.where(~trees.large), trees.airways.where(trees.large)
    wall_small = fill(trees.airway_walls.where(~trees.large), grid) * (open_share > 0.5)
    wall_large = fill(trees.airway_walls.where(trees.large), grid)
    canvas.lay(np.maximum(30.0, canvas.hu), np.maximum(wall_small, wall_large) * 0.85)
    canvas.lay(LUMEN, np.maximum(fill(large, grid), fill(small, grid) * (open_share > 0.5)))
    return wall_large


def _couch(canvas: _Canvas, build: Build, grid: Grid) -> None:
    """Two thin curved shells under the patient, with foam between them."""
    back = (HALF_DEPTH_MM + 20 + 0.45 * build.fat_mm) * build.scale[1] + build.couch_mm
    depth = grid.y[None, :, None] - back - 6 + np.float32(build.couch_bend) * grid.x[None, None, :] ** 2
    depth = np.maximum(depth, np.abs(grid.x) - 230)
    shell = np.broadcast_to(np.abs(depth - 14) - 12, canvas.hu.shape)
    canvas.fill(-930.0, shell)
    canvas.fill(-150.0, np.abs(shell + 0.5) - 1.0)

"""Lesions: where they are, how dense they are, and how much of the lung they take.

A score is written down for every place of the lung: smooth noise (patches, ragged edges) plus what makes the
disease prefer the periphery, the back and the base (Bernheim et al., "Chest CT findings in coronavirus
disease-19 (COVID-19): relationship to duration of infection", Radiology 2020). Where the score exceeds a
level there is ground glass; where a second score exceeds another level within it, consolidation. The levels
are found such that the lesions take the share of the lung that was asked for. The terms are those of
Hansell et al., "Fleischner Society: glossary of terms for thoracic imaging", Radiology 2008: ground glass is
haze through which vessels stay visible, consolidation hides them, crazy paving is haze with a net of lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from groundglass.phantom.anatomy import HALF_DEPTH_MM, HEIGHT_MM, Build, Surfaces, surfaces_at, surfaces_on
from groundglass.phantom.fields import Array, Field, Grid, centred, draw_field
from groundglass.phantom.shapes import ramp

Hard = Literal["healthy", "pleural_mass", "solid_third", "diffuse_haze"]
MASS_ML = 60.0
HAZE_SHARE = 0.60
_NOWHERE = 1e6
Range = tuple[float, float]


@dataclass(frozen=True)
class Looks:
    """How patchy lesions look: ranges that each patient's are drawn from. What makes them hard to outline.

    Attributes:
        rim: how strongly the periphery attracts them, in standard deviations of the noise.
        patch_mm: length of the large patches.
        ragged: weight of the small patches, which make edges ragged; that of the large ones is 0.92.
        edge: width of the edge, in units of the score; drawn evenly in its logarithm.
        haze_hu: of ground glass.
        grain_hu: unevenness of the haze.
        solid_odds: share of the patients with consolidation.
        solid: its share of their lesions.
        solid_mm: length of its patches.
        solid_edge: width of its edge, in units of its score.
        solid_rim: how strongly the pleura attracts it; solid lung at the pleura looks like chest wall.
    """

    rim: Range = (0.9, 2.6)
    patch_mm: Range = (13, 26)
    ragged: float = 0.32
    edge: Range = (0.15, 1.1)
    haze_hu: Range = (-680, -470)
    grain_hu: Range = (30, 85)
    solid_odds: float = 0.7
    solid: Range = (0.06, 0.5)
    solid_mm: Range = (6, 13)
    solid_edge: Range = (0.3, 1.2)
    solid_rim: float = 0.9


USUAL = Looks()
# Large, sharp, off the pleura: a small network learns them in minutes. Their density varies more between patients.
PLAIN = Looks(
    rim=(-1.5, 0.0),
    patch_mm=(20, 34),
    ragged=0.12,
    edge=(0.1, 0.3),
    haze_hu=(-640, -350),
    grain_hu=(15, 60),
    solid_odds=1.0,
    solid=(0.2, 0.5),
    solid_mm=(10, 16),
    solid_edge=(0.2, 0.6),
    solid_rim=-2.0,
)


@dataclass(frozen=True, eq=False)
class Disease:
    """The lesions of one patient.

    Attributes:
        kind: the disease's own pattern, or a hard case.
        side: the lung of a hard case that has but one: -1 right, 1 left.
        centre_mm: of the mass, scanner mm (z, y, x).
        likes: how strongly periphery, back and base attract lesions, in standard deviations of the noise.
        patch: large and small patches.
        ragged: weight of the small patches.
        solid_rim: how strongly the pleura attracts consolidation.
        core: of consolidation.
        net: of crazy paving.
        level: score above which there is ground glass; for the mass, its radius in mm.
        core_level: score above which there is consolidation.
        soft: width of the edge, in units of the score (for mass and solid third in mm).
        core_soft: the same for consolidation.
        haze_hu: of ground glass.
        solid_hu: of consolidation.
        grain_hu: unevenness of the haze.
        paving_hu: how much denser the net is; 0 for none.
        bronchograms: whether small airways in consolidation stay open.
    """

    kind: Literal["patchy"] | Hard
    side: int
    centre_mm: tuple[float, float, float]
    likes: tuple[float, float, float]
    patch: tuple[Field, Field]
    ragged: float
    solid_rim: float
    core: Field
    net: Field
    level: float
    core_level: float
    soft: float
    core_soft: float
    haze_hu: float
    solid_hu: float
    grain_hu: float
    paving_hu: float
    bronchograms: bool


@dataclass(frozen=True, eq=False)
class Weights:
    """What share of a voxel's lung is lesion: haze includes what is consolidated. Each (Z, Y, X) in [0, 1]."""

    haze: Array
    solid: Array


def draw_disease(
    rng: np.random.Generator, build: Build, severity: float, hard: Hard | None, looks: Looks = USUAL
) -> Disease:
    """Lesions that take ``severity`` of the lung (a hard case: what it says), levels found on a coarse grid."""
    sampled = Disease(
        kind=hard or "patchy",
        side=int(rng.choice([-1, 1])),
        centre_mm=(0.0, 0.0, 0.0),
        likes=(rng.uniform(*looks.rim), rng.uniform(0.4, 1.5), rng.uniform(0.2, 1.3)),
        patch=(draw_field(rng, rng.uniform(*looks.patch_mm)), draw_field(rng, rng.uniform(4.0, 6.5))),
        ragged=looks.ragged,
        solid_rim=looks.solid_rim,
        core=draw_field(rng, rng.uniform(*looks.solid_mm)),
        net=draw_field(rng, rng.uniform(3.2, 4.5)),
        level=_NOWHERE,
        core_level=_NOWHERE,
        soft=float(np.exp(rng.uniform(*np.log(looks.edge)))),
        core_soft=rng.uniform(*looks.solid_edge),
        haze_hu=rng.uniform(*looks.haze_hu),
        solid_hu=rng.uniform(-40, 50),
        grain_hu=rng.uniform(*looks.grain_hu),
        paving_hu=rng.uniform(80, 220) if rng.random() < 0.35 else 0.0,
        bronchograms=bool(rng.random() < 0.6),
    )
    # Drawn whatever the kind, so that a patient is the same with every disease.
    solid_share = rng.uniform(*looks.solid) if rng.random() < looks.solid_odds else 0.0
    place = rng.uniform(size=2)
    if hard == "pleural_mass":
        return _calibrate_mass(replace(sampled, solid_hu=rng.uniform(25, 50), soft=1.5), build, place)
    coarse = _coarse_grid(build)
    places = surfaces_on(build, coarse)
    inside = places.lung < 0
    if hard == "solid_third":
        chosen = inside & (np.sign(places.x) == sampled.side)
        solid = replace(sampled, solid_hu=rng.uniform(20, 50), soft=2.0)
        score = _score(solid, places, coarse)[chosen]
        return replace(solid, level=float(np.quantile(score, 2 / 3)), core_level=-_NOWHERE)
    share = {"healthy": 0.0, "diffuse_haze": HAZE_SHARE}.get(hard or "", severity)
    if share == 0:
        return sampled
    score = _score(sampled, places, coarse)
    level = float(np.quantile(score[inside], 1 - share))
    if hard == "diffuse_haze" or solid_share == 0:
        return replace(sampled, level=level)
    lesion = inside & (score > level)
    core = _core_score(sampled, places, coarse, score - level)[lesion]
    return replace(sampled, level=level, core_level=float(np.quantile(core, 1 - solid_share)))


def weights(disease: Disease, places: Surfaces, grid: Grid) -> Weights:
    """The lesions on a grid, as shares of the lung in a voxel."""
    nothing = np.zeros(grid.shape, np.float32)
    if disease.kind == "healthy" or disease.level == _NOWHERE:
        return Weights(nothing, nothing)
    if disease.kind == "pleural_mass" and not _near_mass(disease, grid):
        return Weights(nothing, nothing)
    score = _score(disease, places, grid) - np.float32(disease.level)
    haze = np.clip(0.5 + score * np.float32(1 / disease.soft), 0, 1)
    if disease.kind in ("solid_third", "pleural_mass"):
        return Weights(haze, haze)
    if disease.core_level == _NOWHERE:
        return Weights(haze, nothing)
    core = _core_score(disease, places, grid, score) - np.float32(disease.core_level)
    solid = np.clip(0.5 + core * np.float32(1 / disease.core_soft), 0, 1)
    return Weights(haze, np.minimum(solid, haze))


def haze_hu(disease: Disease, grid: Grid, grain: Array) -> Array:
    """HU of ground glass, (Z, Y, X); ``grain`` is smooth noise."""
    hu: Array = np.float32(disease.haze_hu) + np.float32(disease.grain_hu) * grain
    if disease.paving_hu:
        lines = np.clip(1 - 3.2 * np.abs(disease.net.on(grid)), 0, 1)
        hu = hu + (np.float32(disease.paving_hu) * lines).astype(np.float32, copy=False)
    return hu


def _score(disease: Disease, places: Surfaces, grid: Grid) -> Array:
    """How much a place attracts lesions, (Z, Y, X)."""
    if disease.kind == "pleural_mass":
        return -_mass_distance(disease, grid.z[:, None, None], grid.y[:, None], grid.x) + 3 * disease.core.on(grid)
    if disease.kind == "solid_third":
        # Flat as a fluid level, a little uneven; the other lung never reaches it.
        flat = places.y + 2 * disease.core.on(grid)
        return np.where(np.sign(places.x) == disease.side, flat, np.float32(-_NOWHERE)).astype(np.float32)
    outer, back, base = disease.likes
    if disease.kind == "diffuse_haze":
        outer, back, base = 0.3 * outer, 0.5 * back, 0.3 * base
    noise = 0.92 * disease.patch[0].on(grid) + np.float32(disease.ragged) * disease.patch[1].on(grid)
    rim = np.exp(np.minimum(places.costal, 0) * np.float32(1 / 16))
    score: Array = noise + outer * rim + back * places.y / HALF_DEPTH_MM + base * (0.4 - places.z / HEIGHT_MM) * 2
    return score.astype(np.float32)


def _core_score(disease: Disease, places: Surfaces, grid: Grid, score: Array) -> Array:
    """How much a place within a lesion tends to consolidation: deep in it, near the pleura, in patches."""
    rim = ramp(places.costal, -14, -1)
    core: Array = disease.core.on(grid) + 1.1 * score + np.float32(disease.solid_rim) * rim
    return core.astype(np.float32)


def _coarse_grid(build: Build) -> Grid:
    z, y, x = (centred(n, step) for n, step in ((44, 6.5), (44, 5.5), (60, 5.5)))
    return Grid(z * np.float32(build.scale[0]), y * np.float32(build.scale[1]), x * np.float32(build.scale[2]), 6.5)


def _mass_distance(disease: Disease, z: Array, y: Array, x: Array) -> Array:
    """From the centre of the mass, stretched along the body, mm."""
    cz, cy, cx = disease.centre_mm
    distance: Array = np.sqrt((0.85 * (z - cz)) ** 2 + (y - cy) ** 2 + (1.08 * (x - cx)) ** 2)
    return distance.astype(np.float32)


def _near_mass(disease: Disease, grid: Grid) -> bool:
    return bool(np.abs(grid.z - np.float32(disease.centre_mm[0])).min() < 80)


def _calibrate_mass(disease: Disease, build: Build, place: NDArray[np.float64]) -> Disease:
    """Put the mass at the costal pleura, and find the size at which the lung holds 60 mL of it."""
    height = HEIGHT_MM * (0.42 + 0.25 * place[0])
    y = np.float32(-35 + 85 * place[1])
    inward = np.linspace(130, 20, 221, dtype=np.float32)
    reference = np.stack([np.full_like(inward, height), np.full_like(inward, y), disease.side * inward], axis=1)
    line = build.to_scanner(reference)
    pleura = int(np.argmax(surfaces_at(build, line).lung < 0))
    centre = line[min(pleura + 28, len(line) - 1)]  # 14 mm inside the lung: a broad base on the pleura
    put = replace(disease, centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])))
    step = 2.0
    offsets = centred(45, step)
    box = Grid(centre[0] + offsets, centre[1] + offsets, centre[2] + offsets, step)
    places = surfaces_on(build, box)
    scores = np.sort(_score(put, places, box)[places.lung < 0])[::-1]
    count = min(round(MASS_ML * 1000 / step**3), len(scores) - 1)
    return replace(put, level=float(scores[count]), core_level=-_NOWHERE)

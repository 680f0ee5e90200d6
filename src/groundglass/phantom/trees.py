"""Vessels and airways: trees that reach all of a lung by halving it again and again.

A branch runs from its start part of the way to the middle of the places it serves; these are split in two
across their longest direction, and each half gets a branch of its own. Radii follow Murray's law with the
exponent lowered to 2.5, which keeps the vessels at the hilum as thick as they are on CT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.phantom.anatomy import CARINA_MM, HEIGHT_MM, HILUM_MM, Build, surfaces_at
from groundglass.phantom.fields import Array
from groundglass.phantom.tubes import Tubes, join, path

_MURRAY = 2.5
_TIP_MM = 0.6  # radius of the last vessels drawn
_AIRWAY_LEAVES = 11  # an artery that serves fewer places has no bronchus drawn beside it
_LARGE_MM = 2.6  # lumen from which a bronchus is no part of the lung


@dataclass(frozen=True, eq=False)
class Trees:
    """The tubes of a patient, in scanner mm.

    Attributes:
        great: aorta, pulmonary trunk and its two branches, caval vein, arteries to the head.
        vessels: of the lungs.
        airways: lumens of trachea, bronchi and their branches.
        airway_walls: the same with their walls.
        bones: clavicles.
    """

    great: Tubes
    vessels: Tubes
    airways: Tubes
    airway_walls: Tubes
    bones: Tubes

    @property
    def large(self) -> NDArray[np.bool_]:
        """(N,): airways that are no part of the lung."""
        chosen: NDArray[np.bool_] = self.airways.radius.min(axis=1) >= _LARGE_MM
        return chosen


def draw_trees(rng: np.random.Generator, build: Build) -> Trees:
    """Vessels and airways of a patient."""
    vessels, airways = [], [_central_airways(build)]
    targets = _targets(rng, build, 4500)
    for side in (-1, 1):
        mine = targets[side]
        hilum = np.array([[HILUM_MM + 4 * side, 4.0, side * 40.0 + build.midline_mm]], np.float32)
        artery, vein = (
            build.to_scanner(hilum)[0],
            build.to_scanner(hilum + np.array([[-16, -8, -6 * side]], np.float32))[0],
        )
        half = len(mine) // 2
        arteries, leaves = grow(rng, artery, mine[:half])
        veins, _ = grow(rng, vein, mine[half:])
        vessels += [arteries, veins]
        airways.append(_beside(arteries.where(leaves >= _AIRWAY_LEAVES), side))
    lumens = join(airways)
    walls = 0.3 + 0.17 * lumens.radius.mean(axis=1)
    scale = float(np.cbrt(np.prod(build.scale)))
    return Trees(
        great=_great_vessels(build, scale),
        vessels=join(vessels),
        airways=lumens,
        airway_walls=lumens.wider(walls.astype(np.float32)),
        bones=_clavicles(build),
    )


def grow(rng: np.random.Generator, root: Array, targets: Array) -> tuple[Tubes, NDArray[np.intp]]:
    """A tree from ``root`` (3,) to ``targets`` (N, 3), and how many targets each tube serves."""
    starts, stops, radii, served = [], [], [], []
    todo = [(root, targets, _radius(len(targets)))]
    while todo:
        start, mine, before = todo.pop()
        count = len(mine)
        stop = mine[0] if count == 1 else start + rng.uniform(0.3, 0.55) * (mine.mean(axis=0) - start)
        radius = _radius(count)
        bow = start + 0.5 * (stop - start) + rng.normal(0, 0.06, 3) * np.linalg.norm(stop - start)
        starts += [start, bow]
        stops += [bow, stop]
        radii += [(min(before, 1.25 * radius), radius), (radius, radius if count > 1 else 0.6 * radius)]
        served += [count, count]
        if count > 1:
            todo += [(stop, part, radius) for part in _halves(rng, mine)]
    as32 = [np.array(part, np.float32) for part in (starts, stops, radii)]
    return Tubes(as32[0], as32[1], as32[2]), np.array(served, np.intp)


def _radius(leaves: int) -> float:
    return float(_TIP_MM * leaves ** (1 / _MURRAY))


def _halves(rng: np.random.Generator, points: Array) -> tuple[Array, Array]:
    """Two parts of the points (N, 3), split across their longest direction."""
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ axes[:, 2])
    cut = int(np.clip(round(len(points) * rng.uniform(0.3, 0.7)), 1, len(points) - 1))
    return points[order[:cut]], points[order[cut:]]


def _targets(rng: np.random.Generator, build: Build, count: int) -> dict[int, Array]:
    """Places inside the right (-1) and left (1) lung, scanner mm, not quite at the pleura."""
    reference = rng.uniform((0, -95, -130), (HEIGHT_MM, 95, 130), (count, 3)).astype(np.float32)
    points = build.to_scanner(reference)
    # `to_scanner` inverts the warp, so the reference places are those of the points.
    depth = -surfaces_at(build, points).lung
    inside = depth > rng.uniform(2.5, 9, count)
    return {side: points[inside & (np.sign(reference[:, 2]) == side)] for side in (-1, 1)}


def _beside(arteries: Tubes, side: int) -> Tubes:
    """Bronchi that accompany arteries, as wide as these."""
    lumen = 0.78 * arteries.radius
    away = np.array([0.75, 0.35, -0.55 * side], np.float32)
    shift = (arteries.radius + 1.35 * lumen + 0.5).mean(axis=1)[:, None] * away
    return Tubes(arteries.start + shift, arteries.stop + shift, lumen)


def _line(build: Build, *places: tuple[float, float, float]) -> Array:
    """A polyline in scanner mm of reference places given as (x, y, z), smoothed through twelve points a stretch."""
    points = np.array(places, np.float32)[:, ::-1]
    t = np.linspace(0, len(points) - 1, 6 * (len(points) - 1) + 1)
    dense = np.stack([np.interp(t, np.arange(len(points)), points[:, a]) for a in range(3)], axis=1)
    smooth = dense.copy()
    for _ in range(4):
        smooth[1:-1] = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
    return build.to_scanner(smooth.astype(np.float32))


def _central_airways(build: Build) -> Tubes:
    """Trachea, main and lobar bronchi up to where the trees begin."""
    m, c = build.midline_mm, CARINA_MM
    trachea = _line(build, (m, -8, HEIGHT_MM + 70), (m, 2, HEIGHT_MM - 20), (m + 1, 12, c))
    right = _line(build, (m + 1, 12, c), (m - 18, 12, c - 14), (m - 32, 10, c - 24), (m - 40, 10, HILUM_MM - 8))
    left = _line(build, (m + 1, 12, c), (m + 20, 13, c - 10), (m + 36, 14, c - 20), (m + 43, 12, HILUM_MM + 2))
    lobes = []
    for side, end in ((-1, right[-1]), (1, left[-1])):
        for place in ((52, -18, HILUM_MM - 24), (52, 24, HILUM_MM - 42), (54, 2, HILUM_MM + 28)):
            stop = build.to_scanner(np.array([[place[2], place[1], side * place[0] + m]], np.float32))[0]
            middle = (end + stop) / 2 + np.array([0, 0, 2 * side], np.float32)
            lobes.append(path(np.stack([end, middle, stop]), [4.2, 3.6, 2.7]))
            lobes.append(_segmental(build, stop, place, side))
    return join([path(trachea, 8.0), path(right, 6.6), path(left, 6.0), *lobes])


def _segmental(build: Build, start: Array, place: tuple[float, float, float], side: int) -> Tubes:
    """The next bronchus outwards, whose end is open to the lung."""
    x, y, z = place
    far = (z + 1.5 * (z - HILUM_MM), 2.1 * y + 4, side * (x + 26) + build.midline_mm)
    stop = build.to_scanner(np.array([far], np.float32))[0]
    return path(np.stack([start, (start + stop) / 2 + np.array([2, 1, -2 * side], np.float32), stop]), [2.6, 2.0, 1.3])


def _great_vessels(build: Build, scale: float) -> Tubes:
    """Aorta with arch, pulmonary arteries, superior caval vein and the arteries to the head."""
    m, h = build.midline_mm, HILUM_MM
    arch = _line(
        build, (m + 4, -30, h - 30), (m - 10, -34, h + 15), (m - 4, -28, h + 42), (m + 10, -5, h + 50),
        (m + 22, 18, h + 42), (m + 20, 33, h + 18), (18, 34, 70), (10, 34, -60),
    )  # fmt: skip
    trunk = _line(build, (m + 16, -44, h - 25), (m + 18, -34, h + 2), (m + 22, -12, h + 12))
    right = _line(build, (m + 18, -22, h + 8), (m, -8, h + 4), (m - 24, -4, h + 2), (m - 42, 2, h))
    left = _line(build, (m + 20, -18, h + 10), (m + 32, -2, h + 12), (m + 42, 6, h + 4))
    caval = _line(build, (m - 26, -20, h - 25), (m - 28, -22, h + 30), (m - 26, -22, h + 75), (m - 20, -20, h + 130))
    heads = [
        _line(build, (m + x, y, h + 48), (m + 1.2 * x, y - 3, h + 80), (m + 1.8 * x, y - 4, h + 140))
        for x, y in ((-9, -16), (10, -10), (20, 6))
    ]
    atria = _line(build, (m - 30, 2, h - 20), (m, 12, h - 28), (m + 30, 8, h - 18))
    parts = [path(arch, 13.0), path(trunk, 13.5), path(right, 10.0), path(left, 10.0), path(caval, 8.5)]
    parts += [path(line, 5.2) for line in heads]
    parts.append(path(atria, 15.0))
    tubes = join(parts)
    return Tubes(tubes.start, tubes.stop, tubes.radius * np.float32(scale))


def _clavicles(build: Build) -> Tubes:
    return join(
        [
            path(_line(build, (12 * s, -62, 205), (60 * s, -66, 222), (105 * s, -40, 240), (150 * s, -8, 252)), 6.0)
            for s in (-1, 1)
        ]
    )

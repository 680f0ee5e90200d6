"""Trachea and large bronchi: a round dark spot near the midline, followed down until it would leak into lung."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.preprocess.morphology import Mask, Spacing, dilate

LUMEN_BELOW_HU: Final = -850.0
AREA_MM2: Final = (40.0, 800.0)  # of a trachea's cross-section
MIDLINE_MM: Final = 30.0
ROUND_ENOUGH: Final = 0.5  # share of its bounding box that it fills; a disc fills 0.79
DARK_HU: Final = -915.0  # mean of the spot; parenchyma, cut at -850, has -870 to -905 on the scans looked at
SHORTEST_MM: Final = 15.0  # of a trachea that is believed
GROWING_HU: Final = (-900.0, -920.0, -940.0, -960.0, -980.0)
LARGEST_TREE_ML: Final = 110.0  # trachea and main bronchi hold 30 to 80 mL
WALL_MM: Final = 2.0


def find_airways(half: NDArray[np.float32], air: Mask, spacing_mm: Spacing) -> Mask:
    """Lumen and wall of trachea and large bronchi; empty where no trachea is found.

    Args:
        half: HU, ``[z, y, x]``.
        air: the component that holds lungs and airways.
        spacing_mm: of ``half``, (z, y, x).
    """
    seeds = _trachea(half, air, spacing_mm)
    if not seeds.any():
        return seeds
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    for threshold in GROWING_HU:
        labels, _ = ndimage.label((half < threshold) & air)
        tree: Mask = np.isin(labels, np.setdiff1d(labels[seeds], 0))
        if tree.sum() * voxel_ml <= LARGEST_TREE_ML:
            break
    else:
        tree = seeds  # emphysema: every threshold leaks, so the trachea alone
    return dilate(tree | seeds, WALL_MM, spacing_mm)


def _trachea(half: NDArray[np.float32], air: Mask, spacing_mm: Spacing) -> Mask:
    """The longest run of such spots that overlap from slice to slice."""
    columns = np.flatnonzero(air.any(axis=(0, 1)))
    middle = float(columns[0] + columns[-1]) / 2
    runs: list[dict[int, Mask]] = [{}]
    for z in reversed(range(air.shape[0])):
        above = runs[-1].get(z + 1)
        spot = _spot(half[z], air[z], above, middle, spacing_mm)
        if spot is None:
            continue
        if above is None:
            runs.append({})
        runs[-1][z] = spot
    trachea = np.zeros_like(air)
    longest = max(runs, key=len)
    if len(longest) * spacing_mm[0] >= SHORTEST_MM:
        for z, spot in longest.items():
            trachea[z] = spot
    return trachea


def _spot(plane: NDArray[np.float32], air: Mask, above: Mask | None, middle: float, spacing_mm: Spacing) -> Mask | None:
    """The darkest round spot near the midline that overlaps the one above it, or any where there is none above."""
    _, y_mm, x_mm = spacing_mm
    labels, _ = ndimage.label(air & (plane < LUMEN_BELOW_HU))
    candidates = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        spot = labels == number
        pixels = int(spot[place].sum())
        rows, columns = spot[place].shape
        if not AREA_MM2[0] <= pixels * y_mm * x_mm <= AREA_MM2[1] or pixels < ROUND_ENOUGH * rows * columns:
            continue
        if abs(place[1].start + (columns - 1) / 2 - middle) * x_mm > MIDLINE_MM:
            continue
        mean = float(plane[spot].mean())
        if mean < DARK_HU and (above is None or (spot & above).any()):
            candidates.append((mean, number))
    if candidates:
        return np.asarray(labels == min(candidates)[1])
    return _spot(plane, air, None, middle, spacing_mm) if above is not None else None

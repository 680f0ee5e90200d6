"""How much of the lung is affected: volumes, percentages, scores, per lung, third and slice.

Thirds are of each lung's own height, feet to head, not anatomical levels. The six-zone score gives each third
of each lung 0 (no infection), 1 (under 25 %), 2 (25 to under 50 %), 3 (50 to under 75 %) or 4 (75 % and more)
by the infected share of its volume, 0 to 24 in all: the scale of Ooi et al., "Severe acute respiratory
syndrome: temporal lung changes at thin-section CT in 30 patients", Radiology 2004;230:836-844, there by eye and
with zones bounded by the carina and the inferior pulmonary veins. There are several CT severity scores; this is
one of them, and measured otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.labels import TISSUE_OF_CODE, Region, region_of_codes
from groundglass.preprocess.gaps import cut_ends
from groundglass.scan import Scan

Side = Literal["both", "right", "left"]
Third = Literal["all", "upper", "middle", "lower"]
SIDES: Final[Mapping[Side, tuple[int, ...]]] = {"both": (1, 2), "right": (1,), "left": (2,)}
ZONE_LIMITS_PERCENT: Final = (25.0, 50.0, 75.0)
SIX_ZONE_RANGE: Final = (0, 24)
SCORE_SCALE_PERCENT: Final = 1.0


@dataclass(frozen=True)
class Amount:
    """How much of a region there is in a zone.

    Attributes:
        voxels: number of voxels.
        volume_ml: volume in mL, or None where the size of a voxel is unknown.
        percent_of_lung: of the zone's lung field, 0 to 100, or None where the zone has no lung.
        mean_hu: mean Hounsfield units, or None where the region is empty.
    """

    voxels: int
    volume_ml: float | None
    percent_of_lung: float | None
    mean_hu: float | None


@dataclass(frozen=True)
class Zone:
    """A lung, a third of it, or both; ``amounts`` has every region.

    ``first_slice`` and ``last_slice`` (inclusive, canonical, feet to head) are where it begins and ends;
    None where it is empty.
    """

    side: Side
    third: Third
    amounts: Mapping[Region, Amount]
    first_slice: int | None
    last_slice: int | None


@dataclass(frozen=True)
class Burden:
    """The measurements of one case.

    Attributes:
        zones: both lungs first, then right, left, then their thirds from upper to lower; without
            ``right`` and ``left`` where sides are unknown, without thirds where there are fewer than 3 slices.
        opacity_percent: PO, the infection's percentage of the lung field; None without lung.
        six_zone_points: (side, third) -> 0 to 4; empty where the six zones are not told apart, and where the scan
            cuts the lungs off, so that thirds are not of their height.
        six_zone_score: their sum, 0 to 24, or None.
        lesion_count: connected components of infection (26 neighbours).
        largest_lesion_ml: mL, or None where there is no lesion or no voxel size.
        slice_scores: one a slice, canonical order: ``saturate`` of the infected area in percent of the
            largest slice of the lung field; a rank in [0, 1], no probability.
        case_score: ``saturate`` of PO, that there is infection at all; None without lung.
    """

    zones: tuple[Zone, ...]
    opacity_percent: float | None
    six_zone_points: Mapping[tuple[Side, Third], int]
    six_zone_score: int | None
    lesion_count: int
    largest_lesion_ml: float | None
    slice_scores: tuple[float, ...]
    case_score: float | None

    def zone(self, side: Side = "both", third: Third = "all") -> Zone | None:
        """The zone of that name, or None where it was not measured."""
        return next((zone for zone in self.zones if (zone.side, zone.third) == (side, third)), None)


@dataclass(frozen=True, eq=False)
class _Table:
    """Voxels and sums of HU, ``[slice, side, code]``: all that zones are made of."""

    voxels: NDArray[np.int64]
    hu: NDArray[np.float64]


def measure(scan: Scan, codes: NDArray[np.uint8], sides: NDArray[np.uint8], *, lung_known: bool = True) -> Burden:
    """The measurements of a label map.

    Args:
        scan: ``hu`` ``[z, y, x]``.
        codes: uint8 of the same shape, 0 background, 1 lung, 2 ground-glass opacity, 3 consolidation.
        sides: uint8 of the same shape, 1 right, 2 left, 0 where ``codes`` is 0.
        lung_known: whether the lung was found; if not, there is no lung field that anything is a share of.
    """
    table = _count(scan, codes, sides)
    zones = tuple(_zones(table, scan))
    if not lung_known:
        zones = tuple(_without_lung(zone) for zone in zones)
    points: dict[tuple[Side, Third], int] = {
        (zone.side, zone.third): six_zone_points(zone.amounts[Region.INFECTION].percent_of_lung or 0.0)
        for zone in zones
        if zone.side != "both" and zone.third != "all" and zone.amounts[Region.LUNG_FIELD].voxels
    }
    if len(points) < 6 or any(cut_ends(scan, sides > 0)):
        points = {}
    lesion_voxels = _lesion_voxels(codes)
    opacity = zones[0].amounts[Region.INFECTION].percent_of_lung
    voxel_ml = scan.voxel_ml if scan.source.spacing_known else None
    return Burden(
        zones=zones,
        opacity_percent=opacity,
        six_zone_points=points,
        six_zone_score=sum(points.values()) if points else None,
        lesion_count=len(lesion_voxels),
        largest_lesion_ml=max(lesion_voxels) * voxel_ml if lesion_voxels and voxel_ml is not None else None,
        slice_scores=_slice_scores(table),
        case_score=None if opacity is None else saturate(opacity),
    )


def six_zone_points(infected_percent: float) -> int:
    """0 to 4 for a zone of which ``infected_percent`` (0 to 100) is infected (Ooi et al. 2004)."""
    return 0 if infected_percent <= 0 else 1 + sum(infected_percent >= limit for limit in ZONE_LIMITS_PERCENT)


def saturate(percent: float) -> float:
    """1 - exp(-percent / 1 %): 0 without infection, 0.63 at 1 %, towards 1; ours, a rank and no probability."""
    return 1 - math.exp(-percent / SCORE_SCALE_PERCENT)


def _count(scan: Scan, codes: NDArray[np.uint8], sides: NDArray[np.uint8]) -> _Table:
    depth, n_codes = len(codes), len(TISSUE_OF_CODE)
    voxels = np.zeros((depth, 3 * n_codes), np.int64)
    hu = np.zeros((depth, 3 * n_codes))
    for z in range(depth):
        cell = (sides[z] * n_codes + codes[z]).ravel()
        voxels[z] = np.bincount(cell, minlength=3 * n_codes)
        hu[z] = np.bincount(cell, weights=scan.hu[z].ravel(), minlength=3 * n_codes)
    return _Table(voxels.reshape(depth, 3, n_codes), hu.reshape(depth, 3, n_codes))


def _zones(table: _Table, scan: Scan) -> Iterator[Zone]:
    known: tuple[Side, ...] = ("both", "right", "left") if scan.source.sides_known else ("both",)
    for side in known:
        yield _zone(table, scan, side, "all", _extent(table, side))
    for side in known[1:]:
        extent = _extent(table, side)
        if len(extent) >= 3:
            cuts = [round(extent.start + len(extent) * part / 3) for part in range(4)]
            yield _zone(table, scan, side, "upper", range(cuts[2], cuts[3]))
            yield _zone(table, scan, side, "middle", range(cuts[1], cuts[2]))
            yield _zone(table, scan, side, "lower", range(cuts[0], cuts[1]))


def _extent(table: _Table, side: Side) -> range:
    """The slices from the first to the last that hold lung of that side."""
    found = np.flatnonzero(table.voxels[:, SIDES[side], 1:].any(axis=(1, 2)))
    return range(int(found[0]), int(found[-1]) + 1) if found.size else range(0)


def _zone(table: _Table, scan: Scan, side: Side, third: Third, slices: range) -> Zone:
    rows = slice(slices.start, slices.stop)
    voxels = table.voxels[rows][:, SIDES[side]].sum(axis=(0, 1))
    hu = table.hu[rows][:, SIDES[side]].sum(axis=(0, 1))
    lung = int(voxels[_codes_of(Region.LUNG_FIELD)].sum())
    amounts = {}
    for region in Region:
        count = int(voxels[_codes_of(region)].sum())
        amounts[region] = Amount(
            voxels=count,
            volume_ml=count * scan.voxel_ml if scan.source.spacing_known else None,
            percent_of_lung=100 * count / lung if lung else None,
            mean_hu=float(hu[_codes_of(region)].sum()) / count if count else None,
        )
    first, last = (slices.start, slices.stop - 1) if slices else (None, None)
    return Zone(side, third, amounts, first, last)


def _without_lung(zone: Zone) -> Zone:
    """A zone where only lesions are known."""
    amounts = {region: replace(amount, percent_of_lung=None) for region, amount in zone.amounts.items()}
    return replace(zone, amounts={**amounts, Region.LUNG_FIELD: Amount(0, None, None, None)})


def _codes_of(region: Region) -> list[int]:
    return [code for code, tissue in TISSUE_OF_CODE.items() if region.value & tissue]


def _slice_scores(table: _Table) -> tuple[float, ...]:
    per_slice = table.voxels[:, 1:].sum(axis=1)
    largest_lung = per_slice[:, _codes_of(Region.LUNG_FIELD)].sum(axis=1).max()
    infected = per_slice[:, _codes_of(Region.INFECTION)].sum(axis=1)
    return tuple(saturate(100 * float(share)) for share in infected / max(largest_lung, 1))


def _lesion_voxels(codes: NDArray[np.uint8]) -> list[int]:
    """Voxels of each connected component of infection (26 neighbours)."""
    infection = region_of_codes(codes, Region.INFECTION)
    found = np.flatnonzero(infection.any(axis=(1, 2)))
    if not found.size:
        return []
    labels, _ = ndimage.label(infection[found[0] : found[-1] + 1], structure=np.ones((3, 3, 3)))
    return [int(size) for size in np.bincount(labels.ravel())[1:]]

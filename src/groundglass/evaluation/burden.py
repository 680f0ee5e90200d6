"""How much of the lung is affected: volumes, percentages, scores, per lung, third and slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from groundglass.labels import Region

Side = Literal["both", "right", "left"]
Third = Literal["all", "upper", "middle", "lower"]


@dataclass(frozen=True)
class Amount:
    """How much of a region there is in a zone.

    Attributes:
        voxels: number of voxels.
        volume_ml: mL, or None where the size of a voxel is unknown.
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
        six_zone_points: (side, third) -> 0 to 4; empty where the six zones are not told apart.
        six_zone_score: their sum, 0 to 24, or None.
        lesion_count: connected components of infection (26 neighbours).
        largest_lesion_ml: mL, or None where there is no lesion or no voxel size.
        slice_scores: in [0, 1], one a slice, canonical order: the more infection in it, the higher.
        case_score: in [0, 1], that there is infection at all.
    """

    zones: tuple[Zone, ...]
    opacity_percent: float | None
    six_zone_points: Mapping[tuple[Side, Third], int]
    six_zone_score: int | None
    lesion_count: int
    largest_lesion_ml: float | None
    slice_scores: tuple[float, ...]
    case_score: float

    def zone(self, side: Side = "both", third: Third = "all") -> Zone | None:
        """The zone of that name, or None where it was not measured."""
        return next((zone for zone in self.zones if (zone.side, zone.third) == (side, third)), None)

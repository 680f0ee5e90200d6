"""The measurements as files for other programs: CSV and JSON, with units in every name."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from groundglass.evaluation.burden import SIX_ZONE_RANGE, Burden
from groundglass.inference.segmentation import Segmentation
from groundglass.labels import NAME_OF_CODE

ZONE_COLUMNS = ("case", "side", "third", "region", "voxels", "volume_ml", "percent_of_lung", "mean_hu")
SLICE_COLUMNS = ("case", "slice", "infection_score")


def zones_csv(case: str, burden: Burden) -> str:
    """A row for each zone and region; empty cells where a number cannot be given."""
    rows = [
        {"case": case, "side": zone.side, "third": zone.third, "region": region.key, **_rounded(asdict(amount))}
        for zone in burden.zones
        for region, amount in zone.amounts.items()
    ]
    return _csv(ZONE_COLUMNS, rows)


def slices_csv(case: str, burden: Burden) -> str:
    """A row for each slice, counted from 1, feet to head, with its score in [0, 1]."""
    rows = [
        {"case": case, "slice": index, "infection_score": round(score, 6)}
        for index, score in enumerate(burden.slice_scores, start=1)
    ]
    return _csv(SLICE_COLUMNS, rows)


def as_json(case: str, burden: Burden, segmentation: Segmentation) -> dict[str, Any]:
    """Everything that was measured, with units and definitions."""
    low, high = SIX_ZONE_RANGE
    return {
        "case": case,
        "model": segmentation.model.name,
        "weights_sha256": segmentation.model.digest or None,
        "units": {
            "volume_ml": "mL",
            "percent_of_lung": "percent of the zone's lung field",
            "mean_hu": "Hounsfield units",
            "infection_score": "0 to 1, a rank and no probability",
        },
        "codes": {str(code): name for code, name in NAME_OF_CODE.items()},
        "opacity_percent": _round(burden.opacity_percent),
        "six_zone_score": {
            "value": burden.six_zone_score,
            "range": [low, high],
            "zones": {f"{side} {third}": points for (side, third), points in burden.six_zone_points.items()},
            "definition": "0 to 4 for each third of each lung's height by infected share of its volume (0, under "
            "25 %, 25, 50, 75 % and more), after Ooi et al., Radiology 2004;230:836-844",
        },
        "lesions": {"count": burden.lesion_count, "largest_ml": _round(burden.largest_lesion_ml)},
        "infection_score": _round(burden.case_score),
        "zones": [
            {
                "side": zone.side,
                "third": zone.third,
                "first_slice": None if zone.first_slice is None else zone.first_slice + 1,
                "last_slice": None if zone.last_slice is None else zone.last_slice + 1,
                "regions": {region.key: _rounded(asdict(amount)) for region, amount in zone.amounts.items()},
            }
            for zone in burden.zones
        ],
        "slices": {
            "order": "feet to head; the first is slice 1",
            "infection_score": [round(s, 6) for s in burden.slice_scores],
        },
    }


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: float | int | None) -> float | int | None:
    return round(value, 4) if isinstance(value, float) else value

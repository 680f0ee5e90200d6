"""The rows of the page's tables: numbers from the records, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from groundglass.evaluation.burden import Amount, Burden, Side, Third, Zone
from groundglass.labels import Region
from groundglass.provenance import Provenance
from groundglass.report.words import TIMES, UNKNOWN, number, signed
from groundglass.scan import Scan

SIDES: Final[tuple[Side, ...]] = ("both", "right", "left")
THIRDS: Final[tuple[Third, ...]] = ("upper", "middle", "lower")
SIDE_TITLE: Final[Mapping[Side, str]] = {"both": "Both lungs", "right": "Right lung", "left": "Left lung"}
FORMAT_TITLE: Final = {
    "dicom": "DICOM",
    "nifti": "NIfTI",
    "nrrd": "NRRD",
    "image": "Grey-value images",
    "memory": "An array in memory",
}


@dataclass(frozen=True)
class Row:
    """A table's row: its heading and its cells."""

    title: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Groups of columns with their headings, and rows."""

    groups: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ZoneRow:
    """A third of a lung; ``bars`` are the percentages of ground glass and consolidation, in [0, 100]."""

    title: str
    cells: tuple[str, ...]
    bars: tuple[float, float]


def measurements(burden: Burden) -> Table:
    """Every region in both lungs and in each."""
    zones = [zone for side in SIDES if (zone := burden.zone(side)) is not None]
    rows = tuple(
        Row(region.title, tuple(cell for zone in zones for cell in _cells(zone.amounts.get(region))))
        for region in Region
    )
    return Table(tuple(SIDE_TITLE[zone.side] for zone in zones), ("mL", "% of lung", "mean HU"), rows)


def _cells(amount: Amount | None) -> tuple[str, str, str]:
    if amount is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return number(amount.volume_ml), number(amount.percent_of_lung), number(amount.mean_hu, 0)


def thirds(burden: Burden) -> tuple[ZoneRow, ...]:
    """The thirds of the lungs: mL of each region, and infection in percent."""
    zones = [zone for side in SIDES for third in THIRDS if (zone := burden.zone(side, third)) is not None]
    return tuple(_zone_row(zone) for zone in zones)


def _zone_row(zone: Zone) -> ZoneRow:
    amounts = [zone.amounts.get(region) for region in Region]
    infection = zone.amounts.get(Region.INFECTION)
    share = [
        amount.percent_of_lung or 0.0 if (amount := zone.amounts.get(region)) else 0.0
        for region in (Region.GROUND_GLASS, Region.CONSOLIDATION)
    ]
    return ZoneRow(
        title=f"{SIDE_TITLE[zone.side]}, {zone.third}",
        cells=(
            *(number(amount.volume_ml if amount else None) for amount in amounts),
            number(infection.percent_of_lung if infection else None),
        ),
        bars=(share[0], share[1]),
    )


def against_truth(measured: Burden, true: Burden) -> tuple[Row, ...]:
    """Volumes of both lungs: true, measured, and measured less true."""
    ours, theirs = measured.zone(), true.zone()
    if ours is None or theirs is None:
        return ()
    return tuple(
        Row(region.title, _difference(theirs.amounts.get(region), ours.amounts.get(region))) for region in Region
    )


def _difference(true: Amount | None, measured: Amount | None) -> tuple[str, str, str, str, str, str]:
    cells: list[str] = []
    for kind in ("volume_ml", "percent_of_lung"):
        pair = getattr(true, kind, None), getattr(measured, kind, None)
        change = None if pair[0] is None or pair[1] is None else pair[1] - pair[0]
        cells += [number(pair[0]), number(pair[1]), signed(change)]
    return cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]


def agreement(values: Mapping[str, float]) -> tuple[Row, ...]:
    """Measures of agreement, by name."""
    titles = {region.key: region.title for region in Region}
    return tuple(Row(titles.get(name, name), (number(value, 3),)) for name, value in values.items())


def what_was_read(scan: Scan) -> tuple[Row, ...]:
    """Facts of the scan, none of which tells whose it is."""
    slices, rows, columns = scan.hu.shape
    z_mm, y_mm, x_mm = scan.spacing_mm
    spacing = f"{x_mm:.2f} {TIMES} {y_mm:.2f} mm in the slice, {z_mm:.2f} mm between slices"
    made = scan.source.acquisition
    facts = [
        ("Format", FORMAT_TITLE[scan.source.format]),
        ("Slices", str(slices)),
        ("Slice size", f"{columns} {TIMES} {rows} pixels"),
        ("Spacing", spacing if scan.source.spacing_known else "unknown: the input has no pixel size"),
        ("Values", f"{number(float(scan.hu.min()), 0)} to {number(float(scan.hu.max()), 0)} HU"),
        ("Manufacturer", made.manufacturer),
        ("Kernel", made.kernel),
        ("Tube voltage", made.kilovolts and f"{made.kilovolts:g} kV"),
        ("Slice thickness", made.slice_thickness_mm and f"{made.slice_thickness_mm:g} mm"),
        ("Left and right", None if scan.source.sides_known else "unknown: the input does not tell"),
    ]
    return tuple(Row(title, (fact,)) for title, fact in facts if fact)


def how_it_was_made(record: Provenance) -> tuple[Row, ...]:
    """Provenance, as rows."""
    machine = record.machine
    facts = [
        ("groundglass", record.version),
        ("Command", record.command),
        ("Settings", _pairs(record.settings)),
        ("Model", record.model),
        ("Recipe", record.recipe),
        ("Seed", None if record.seed is None else str(record.seed)),
        ("Machine", f"{machine.system}, {machine.processor}, {machine.cores} cores"),
        ("Python", machine.python),
        ("Libraries", _pairs(machine.libraries, " ")),
        ("Data (keyed hash)", _pairs(record.data)),
    ]
    return tuple(Row(title, (fact,)) for title, fact in facts if fact)


def _pairs(values: Mapping[str, Any], between: str = " = ") -> str:
    return ", ".join(f"{name}{between}{value}" for name, value in values.items())


def durations(seconds: Mapping[str, float]) -> tuple[Row, ...]:
    """Seconds of each phase, and their sum."""
    rows = [Row(phase, (number(value),)) for phase, value in seconds.items()]
    return (*rows, Row("Total", (number(sum(seconds.values())),)))

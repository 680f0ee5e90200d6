"""The two tables of ``study associate``, keyed by patient, as numbers."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.association import Covariate
from groundglass.io.files import shown
from groundglass.scan import Notice

MISSING: Final = frozenset({"", "na", "n/a", "none", "-", "?", "missing", "unknown"})
# Of a table that `segment` wrote, the rows that are of both lungs as a whole.
OF_SEGMENT: Final = {"side": "both", "third": "all", "region": "infection"}
BURDEN: Final = "percent_of_lung"


@dataclass(frozen=True)
class Table:
    """A CSV: what it is called in messages, its columns, and its rows as they stand there."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, eq=False)
class Joined:
    """What is compared: patients in both tables, in no order that tells who they are."""

    burden_name: str
    burden: tuple[float, ...]
    covariates: tuple[Covariate, ...]
    notices: tuple[Notice, ...]


def read_table(path: Path) -> Table:
    """Read a CSV with a heading.

    Raises:
        ReadError: it is none.
    """
    name = shown(path.name)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = tuple(reader)
            columns = tuple(reader.fieldnames or ())
        if len(columns) < 2 or len(set(columns)) < len(columns) or any(None in row.values() for row in rows):
            raise ValueError("no table")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError):
        raise ReadError(
            f"{name} is no table.",
            expected="a CSV whose first line names its columns, each once, and whose rows have a cell for each",
            remedy="Save it as CSV (UTF-8) with one row a patient.",
        ) from None
    if any(None in row for row in rows):
        raise ReadError(f"A row of {name} has too many cells.", expected="one for each column", remedy="Mend the row.")
    return Table(name, columns, rows)


def join(
    measurements: Table,
    clinical: Table,
    key: str | None,
    burden: str | None,
    wanted: Sequence[str],
    orders: Mapping[str, Sequence[str]],
) -> Joined:
    """The burden and the covariates of the patients that are in both.

    Args:
        measurements: of `segment`, or any with a row a patient (several are averaged).
        clinical: a row a patient.
        key: the column that names the patient in both; else the first column of each.
        burden: the column of it; else `percent_of_lung`.
        wanted: the covariates; else all columns but the key.
        orders: of a column, its words from least to most.

    Raises:
        GroundglassError: a column is missing or cannot be a number, or no patient is in both.
    """
    amounts = _burdens(measurements, key, burden or BURDEN)
    patients = _by_patient(clinical, key)
    common = [patient for patient in patients if patient in amounts]
    if not common:
        raise UsageError(
            f"No patient of {measurements.name} is in {clinical.name}.",
            expected="the same names of patients in both",
            remedy="Say which column names them: --key; a case's name is what segment called it (--case-name).",
        )
    names = list(wanted) or [column for column in clinical.columns if column != _key(clinical, key)]
    for name in (*names, *orders):
        _need(clinical, name)
    made = [_covariate(name, [patients[one][name] for one in common], clinical, orders.get(name)) for name in names]
    notices = []
    left_out = len(set(amounts) ^ set(patients))
    if left_out:
        notices.append(Notice(f"Patients that are in one table only, and left out: {left_out}."))
    for one in made:
        unknown = int(np.isnan(one.values).sum())
        if unknown:
            notices.append(Notice(f"{one.name} is not known of {unknown} of {len(common)} patients."))
    return Joined(burden or BURDEN, tuple(amounts[one] for one in common), tuple(made), tuple(notices))


def parse_orders(texts: Sequence[str]) -> dict[str, list[str]]:
    """``severity=mild,severe`` as a column and its words.

    Raises:
        UsageError: it is something else.
    """
    orders = {}
    for text in texts:
        name, _, words = text.partition("=")
        orders[name] = [word.strip().casefold() for word in words.split(",")]
        if not name or len(set(orders[name])) < 2 or "" in orders[name]:
            raise UsageError(
                f"The order {shown(text)!r}.", expected="a column and its words", remedy="Such as severity=mild,severe"
            )
    return orders


def _burdens(table: Table, key: str | None, burden: str) -> dict[str, float]:
    """Of each patient the mean over its rows."""
    _need(table, burden)
    found: dict[str, list[float]] = defaultdict(list)
    for row in table.rows:
        whole = all(row.get(column, value) == value for column, value in OF_SEGMENT.items())
        if whole and row[burden].strip().casefold() not in MISSING:
            found[row[_key(table, key)].strip()].append(_number(row[burden], burden, table))
    return {patient: float(np.mean(values)) for patient, values in found.items() if patient}


def _by_patient(table: Table, key: str | None) -> dict[str, Mapping[str, str]]:
    names = [row[_key(table, key)].strip() for row in table.rows]
    if (twice := next((name for name, n in Counter(names).items() if n > 1 and name), None)) is not None:
        raise ReadError(
            f"{table.name} has {names.count(twice)} rows of one patient.",
            expected="one row a patient",
            remedy="Keep the row that the scan belongs to.",
        )
    return {name: row for name, row in zip(names, table.rows, strict=True) if name}


def _covariate(name: str, cells: Sequence[str], table: Table, order: Sequence[str] | None) -> Covariate:
    """A column as numbers: numbers as they are, two words as 0 and 1, more by their order."""
    words = [cell.strip().casefold() for cell in cells]
    present = sorted({word for word in words if word not in MISSING})
    if order is None and any(_is_number(word) for word in present):
        values = [math.nan if word in MISSING else _number(word, name, table) for word in words]
        return Covariate(shown(name), "", np.array(values))
    ladder = list(order or present)
    if order is None and len(present) > 2:
        raise UsageError(
            f"The column {shown(name)} has {len(present)} words and no order.",
            expected="numbers, two words, or words in order",
            remedy=f"Say --order {shown(name)}={','.join(shown(word, 20) for word in present[:3])},... from least to "
            "most, or leave it out by naming the others with --covariate.",
        )
    strange = next((word for word in present if word not in ladder), None)
    if strange is not None:
        raise UsageError(
            f"The column {shown(name)} has a word that its order has not: {shown(strange, 20)}.",
            expected=f"one of {', '.join(shown(word, 20) for word in ladder)}",
            remedy="Add it to --order.",
        )
    values = [math.nan if word in MISSING else float(ladder.index(word)) for word in words]
    step = f"{ladder[-1]} against {ladder[0]}" if len(ladder) == 2 else f"a step of {' < '.join(ladder)}"
    return Covariate(shown(name), "" if len(ladder) < 2 else shown(step), np.array(values))


def _number(text: str, column: str, table: Table) -> float:
    if not _is_number(text):
        raise ReadError(
            f"The column {shown(column)} of {table.name} has a cell that is no number.",
            expected="finite numbers, and nothing where it is not known",
            remedy="Correct the cell, or empty it.",
        )
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _key(table: Table, key: str | None) -> str:
    if key is not None:
        _need(table, key)
    return key or table.columns[0]


def _need(table: Table, column: str) -> None:
    if column not in table.columns:
        raise UsageError(
            f"{table.name} has no column {shown(column)}.",
            expected=f"one of {', '.join(shown(name, 30) for name in table.columns[:12])}",
            remedy="Correct its name.",
        )

"""Steps and minutes of trainings, phase by phase, so that what is trained longer is not called better.

A sitting is what one call of the command ran of a stage. A stage that was stopped has several; its minutes are its
steps at the pace of all of them, so that what was lost and done again does not count twice.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from groundglass.errors import ReadError
from groundglass.io.atomic import write_file


@dataclass(frozen=True)
class Sitting:
    """What was run of a stage at once.

    Attributes:
        stage: its folder.
        phase: what it is: a method's name, ``prior``, or a method's name on labels of its own.
        steps: of the whole stage.
        done: of them, in this sitting.
        seconds: that it took, with the labelling of slices where the stage does that.
    """

    stage: str
    phase: str
    steps: int
    done: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """Of a phase: optimiser steps, and minutes of them."""

    steps: int
    minutes: float


def costs(sittings: Iterable[Sitting], folders: Sequence[str]) -> dict[str, Cost]:
    """Cost of each phase, of the stages under some folders; phases in the order of their first sittings."""
    stages: dict[str, list[Sitting]] = {}
    for one in sittings:
        if any(one.stage.startswith(f"{folder}/") for folder in folders):
            stages.setdefault(one.stage, []).append(one)
    made: dict[str, Cost] = {}
    for own in stages.values():
        done = sum(one.done for one in own)
        minutes = sum(one.seconds for one in own) / 60 * own[0].steps / done if done else 0.0
        before = made.get(own[0].phase, Cost(0, 0.0))
        made[own[0].phase] = Cost(before.steps + own[0].steps, before.minutes + minutes)
    return made


_COLUMNS = tuple(one.name for one in fields(Sitting))


def read_sittings(path: Path) -> list[Sitting]:
    """The sittings in a file; none where there is none.

    Raises:
        ReadError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return [
            Sitting(row["stage"], row["phase"], int(row["steps"]), int(row["done"]), float(row["seconds"]))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise ReadError(
            f"{path.name} is damaged.",
            expected=f"a CSV with the columns {', '.join(_COLUMNS)}",
            remedy="Restore it, or remove it: the minutes in it are lost, and nothing else.",
        ) from None


def add_sitting(path: Path, sitting: Sitting) -> None:
    """Write a sitting behind those in a file.

    Raises:
        ReadError: the file is damaged.
        WriteError: it cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in (*read_sittings(path), sitting):
        writer.writerow([*astuple(one)[:-1], f"{one.seconds:.3f}"])
    write_file(path, stream.getvalue().encode())

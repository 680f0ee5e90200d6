"""The log of a run: a CSV with a row a step, and the same rows as an event file that TensorBoard reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from groundglass.errors import ReadError, UsageError
from groundglass.io.atomic import write_file

LOG_FILE: Final = "log.csv"
EVENTS_FILE: Final = "events.out.tfevents.0"  # TensorBoard's own names have the machine's name and a date
Row = dict[str, Any]  # step, rate, and each loss by its name


def write_log(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows, whole or not at all; a loss that a step has not is an empty cell.

    Raises:
        WriteError: it could not be written; an older file is as it was.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns)]
    lines += [",".join(_cell(row.get(column, "")) for column in columns) for row in rows]
    write_file(path, ("\n".join(lines) + "\n").encode())


def read_log(path: Path) -> list[Row]:
    """The rows of a log, none where there is no file. Numbers come back as they were, to the last bit.

    Raises:
        ReadError: it is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream, strict=True)
            if "step" not in (rows.fieldnames or ()):
                raise ValueError("no log")
            return [{key: _number(text) for key, text in row.items() if text or key == "step"} for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError, csv.Error):
        raise ReadError(
            f"{path.name} is damaged.", expected="a log that groundglass train wrote", remedy="Remove the run's folder."
        ) from None


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def check_tensorboard() -> None:
    """Refuse where the package that writes event files is not installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed.",
            expected="the package tensorboard",
            remedy='Run pip install "groundglass[tensorboard]", or leave --tensorboard out.',
        )


def events(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The content of an event file: a scalar for each loss and the rate of each step.

    The same rows are the same bytes: a step counts as a second, and there is no name of a machine and no date.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    stream = io.BytesIO()
    writer = RecordWriter(stream)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for row in rows:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "step"]
        event = Event(wall_time=row["step"], step=row["step"], summary=Summary(value=values))
        writer.write(event.SerializeToString(deterministic=True))
    return stream.getvalue()

"""The table of networks, for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundglass.report.words import number


@dataclass(frozen=True)
class Cost:
    """What a network was measured to cost.

    Attributes:
        memory_mib: of a training step; None where it cannot be told.
        trained: images a second in training.
        predicted: images a second in prediction.
        threads: that ran.
        precision: of the training, such as ``float32``.
    """

    memory_mib: float | None
    trained: float
    predicted: float
    threads: int
    precision: str


@dataclass(frozen=True)
class NetworkRow:
    """A network.

    Attributes:
        name: of its file, with what settings it has.
        paper: whose architecture it is.
        parameters: with one channel in and four classes out.
        side: of the image in pixels.
        multiply_adds: of one image of that side.
        cost: what was measured, None where nothing was.
    """

    name: str
    paper: str
    parameters: int
    side: int
    multiply_adds: int
    cost: Cost | None = None


def markdown(rows: Sequence[NetworkRow], size: int, batch: int | None) -> str:
    """A table and below it how its numbers came about.

    Args:
        rows: the networks.
        size: side that was asked for; a row of another side says so.
        batch: images a step in what was measured; None leaves these columns out.
    """
    head, cells = _table(rows, size, batch)
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *([f"`{row[0]}`", *row[1:]] for row in cells)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *_notes(rows, batch)]) + "\n"


def text(rows: Sequence[NetworkRow], size: int, batch: int | None) -> str:
    """The same in columns of letters of one width; papers stand last, for they are long."""
    head, cells = _table(rows, size, batch)
    lines = [(*line[2:], line[0], line[1]) for line in (head, *cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    made = []
    for *numbers, name, paper in lines:
        right = [cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)]
        made.append("  ".join([name.ljust(widths[-2]), *right, paper]))
    return "\n".join([*made, "", *_notes(rows, batch)]) + "\n"


def _table(rows: Sequence[NetworkRow], size: int, batch: int | None) -> tuple[list[str], list[list[str]]]:
    head = ["network", "paper", "parameters", f"multiply-adds at {size}, G"]
    if batch is not None:
        head += ["memory, MiB", "training, images/s", "prediction, images/s"]
    return head, [_cells(row, size, batch) for row in rows]


def _cells(row: NetworkRow, size: int, batch: int | None) -> list[str]:
    other = "" if row.side == size else f" (at {row.side})"
    cells = [row.name, row.paper, f"{row.parameters:,}", number(row.multiply_adds / 1e9, 2) + other]
    if batch is not None:
        cost = row.cost
        cells += [
            number(cost.memory_mib if cost else None, 0),
            number(cost.trained if cost else None, 2),
            number(cost.predicted if cost else None, 2),
        ]
    return cells


def _notes(rows: Sequence[NetworkRow], batch: int | None) -> list[str]:
    notes = [
        "One channel in, four classes out. Multiply-adds are those of one image's convolutions and matrix products."
    ]
    if batch is None:
        return notes
    told = sorted({f"{_threads(row.cost)}, trained in {row.cost.precision}" for row in rows if row.cost})
    return [
        *notes,
        f"Measured on the processor, a process a network: {batch} images a step, {'; '.join(told) or 'none ended'}; "
        "predicted in float32. "
        "Memory is by how much the process's peak grew from before the network was made to after two training steps "
        "(losses, gradients, AdamW); images a second are of the second of two steps. A dash: it did not end, or the "
        "system does not tell.",
    ]


def _threads(cost: Cost) -> str:
    return "one thread" if cost.threads == 1 else f"{cost.threads} threads"

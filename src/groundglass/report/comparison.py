"""Methods side by side, as tables in Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.metrics import METRICS
from groundglass.evaluation.side_by_side import Amounts, Cell, Column, Table
from groundglass.report.scores import number

ARROW: Final = {"high": "↑", "low": "↓", "zero": "→ 0"}
LEVELS: Final = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
TABLE_COLUMNS: Final = (
    "region", "metric", "convention", "unit", "better", "method", "mean", "ci_low", "ci_high", "n", "best",
    "t_p_holm", "wilcoxon_p_holm", "mark",
)  # fmt: skip
DIFFERENCE_COLUMNS: Final = (
    "region", "metric", "convention", "unit", "method", "less", "mean_difference", "ci_low", "ci_high", "effect_size",
    "pairs", "t_statistic", "t_p", "t_p_holm", "wilcoxon_p", "wilcoxon_p_holm", "note",
)  # fmt: skip
_TEX: Final = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # after \\ these two would be its options
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shown:
    """An image on which the methods differ.

    Attributes:
        name: of the image.
        scores: of each method.
        truth: label sets (rows, columns).
        labels: likewise, of each method.
        step: (between rows, between columns), mm or pixels.
    """

    name: str
    scores: Mapping[str, float | None]
    truth: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.uint8]]
    step: tuple[float, float]


@dataclass(frozen=True)
class Content:
    """All that a comparison tells.

    Attributes:
        methods: by name; the others are compared with the first.
        images: how many were scored.
        units: of each metric; empty for a share.
        tables: one a region.
        amounts: one a region.
        lead: the region that the page's first sentence and its pictures are about.
        shown: largest difference first.
        shown_by: what that is a difference of.
        notes: what has to be known of the numbers.
    """

    methods: tuple[str, ...]
    images: int
    units: Mapping[str, str]
    tables: tuple[Table, ...]
    amounts: tuple[Amounts, ...]
    lead: str
    shown: tuple[Shown, ...]
    shown_by: str
    notes: tuple[str, ...]


def markdown(content: Content) -> str:
    """A table for each region, the best in bold."""
    parts = []
    for table in content.tables:
        heads = [
            f"{title(column, content)} ({', '.join((f'`{column.convention}`', *n(column)))})"
            for column in table.columns
        ]
        parts += [f"## {table.title}", "", f"| method | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for place, method in enumerate(content.methods):
            cells = []
            for column in table.columns:
                mean, rest = said(column, place)
                bold = f"**{mean}**" if column.cells[place].best else mean
                cells.append(bold + _markdown(mark(column.cells[place])) + rest)
            parts.append(f"| {_markdown(method)} | {' | '.join(cells)} |")
        parts.append("")
    parts += [_markdown(explanation(content)), "", *(f"- {_markdown(note)}" for note in content.notes)]
    return "\n".join(parts).rstrip() + "\n"


def latex(content: Content) -> str:
    r"""A table for each region, for booktabs; every name is escaped."""
    lines = [r"% \usepackage{booktabs}"]
    for table in content.tables:
        lines += [r"\begin{table}", r"\centering", rf"\caption{{{_tex(f'{table.title}. {explanation(content)}')}}}"]
        lines += [rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}", r"\toprule"]
        lines.append(_tex_row("Method", [_tex(title(column, content)) for column in table.columns]))
        lines.append(_tex_row("", [_tex(", ".join((column.convention, *n(column)))) for column in table.columns]))
        lines.append(r"\midrule")
        for place, method in enumerate(content.methods):
            cells = []
            for column in table.columns:
                mean, rest = (part.replace("-", "$-$") for part in said(column, place))
                stars = mark(column.cells[place])
                bold = rf"\textbf{{{mean}}}" if column.cells[place].best else mean
                cells.append(bold + (f"$^{{{stars}}}$" if stars else "") + rest)
            lines.append(_tex_row(_tex(method), cells))
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def table_csv(content: Content) -> str:
    """A row for each region, metric, convention and method; no number where there is none."""
    rows = []
    for table, column, cell in _cells(content):
        mean, better = cell.mean, METRICS[column.metric].better
        row: list[Any] = [
            table.region,
            column.metric,
            column.convention,
            content.units[column.metric],
            better,
            cell.method,
        ]
        row += [mean.mean, mean.ci_low, mean.ci_high, mean.n, int(cell.best), cell.t_p, cell.wilcoxon_p, mark(cell)]
        rows.append(row)
    return _csv(TABLE_COLUMNS, rows)


def differences_csv(content: Content) -> str:
    """A row for each comparison with the first method, with both tests before and after correction."""
    rows = []
    for table, column, cell in _cells(content):
        if (told := cell.difference) is None:
            continue
        row: list[Any] = [table.region, column.metric, column.convention, content.units[column.metric], cell.method]
        row += [content.methods[0], told.mean_difference, told.ci_low, told.ci_high, told.effect_size, told.pairs]
        row += [told.t_statistic, told.t_p, cell.t_p, told.wilcoxon_p, cell.wilcoxon_p, told.note]
        rows.append(row)
    return _csv(DIFFERENCE_COLUMNS, rows)


def summary_json(content: Content) -> str:
    """Region -> metric -> convention -> method -> {mean, ..., difference}."""
    regions: dict[str, Any] = {}
    for table, column, cell in _cells(content):
        told = asdict(cell.mean) | {"best": cell.best, "difference": None}
        if cell.difference is not None:
            told["difference"] = asdict(cell.difference) | {"t_p_holm": cell.t_p, "wilcoxon_p_holm": cell.wilcoxon_p}
        metric = regions.setdefault(table.region, {}).setdefault(column.metric, {})
        metric.setdefault(column.convention, {})[cell.method] = told
    plain = {"methods": content.methods, "first": content.methods[0], "images": content.images, "units": content.units}
    return json.dumps({**plain, "notes": content.notes, "regions": regions}, indent=2, allow_nan=False) + "\n"


def explanation(content: Content) -> str:
    """What the numbers, the bold face and the stars mean."""
    stars = ", ".join(f"{stars} p < {level:g}" for level, stars in reversed(LEVELS))
    return (
        f"Mean [95 % bootstrap interval]; bold: the best. Stars: differs from {content.methods[0]} by a paired t-test "
        f"over groups (patients where given, else files), {stars}, corrected by Holm's method over all comparisons of "
        f"a table."
    )


def title(column: Column, content: Content) -> str:
    """A column's metric, its unit, and which end is good."""
    metric, unit = METRICS[column.metric], content.units[column.metric]
    return f"{metric.title}{f', {unit}' if unit else ''} {ARROW[metric.better]}"


def n(column: Column) -> list[str]:
    """How many values a column's means are of, in words; nothing where methods differ in it."""
    return [] if column.number is None else [f"n = {column.number}"]


def said(column: Column, place: int, say: Callable[[float | None], str] = number) -> tuple[str, str]:
    """A method's mean, and what stands behind it: the interval, and n where the heading cannot tell it."""
    mean = column.cells[place].mean
    between = "" if mean.ci_low is None or mean.ci_high is None else f" [{say(mean.ci_low)}, {say(mean.ci_high)}]"
    return say(mean.mean), between + ("" if n(column) else f" (n = {mean.n})")


def mark(cell: Cell) -> str:
    """Stars for the corrected p of the t-test."""
    return next((stars for level, stars in LEVELS if cell.t_p is not None and cell.t_p < level), "")


def _cells(content: Content) -> Iterable[tuple[Table, Column, Cell]]:
    return ((table, column, cell) for table in content.tables for column in table.columns for cell in column.cells)


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue()


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]#&~])", r"\\\1", text)


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def _tex_row(first: str, cells: Sequence[str]) -> str:
    return rf"{first} & {' & '.join(cells)} \\"

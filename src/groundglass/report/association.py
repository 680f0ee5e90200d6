"""The tables and the page of an association study: correlations, slopes, a picture of each covariate."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Final

import numpy as np

from groundglass import __version__
from groundglass.evaluation.association import Association, Associations, Covariate
from groundglass.report import plots, words
from groundglass.report.frame import page

COLUMNS: Final = ("analysis", "covariate", "increase_of_1", "n", "estimate", "ci_low", "ci_high", "p", "p_holm")
CAVEAT: Final = (
    "This is association, not cause: a covariate and the burden may both follow from something that is not in the "
    "table, and patients who were scanned are not all patients."
)


@dataclass(frozen=True, eq=False)
class Content:
    """What a page is made of; ``notes`` is to be read first."""

    burden_name: str
    burden: tuple[float, ...]
    covariates: tuple[Covariate, ...]
    found: Associations
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Scatter:
    """Burden over a covariate, a point a patient."""

    title: str
    points: tuple[tuple[float, float], ...]
    x_ticks: tuple[plots.Tick, ...]
    y_ticks: tuple[plots.Tick, ...]
    caption: str


def table_csv(content: Content) -> str:
    """A row for each correlation and each slope."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for analysis, rows in (("spearman", content.found.correlations), ("regression", content.found.slopes)):
        for one in rows:
            numbers = (one.estimate, one.low, one.high, one.p, one.p_holm)
            writer.writerow([analysis, one.covariate, one.step, one.n, *(f"{value:.6g}" for value in numbers)])
    return text.getvalue()


def render(content: Content) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    return page(
        "association.html",
        version=__version__,
        notices=content.notes,
        sheets=("comparison.css",),
        caveat=CAVEAT,
        content=content,
        patients=len(content.burden),
        correlations=[_row(one, 2) for one in content.found.correlations],
        slopes=[_row(one, None) for one in content.found.slopes],
        scatters=[_scatter(content, place) for place in range(len(content.covariates))],
        sizes=plots,
    )


def told(content: Content) -> list[str]:
    """A line for each number, for a terminal."""
    lines = []
    found = content.found
    for what, rows, digits in (("rank correlation", found.correlations, 2), ("slope", found.slopes, None)):
        for one in rows:
            cells = _row(one, digits)
            step = f" ({cells[1]})" if cells[1] else ""
            lines.append(f"{what}, {cells[0]}{step}: {cells[3]}, 95 % {cells[4]}, p {cells[5]}, after Holm {cells[6]}")
    return lines


def _row(one: Association, digits: int | None) -> tuple[str, ...]:
    """Name, step, n, estimate, interval, p and p after Holm, as people read them."""

    def say(value: float) -> str:
        return words.signed(value, digits) if digits is not None else _three(value)

    interval = f"{say(one.low)} to {say(one.high)}"
    return (
        one.covariate,
        one.step,
        str(one.n),
        say(one.estimate),
        interval,
        words.p_value(one.p),
        words.p_value(one.p_holm),
    )


def _three(value: float) -> str:
    """A signed number with about three digits that say something."""
    size = abs(value)
    return words.signed(value, 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 4)


def _scatter(content: Content, place: int) -> Scatter:
    covariate, one = content.covariates[place], content.found.correlations[place]
    known = np.isfinite(covariate.values)
    x, y = covariate.values[known], np.asarray(content.burden)[known]
    across, up = plots.ticks(float(x.min()), float(x.max())), plots.ticks(min(0.0, float(y.min())), float(y.max()))
    interval = f"{words.number(one.low, 2)} to {words.number(one.high, 2)}"
    step = f" (1 more: {one.step})" if one.step else ""
    return Scatter(
        title=f"{covariate.name}{step}",
        points=tuple(plots.places(x, y, across, up)),
        x_ticks=plots.axis(across, plots.ALTMAN_X),
        y_ticks=plots.axis(up, plots.ALTMAN_Y),
        caption=f"rank correlation {words.number(one.estimate, 2)} ({interval}), n = {one.n}",
    )

"""The page of a comparison: tables, box plots, Bland-Altman plots, and the images on which methods differ most.

It loads nothing and runs nothing, and everything that a caller named is escaped, as on the page of a scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from groundglass import __version__
from groundglass.evaluation.metrics import METRICS
from groundglass.evaluation.side_by_side import Cell, Table
from groundglass.evaluation.statistics import Comparison
from groundglass.labels import Tissue
from groundglass.report import label_pictures, plots, words
from groundglass.report.comparison import Content, Shown, explanation, mark, n, said, title
from groundglass.report.frame import page


def render(content: Content) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    pictures = [(shown.name, _pictures(shown)) for shown in content.shown]
    drawn = {line for _, panels in pictures for panel in panels for line, _ in panel.edges}
    return page(
        "comparison.html",
        version=__version__,
        notices=content.notes,
        sheets=("comparison.css",),
        content=content,
        sentence=sentence(content),
        explanation=explanation(content),
        tables=[_page_table(content, table) for table in content.tables],
        mark=mark,
        boxes=_boxes(content),
        altman=[(one.title, one.unit, plots.bland_altman(one.of_method, one.unit)) for one in content.amounts],
        pictures=pictures,
        lines={line: f"true {region.title.lower()}" for region, line in label_pictures.LINES if line in drawn},
        legend=_legend(content.shown),
        sizes=plots,
        short=_short,
        share=METRICS[content.tables[0].columns[0].metric].is_share,
    )


def sentence(content: Content) -> str:
    """What the first column of the leading region says."""
    table = next(table for table in content.tables if table.region == content.lead)
    column = table.columns[0]
    best = [cell for cell in column.cells if cell.best]
    what = f"{METRICS[column.metric].title} of {table.title.lower()} ({column.convention})"
    if not best:
        return f"{what}: no method is ahead."
    names = " and ".join(cell.method for cell in best)
    told = f"{words.number(best[0].mean.mean, 3)} {content.units[column.metric]}".rstrip()
    return f"{what}: {names} {'has' if len(best) == 1 else 'have'} the best mean, {told}."


def _short(name: str, length: int = 19) -> str:
    """A name that fits: its middle is left out, for runs are told apart by their ends."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def _page_table(content: Content, table: Table) -> dict[str, Any]:
    say = partial(words.number, digits=3)
    return {
        "title": table.title,
        "columns": [(title(column, content), ", ".join((column.convention, *n(column)))) for column in table.columns],
        "rows": [
            (method, [(*said(column, place, say), column.cells[place]) for column in table.columns])
            for place, method in enumerate(content.methods)
        ],
        "differences": [
            (f"{title(column, content)} ({column.convention})", cell.method, *_difference(cell.difference, cell))
            for column in table.columns
            for cell in column.cells
            if cell.difference is not None
        ],
    }


def _difference(told: Comparison, cell: Cell) -> tuple[str, ...]:
    """Its mean, interval and effect size, both tests before and after correction, and the number of pairs."""
    sure = told.ci_low is not None and told.ci_high is not None
    return (
        words.signed(told.mean_difference, 3),
        f"{words.signed(told.ci_low, 3)} to {words.signed(told.ci_high, 3)}" if sure else words.UNKNOWN,
        words.number(told.effect_size, 2),
        *(words.p_value(p) for p in (told.t_p, cell.t_p, told.wilcoxon_p, cell.wilcoxon_p)),
        str(told.pairs),
    )


def _boxes(content: Content) -> list[plots.BoxPlot]:
    """A plot for each column, all regions in it."""
    drawn = []
    for place, column in enumerate(content.tables[0].columns):
        regions = [
            (table.region, table.title, {cell.method: cell.values for cell in table.columns[place].cells})
            for table in content.tables
        ]
        heading = f"{title(column, content)} ({column.convention})"
        drawn.append(plots.box_plot(heading, regions, share=METRICS[column.metric].is_share))
    return [plot for plot in drawn if plot is not None]


def _pictures(shown: Shown) -> list[label_pictures.LabelPicture]:
    make = partial(label_pictures.label_picture, truth=shown.truth, step=shown.step)
    made = [make(shown.truth, name=f"Truth of {shown.name}", caption="truth")]
    for method, sets in shown.labels.items():
        score = words.number(shown.scores.get(method), 3)
        made.append(make(sets, name=f"{method} on {shown.name}, {score}", caption=f"{_short(method)} · {score}"))
    return made


def _legend(shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """Name and colour of the label sets that occur in pictures, but black."""
    present = sorted(
        {int(value) for one in shown for sets in (one.truth, *one.labels.values()) for value in np.unique(sets)}
    )
    named = [(label_pictures.name_of_set(Tissue(value)), label_pictures.css_colour(Tissue(value))) for value in present]
    return [(name, colour) for name, colour in named if colour != "#000000"]

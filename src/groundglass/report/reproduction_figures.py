"""Figures of a paper's reproduction as SVG: losses over a training, probabilities, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import log10
from operator import add
from typing import Any
from xml.sax.saxutils import escape

from groundglass.evaluation.curves import roc
from groundglass.report.reproduction import BINS, Run
from groundglass.report.study import COLOURS, DASHES

WIDE, HIGH, LEFT, BELOW, TOP = 720, 380, 56, 40, 40


def _frame(title: str, heading: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
        f'<text x="{LEFT}" y="15" font-size="13">{escape(title)}</text>',
        f'<text x="{LEFT}" y="30" fill="#555">{escape(heading)}</text>',
        f'<path d="M{LEFT} {HIGH - BELOW}H{WIDE - 10}" stroke="#888"/>',
    ]


def losses(runs: Sequence[Run], title: str, heading: str, column: str | None = None) -> str:
    """A log's first loss over the training, in means of twentieths, on a logarithmic axis; the first seed and fold.

    With ``column`` that column, on an axis from 0 to 1.
    """
    ticks = [10.0**power for power in range(-3, 2)] if column is None else [0.0, 0.25, 0.5, 0.75, 1.0]

    def down(value: float) -> float:
        share = value if column is not None else (log10(max(value, 1e-12)) + 3) / 4
        return HIGH - BELOW - min(max(share, 0.0), 1.0) * (HIGH - BELOW - TOP)

    parts = _frame(title, heading)
    for tick in ticks:
        at = down(tick)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDE - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    first = runs[0].trial
    shown = [run for run in runs if (run.trial.seed, run.trial.fold) == (first.seed, first.fold) and any(run.logs)]
    for number, run in enumerate(shown):
        told = [_loss(row) if column is None else row.get(column) for log in run.logs for row in log]
        values = _means([value for value in told if value is not None], BINS)
        if not values:
            continue
        step = (WIDE - 190 - LEFT) / max(len(values) - 1, 1)
        path = "L".join(f"{LEFT + place * step:.1f} {down(value):.1f}" for place, value in enumerate(values))
        parts.append(f'<path d="M{path}" fill="none" {_stroke(number)}/>')
        parts += _key(number, run.trial.recipe)
    parts.append(f'<text x="{LEFT}" y="{HIGH - 14}">start</text>')
    end = f"end of the training, seed {first.seed}, fold {first.fold}"
    parts.append(f'<text x="{WIDE - 190}" y="{HIGH - 14}" text-anchor="end">{end}</text></svg>')
    return "\n".join(parts) + "\n"


def _loss(row: Mapping[str, Any]) -> float:
    """The first of a step's losses: the columns are step, rate, and the losses."""
    return float(next(value for name, value in row.items() if name not in {"step", "rate"}))


def _stroke(number: int) -> str:
    """The look of a line."""
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
    return f'stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"'


def _key(number: int, name: str) -> list[str]:
    """What a line is of."""
    y = TOP + 12 + 15 * number
    return [
        f'<path d="M{WIDE - 185} {y - 4}h24" {_stroke(number)}/>',
        f'<text x="{WIDE - 156}" y="{y}">{escape(name)}</text>',
    ]


def _means(values: Sequence[float], parts: int) -> list[float]:
    """Means of consecutive parts of equal length; each value by itself where there are fewer."""
    size = max(len(values) // parts, 1)
    return [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]


def histogram(runs: Sequence[Run], title: str, heading: str, *, after: bool) -> str:
    """Probabilities of all classes on held-out slices, or with ``after`` what the recipe's limit makes of them."""
    counts = [sum(run.histogram[place] for run in runs) for place in range(BINS)]
    if after:
        limit = round(runs[0].above * BINS)
        counts = [sum(counts[:limit]), *[0] * (BINS - 2), sum(counts[limit:])]
    total, top = max(sum(counts), 1), max(*counts, 1)
    told = f"1 where a probability is above {runs[0].above:g}, else 0" if after else "as softmax gives them"
    parts = _frame(f"{title}, {told}", heading)
    width = (WIDE - LEFT - 20) / BINS
    for place, number in enumerate(counts):
        tall = number / top * (HIGH - BELOW - TOP - 14)
        x, y = LEFT + place * width, HIGH - BELOW - tall
        parts.append(f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" fill="#0072b2"/>')
        if number:
            share = f"{100 * number / total:.1f} %"
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle" font-size="8">{share}</text>'
            )
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{LEFT + tick * BINS * width:.1f}" y="{HIGH - 24}" text-anchor="middle">{tick:g}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def roc_curves(runs: Sequence[Run], title: str, heading: str) -> str:
    """ROC of infection of each recipe, all held-out pixels of all its trials together."""
    side, right = HIGH - BELOW - TOP, WIDE - 190
    parts = _frame(title, heading)

    def at(x: float, y: float) -> str:
        return f"{LEFT + x * (right - LEFT):.1f} {HIGH - BELOW - y * side:.1f}"

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = (float(part) for part in at(tick, tick).split())
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}M{x:.1f} {TOP}V{HIGH - BELOW}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{HIGH - 24}" text-anchor="middle">{tick:g}</text>')
    names = list(dict.fromkeys(run.trial.recipe for run in runs))
    for number, name in enumerate(names):
        own = [run.infection for run in runs if run.trial.recipe == name and run.infection is not None]
        curve = roc(reduce(add, own)) if own else None
        if curve is None:
            continue
        path = "L".join(at(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True))
        parts.append(f'<path d="M{path}" fill="none" {_stroke(number)}/>')
        parts += _key(number, f"{name} {curve.area:.3f}")
    parts.append(
        f'<text x="{LEFT}" y="{HIGH - 8}">1 - specificity, against sensitivity; the areas beside the names</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"

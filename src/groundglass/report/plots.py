"""Box plots and Bland-Altman plots, ready to be drawn by the template as SVG.

Lengths are in units of each drawing, the y axis downwards; numbers become places here and nowhere else.

1. J. W. Tukey, "Exploratory Data Analysis", 1977: the box plot, whiskers to the last value within 1.5 quartile ranges.
2. J. M. Bland, D. G. Altman, "Statistical methods for assessing agreement between two methods of clinical
   measurement", Lancet 327, 1986: the mean of the differences and 1.96 standard deviations on either side of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.report.charts import round_up
from groundglass.report.words import number, signed

BOX_WIDTH: Final = 500
BOX_SPAN: Final = (162.0, 454.0)  # of the axis; names stand left of it, the number of values right
ROW: Final = 24.0
ALTMAN_SIZE: Final = (330, 220)
ALTMAN_X: Final = (48.0, 318.0)
ALTMAN_Y: Final = (182.0, 10.0)  # from the lowest value to the highest


@dataclass(frozen=True)
class Five:
    """What a box plot tells of values: the whiskers' ends, quartiles, and what lies beyond."""

    low: float
    first: float
    median: float
    third: float
    high: float
    outliers: tuple[float, ...]


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Box:
    """A row: its name, how many values, and where they lie; ``five`` is None without values."""

    name: str
    n: int
    y: float
    five: Five | None


@dataclass(frozen=True)
class BoxGroup:
    """The rows of a region below its title."""

    key: str
    title: str
    y: float
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class BoxPlot:
    """A box for each region and method, along one axis."""

    title: str
    height: float
    ticks: tuple[Tick, ...]
    groups: tuple[BoxGroup, ...]
    alt: str


@dataclass(frozen=True)
class Limits:
    """Mean difference and limits of agreement; None of one difference."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Altman:
    """A Bland-Altman plot: points, the mean line, the limits' lines, and in words what they say."""

    name: str
    points: tuple[tuple[float, float], ...]
    zero: float
    mean: float
    limits: tuple[float, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    caption: str
    alt: str


def five_numbers(values: Sequence[float]) -> Five:
    """Quartiles (linear between values), and whiskers to the last values within 1.5 quartile ranges of the box."""
    ordered = np.sort(np.asarray(values, np.float64))
    first, median, third = (float(q) for q in np.percentile(ordered, (25, 50, 75)))
    reach = 1.5 * (third - first)
    # of [0, 0, 0, 1] the last value within reach is below the third quartile: a whisker never ends inside the box
    near = ordered[(ordered >= first - reach) & (ordered <= third + reach)]
    far = ordered[(ordered < first - reach) | (ordered > third + reach)]
    low, high = min(float(near[0]), first), max(float(near[-1]), third)
    return Five(low, first, median, third, high, tuple(far.tolist()))


def ticks(low: float, high: float) -> tuple[float, ...]:
    """Three to eight round numbers that enclose a range; a range of nothing is made one."""
    high = high if high > low else low + 1.0
    step = round_up((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(place * step, 12) for place in range(first, last + 1))


def box_plot(
    title: str, regions: Sequence[tuple[str, str, Mapping[str, Sequence[float]]]], *, share: bool
) -> BoxPlot | None:
    """Values of each method in each region; None where there are none at all.

    Args:
        title: of the values.
        regions: key, title, and the values of each method.
        share: the axis runs from 0 to 1 whatever the values.
    """
    shown = [(key, name, methods) for key, name, methods in regions if any(methods.values())]
    everything = [value for _, _, methods in shown for values in methods.values() for value in values]
    if not everything:
        return None
    marks = ticks(0.0, 1.0) if share else ticks(min(0.0, *everything), max(0.0, *everything))
    groups, y = [], ROW / 2
    for key, name, methods in shown:
        boxes = tuple(
            Box(method, len(values), y + ROW * place, _placed(values, marks))
            for place, (method, values) in enumerate(methods.items(), 1)
        )
        groups.append(BoxGroup(key, name, y, boxes))
        y += ROW * (len(boxes) + 1.5)
    return BoxPlot(title, y + 6, axis(marks, BOX_SPAN), tuple(groups), _medians(title, shown))


def limits_of_agreement(differences: NDArray[np.float64]) -> Limits:
    """Mean, and mean -+ 1.96 sample standard deviations (divided by n - 1)."""
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return Limits(mean, None, None)
    margin = 1.96 * float(np.std(differences, ddof=1))
    return Limits(mean, mean - margin, mean + margin)


def bland_altman(amounts: Mapping[str, tuple[Sequence[float], Sequence[float]]], unit: str) -> tuple[Altman, ...]:
    """A plot for each method: found less true over the mean of both, all on the same axes.

    Args:
        amounts: what each method found and what is true, 0 or more, one an item.
        unit: of the amounts.
    """
    pairs = {name: np.asarray(told, np.float64) for name, told in amounts.items()}
    means = {name: pair.mean(axis=0) for name, pair in pairs.items()}
    # sums of slices differ in their last digits where nothing differs
    apart = {name: np.round(found - true, 9) for name, (found, true) in pairs.items()}
    limits = {name: limits_of_agreement(differences) for name, differences in apart.items()}
    heights = [float(difference) for differences in apart.values() for difference in differences]
    heights += [edge for one in limits.values() for edge in (one.low, one.high) if edge is not None]
    across = ticks(0.0, max(float(values.max()) for values in means.values()))
    up = ticks(min(0.0, *heights), max(0.0, *heights))
    return tuple(_altman(name, means[name], apart[name], limits[name], (across, up), unit) for name in pairs)


def _altman(
    name: str,
    means: NDArray[np.float64],
    differences: NDArray[np.float64],
    limits: Limits,
    axes: tuple[Sequence[float], Sequence[float]],
    unit: str,
) -> Altman:
    across, up = axes
    told = f"mean {signed(limits.mean, 2)} {unit}, "
    if limits.low is None or limits.high is None:
        told += "no limits of one"
    else:
        told += f"limits {signed(limits.low, 2)} to {signed(limits.high, 2)}, n = {means.size}"
    return Altman(
        name=name,
        points=tuple(places(means, differences, across, up)),
        zero=_place(0.0, up, ALTMAN_Y),
        mean=_place(limits.mean, up, ALTMAN_Y),
        limits=tuple(_place(edge, up, ALTMAN_Y) for edge in (limits.low, limits.high) if edge is not None),
        x_ticks=axis(across, ALTMAN_X),
        y_ticks=axis(up, ALTMAN_Y),
        caption=told,
        alt=f"Bland-Altman plot of {name}, found less true: {told}.",
    )


def places(
    x: NDArray[np.float64], y: NDArray[np.float64], across: Sequence[float], up: Sequence[float]
) -> list[tuple[float, float]]:
    """Where points lie in a drawing of a Bland-Altman plot's size, on axes of these marks."""
    return [(_place(a, across, ALTMAN_X), _place(b, up, ALTMAN_Y)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def axis(marks: Sequence[float], span: tuple[float, float]) -> tuple[Tick, ...]:
    """The marks of an axis, with as many digits as their distance needs."""
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))
    return tuple(Tick(_place(mark, marks, span), number(mark, digits)) for mark in marks)


def _place(value: float, marks: Sequence[float], span: tuple[float, float]) -> float:
    share = (value - marks[0]) / (marks[-1] - marks[0])
    return round(span[0] + share * (span[1] - span[0]), 1)


def _placed(values: Sequence[float], marks: Sequence[float]) -> Five | None:
    if not values:
        return None
    five = five_numbers(values)
    low, first, median, third, high, *far = (
        _place(value, marks, BOX_SPAN)
        for value in (five.low, five.first, five.median, five.third, five.high, *five.outliers)
    )
    return Five(low, first, median, third, high, tuple(far))


def _medians(title: str, regions: Sequence[tuple[str, str, Mapping[str, Sequence[float]]]]) -> str:
    told = [
        f"{name}: " + ", ".join(f"{method} {number(float(np.median(v)), 3)}" for method, v in methods.items() if v)
        for _, name, methods in regions
    ]
    return f"Box plots of {title}; medians: {'; '.join(told)}."

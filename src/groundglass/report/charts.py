"""The numbers behind the page's small charts, ready to be drawn by the template as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import Region
from groundglass.report.views import Overview
from groundglass.scan import Scan

HEIGHT = 1000  # of a chart's drawing, in its own units


@dataclass(frozen=True)
class Area:
    """One layer of a stacked chart: ``path`` is SVG path data, one unit a slice, ``HEIGHT`` units high."""

    region: Region
    path: str


@dataclass(frozen=True)
class Profile:
    """How infection is spread from the feet to the head.

    Attributes:
        slices: their number.
        top: the value at the chart's upper edge.
        unit: of the values.
        areas: stacked; consolidation, the lowest, is drawn last, for its edge to show.
        marked: slices that are shown large.
    """

    slices: int
    top: str
    unit: str
    areas: tuple[Area, ...]
    marked: tuple[int, ...]


def profile(scan: Scan, overview: Overview, marked: Sequence[int]) -> Profile | None:
    """The infected area of each slice; None where there is no infection or only one slice."""
    if len(scan.hu) < 2 or not overview.counts[:, 2:].any():
        return None
    _, dy, dx = scan.spacing_mm
    scale, unit = (dy * dx / 100, "cm²") if scan.source.spacing_known else (1.0, "pixels")
    amounts: NDArray[np.float64] = overview.counts.astype(np.float64) * scale
    ground_glass, consolidation = amounts[:, 2], amounts[:, 3]
    top = round_up(float((ground_glass + consolidation).max()))
    zero = np.zeros(len(scan.hu))
    return Profile(
        slices=len(scan.hu),
        top=f"{top:g}",
        unit=unit,
        areas=(
            Area(Region.GROUND_GLASS, _steps(consolidation, consolidation + ground_glass, top)),
            Area(Region.CONSOLIDATION, _steps(zero, consolidation, top)),
        ),
        marked=tuple(sorted(marked)),
    )


def round_up(value: float) -> float:
    """The next number of the kind 1, 2, 5, 10, ... that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _steps(low: NDArray[np.float64], high: NDArray[np.float64], top: float) -> str:
    """Path data of the area between two step functions, the y axis downwards."""
    y_low, y_high = (np.rint(HEIGHT * (1 - values / top)).astype(int) for values in (low, high))
    there = "".join(f"V{y}H{x + 1}" for x, y in enumerate(y_high))
    back = "".join(f"V{y}H{x}" for x, y in reversed(list(enumerate(y_low))))
    return f"M0,{y_low[0]}{there}{back}z"

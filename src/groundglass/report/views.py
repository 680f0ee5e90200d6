"""Which cuts through a scan a page shows, and what stands on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.burden import Burden, Side
from groundglass.inference.segmentation import Segmentation
from groundglass.labels import NAME_OF_CODE, Region
from groundglass.report.figures import Codes, Line, Picture, Plane, Words, draw
from groundglass.report.words import ml, percent
from groundglass.scan import Scan

MOST_AFFECTED: Final = 3
MONTAGE: Final = 16
MARGIN_MM: Final = 18.0  # of chest wall shown around the lungs
GUTTER: Final = 0.2  # of the picture's width, on either side of the coronal view
BAR_MM: Final = 50.0
PITCH: Final = 13.0  # between lines of words on the coronal view, mm
REFORMATTED_FROM_MM: Final = 30.0  # a scan lower than that has no coronal view worth seeing
LARGE, SMALL, REFORMATTED = 800, 300, 640  # longer side of the embedded images, in their pixels
PREFIX: Final[Mapping[Side, str]] = {"both": "", "right": "R ", "left": "L "}
SIDES: Final = (1, 2)  # right, left


@dataclass(frozen=True, eq=False)
class Overview:
    """What one pass over a label map tells.

    Attributes:
        counts: (slices, codes 0 to 3), pixels of each code.
        infected: (rows, columns), how many slices are infected there.
        lung: (rows, columns), how many slices hold lung there, infected or not.
    """

    counts: NDArray[np.int64]
    infected: NDArray[np.uint16]
    lung: NDArray[np.uint16]

    @property
    def lung_slices(self) -> NDArray[np.int64]:
        """The slices that hold lung; all slices if none does."""
        held = np.flatnonzero(self.counts[:, 1:].any(axis=1))
        return held if held.size else np.arange(len(self.counts))


def look_over(codes: Codes) -> Overview:
    """One pass over a label map, slice by slice."""
    counts = np.zeros((len(codes), len(NAME_OF_CODE)), np.int64)
    infected, lung = (np.zeros(codes.shape[1:], np.uint16) for _ in range(2))
    for z, plane in enumerate(codes):
        if not plane.any():
            counts[z, 0] = plane.size
            continue
        in_lung, consolidated = plane > 0, plane == 3
        in_infection = plane >= 2
        sums = [int(np.count_nonzero(mask)) for mask in (in_lung, in_infection, consolidated)]
        counts[z] = plane.size - sums[0], sums[0] - sums[1], sums[1] - sums[2], sums[2]
        infected += in_infection
        lung += in_lung
    return Overview(counts, infected, lung)


@dataclass(frozen=True, eq=False)
class Frame:
    """The part of a scan that is shown: ``[z, y, x]`` slices around the lungs."""

    z: slice
    y: slice
    x: slice


def frame_lungs(overview: Overview, scan: Scan) -> Frame:
    """The lungs with a margin; the whole scan where there is no lung."""
    shown = (overview.counts[:, 1:].any(axis=1), overview.lung.any(axis=1), overview.lung.any(axis=0))
    if not shown[0].any():
        return Frame(slice(None), slice(None), slice(None))
    return Frame(*(_around(held, MARGIN_MM / step) for held, step in zip(shown, _step(scan), strict=True)))


def _around(held: Any, margin: float) -> slice:
    indices = np.flatnonzero(held)
    pad = round(margin)
    return slice(max(0, int(indices[0]) - pad), min(len(held), int(indices[-1]) + pad + 1))


def _step(scan: Scan) -> tuple[float, float, float]:
    return scan.spacing_mm if scan.source.spacing_known else (1.0, 1.0, 1.0)


def most_affected(scores: tuple[float, ...], overview: Overview) -> tuple[int, ...]:
    """The slices with the highest scores, the most affected first, kept apart from each other.

    Where no slice is infected, slices evenly over the lung.
    """
    lung = overview.lung_slices
    if not overview.counts[:, 2:].any():
        return spread(overview, MOST_AFFECTED)
    apart = max(1, len(lung) // 10)
    chosen: list[int] = []
    infected = overview.counts[:, 2:].sum(axis=1)
    for z in sorted(range(len(scores)), key=lambda z: (-scores[z], -infected[z])):
        if scores[z] > 0 and len(chosen) < MOST_AFFECTED and all(abs(z - other) >= apart for other in chosen):
            chosen.append(z)
    return tuple(chosen) or spread(overview, MOST_AFFECTED)


def spread(overview: Overview, number: int) -> tuple[int, ...]:
    """Slices evenly over the lung, from feet to head, ends left out where there are more slices than asked for."""
    lung = overview.lung_slices
    if len(lung) <= number:
        return tuple(int(z) for z in lung)
    return tuple(int(lung[int((k + 0.5) * len(lung) / number)]) for k in range(number))


@dataclass(frozen=True, eq=False)
class Viewer:
    """Draws the cuts of one scan that a page shows."""

    scan: Scan
    segmentation: Segmentation
    burden: Burden
    overview: Overview
    frame: Frame

    def axial(self, z: int, *, large: bool, truth: Codes | None = None) -> Picture:
        """Slice ``z``, with the outlines of the segmentation or of the truth."""
        inside = z, self.frame.y, self.frame.x
        codes = self.segmentation.codes if truth is None else truth
        number = f"{z + 1} of {len(self.scan.hu)}"
        whose = "measured" if truth is None else "true"
        picture = draw(
            Plane(self.scan.hu[inside], codes[inside], _step(self.scan)[1:]),
            LARGE if large else SMALL,
            alt=f"Axial slice {number}, counted from the feet. {_seen(codes[z], whose)}",
            caption=f"slice {number}" if large else str(z + 1),
            marks=self._marks,
            truth=truth is not None,
        )
        return replace(picture, bar_mm=self._bar) if large else picture

    def coronal(self) -> Picture:
        """The frontal cut through the most affected place, with the thirds and what is in them."""
        y = self._peak(1)
        inside = self.frame.z, y, self.frame.x
        dz, _, dx = _step(self.scan)
        picture = draw(
            Plane(self.scan.hu[inside][::-1], self.segmentation.codes[inside][::-1], (dz, dx)),
            REFORMATTED,
            alt=f"Coronal view, head up. {_seen(self.segmentation.codes[:, y], 'measured')}",
            caption="coronal",
            bar_mm=self._bar,
        )
        spans = self._lungs_across(y, picture.width)
        gutter = GUTTER * picture.width
        words = [
            word
            for side in spans
            for word in self._zone_words(side, -gutter / 2 if side == "right" else picture.width + gutter / 2)
        ]
        if not words:
            return replace(picture, marks=self._marks)
        lines = [line for side, span in spans.items() for line in self._borders(side, span)]
        return replace(picture, gutter=gutter, lines=tuple(lines), words=tuple(words))

    def sagittal(self) -> Picture:
        """The cut from front to back through the most affected place, with the thirds of that lung."""
        x = self._peak(0)
        inside = self.frame.z, self.frame.y, x
        dz, dy, _ = _step(self.scan)
        side = self._side_at(x)
        picture = draw(
            Plane(self.scan.hu[inside][::-1], self.segmentation.codes[inside][::-1], (dz, dy)),
            REFORMATTED,
            alt=f"Sagittal view, front on the left. {_seen(self.segmentation.codes[:, :, x], 'measured')}",
            caption=f"sagittal, {side} lung" if side else "sagittal",
            marks=("front", "back") if self.scan.source.sides_known else (),
            bar_mm=self._bar,
        )
        return replace(picture, lines=self._borders(side, (0.0, picture.width))) if side else picture

    @property
    def has_height(self) -> bool:
        """Whether slices are known to stack up to something that can be seen from the front and the side."""
        count, known = len(self.scan.hu), self.scan.source.spacing_known
        return known and count > 1 and count * self.scan.spacing_mm[0] >= REFORMATTED_FROM_MM

    @property
    def _marks(self) -> tuple[str, str] | tuple[()]:
        return ("R", "L") if self.scan.source.sides_known else ()

    @property
    def _bar(self) -> float | None:
        return BAR_MM if self.scan.source.spacing_known else None

    def _peak(self, axis: int) -> int:
        """The row (axis 1) or column (axis 0) with the most infection; with the most lung where there is none."""
        amount = self.overview.infected if self.overview.infected.any() else self.overview.lung
        if not amount.any():
            return int(amount.shape[1 - axis]) // 2
        return int(amount.sum(axis=axis, dtype=np.int64).argmax())

    def _side_at(self, x: int) -> Side | None:
        """The lung that a sagittal cut goes through, or None where that is unknown."""
        pixels = np.bincount(self.segmentation.sides[:, :, x].ravel(), minlength=3)
        if not self.scan.source.sides_known or not pixels[1:3].any():
            return None
        return "right" if pixels[1] >= pixels[2] else "left"

    def _lungs_across(self, y: int, width: float) -> dict[Side, tuple[float, float]]:
        """From where to where each measured lung's half of a coronal picture goes."""
        if self.burden.zone("right", "upper") is None:
            return {"both": (0.0, width)}
        sides = self.segmentation.sides[self.frame.z, y, self.frame.x]
        right, left = (np.flatnonzero((sides == side).any(axis=0)) for side in SIDES)
        if not right.size or not left.size:
            middle = width / 2
        else:
            middle = width * float(right[-1] + 1 + left[0]) / (2 * sides.shape[1])
        return {"right": (0.0, middle), "left": (middle, width)}

    def _row(self, z: float) -> float:
        """Where the edge below slice ``z`` is in a coronal or sagittal picture, from its top."""
        _, stop, _ = self.frame.z.indices(len(self.scan.hu))
        return (stop - z) * _step(self.scan)[0]

    def _borders(self, side: Side, span: tuple[float, float]) -> tuple[Line, ...]:
        """The lines between the thirds of a lung."""
        zones = [self.burden.zone(side, "upper"), self.burden.zone(side, "middle"), self.burden.zone(side, "lower")]
        firsts = [zone.first_slice for zone in zones if zone and zone.first_slice is not None]
        return tuple(Line(span[0], self._row(above), span[1], self._row(above)) for above, _ in pairwise(firsts))

    def _zone_words(self, side: Side, x: float) -> list[Words]:
        """The name and what is in each third of a lung, beside it."""
        words: list[Words] = []
        for zone in self.burden.zones:
            if zone.side != side or zone.third == "all" or zone.first_slice is None or zone.last_slice is None:
                continue
            amount = zone.amounts[Region.INFECTION]
            bottom, top = self._row(zone.first_slice), self._row(zone.last_slice + 1)
            told = (ml(amount.volume_ml), percent(amount.percent_of_lung))
            # signs for the words: there is room for nine letters
            lines = [f"{PREFIX[side]}{zone.third}", *(w.replace("under ", "< ").replace("over ", "> ") for w in told)]
            if bottom - top < len(lines) * PITCH:
                lines = lines[1:2]
            first = (bottom + top - (len(lines) - 1) * PITCH) / 2
            words += [Words(x, first + k * PITCH, text, text == lines[-1]) for k, text in enumerate(lines)]
        return words


def _seen(codes: Codes, whose: str) -> str:
    """What is outlined in a cut, as a sentence."""
    names = [NAME_OF_CODE[code] for code in (1, 2, 3) if (codes == code).any()]
    return f"Outlined as {whose}: {', '.join(names)}." if names else "Nothing is outlined."

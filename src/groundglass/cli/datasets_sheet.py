"""A contact sheet: up to 64 slices of a data set with outlines of their labels, to be looked at before training."""

from __future__ import annotations

import io
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from groundglass.datasets._case import Case
from groundglass.labels import COLOUR_OF_CODE, Region, Tissue
from groundglass.scan import Scan

SLICES: Final = 64
SIDE: Final = 192  # pixels of a thumbnail
CAPTION: Final = 14
WINDOW_HU: Final = (-1350.0, 150.0)
# Within which set of tissues a pixel's label set has to lie, and the outline's colour; the last that holds is drawn.
_OUTLINES: Final = (
    (int(Region.LUNG_FIELD.value), COLOUR_OF_CODE[1]),
    (int(Region.INFECTION.value), (213, 94, 0)),  # of Okabe and Ito's palette, as the others
    (int(Tissue.GROUND_GLASS), COLOUR_OF_CODE[2]),
    (int(Tissue.CONSOLIDATION), COLOUR_OF_CODE[3]),
)
T = TypeVar("T")


class Thinned(Generic[T]):
    """At most so many of a stream whose length is not known, evenly spread: every second is dropped when it is full."""

    def __init__(self, limit: int) -> None:
        self.kept: list[T] = []
        self._limit, self._every, self._seen = limit, 1, 0

    def wants_next(self) -> bool:
        """Count one more; whether it is to be kept."""
        self._seen += 1
        return (self._seen - 1) % self._every == 0

    def keep(self, one: T) -> None:
        """Keep the one that was just asked about."""
        self.kept.append(one)
        if len(self.kept) > self._limit:
            self.kept = self.kept[::2]
            self._every *= 2


class Sheet:
    """Collects thumbnails while cases are read; labelled slices go first."""

    def __init__(self) -> None:
        self._labelled = Thinned[Image.Image](SLICES)
        self._others = Thinned[Image.Image](SLICES)

    def look(self, case: Case) -> None:
        """Take thumbnails of some slices of a case."""
        for number in range(len(case)):
            sets = case.labels[number] if case.labels else None
            pile = self._others if sets is None else self._labelled
            if pile.wants_next():
                grey = _grey(case, number)
                pile.keep(_thumbnail(grey, sets, f"{case.name} {case.slices[number]}"))

    def png(self) -> bytes:
        """The sheet, eight in a row."""
        labelled, others = self._labelled.kept, self._others.kept
        room = min(SLICES - len(labelled), len(others))
        shown = [*labelled, *(others[k * len(others) // room] for k in range(room))]
        rows = max(1, -(-len(shown) // 8))
        sheet = Image.new("RGB", (8 * SIDE, rows * (SIDE + CAPTION)))
        for place, one in enumerate(shown):
            sheet.paste(one, (place % 8 * SIDE, place // 8 * (SIDE + CAPTION)))
        stream = io.BytesIO()
        sheet.save(stream, "PNG")
        return stream.getvalue()


def _grey(case: Case, number: int) -> NDArray[np.uint8]:
    """A slice (y, x) as 0 to 255."""
    plane = case.planes[number]
    if not isinstance(case.images, Scan):
        return plane.astype(np.uint8)
    black, white = WINDOW_HU
    grey: NDArray[np.uint8] = np.clip((plane - black) / (white - black) * 255, 0, 255).astype(np.uint8)
    return grey


def _thumbnail(grey: NDArray[np.uint8], sets: NDArray[np.uint8] | None, words: str) -> Image.Image:
    scale = SIDE / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    pixels = np.array(Image.fromarray(grey).convert("RGB").resize(size, Image.Resampling.BILINEAR))
    if sets is not None:
        small = np.array(Image.fromarray(sets).resize(size, Image.Resampling.NEAREST))
        for region, colour in _OUTLINES:
            inside = (small & ~np.uint8(region)) == 0
            pixels[inside & ~ndimage.binary_erosion(inside, border_value=1)] = colour
    tile = Image.new("RGB", (SIDE, SIDE + CAPTION))
    tile.paste(Image.fromarray(pixels), ((SIDE - size[0]) // 2, 0))
    ImageDraw.Draw(tile).text((2, SIDE + 1), words, fill=(255, 255, 255))
    return tile

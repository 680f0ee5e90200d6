"""Slices in rows, what several networks found in them in columns: a PNG, for figures that compare by eye."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from groundglass.labels import NOT_LESION, Region, Tissue
from groundglass.report.label_pictures import colour_of_set

SIDE: Final = 160  # pixels of a picture
LINE: Final = 14
GAP: Final = 4
OPAQUE: Final = 0.6  # of a label over the picture
INFECTION_COLOUR: Final = (213, 94, 0)  # either lesion: Okabe and Ito's vermilion, no tissue's own


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice as the network sees it.

    Attributes:
        name: of the slice.
        picture: (H, W), [0, 1].
        sets: label sets (H, W), uint8: the truth's, then each network's.
    """

    name: str
    picture: NDArray[np.float32]
    sets: tuple[NDArray[np.uint8], ...]


def panels(slices: Sequence[Slice], names: Sequence[str], title: str) -> bytes:
    """A PNG with a row a slice: the picture, the truth, and what each of the named networks found."""
    columns = ["picture", "truth", *names]
    drawn = Image.new("RGB", (len(columns) * (SIDE + GAP), 2 * LINE + len(slices) * (SIDE + GAP)))
    pen = ImageDraw.Draw(drawn)
    pen.text((2, 1), title, fill=(255, 255, 255))
    for place, name in enumerate(columns):
        pen.text((place * (SIDE + GAP) + 2, LINE + 1), name, fill=(255, 255, 255))
    for row, one in enumerate(slices):
        grey = np.repeat(255 * np.clip(one.picture, 0, 1)[..., None], 3, axis=2)
        for place, panel in enumerate([grey, *(coloured(grey, sets) for sets in one.sets)]):
            high, wide = (round(side * SIDE / max(grey.shape[:2])) for side in grey.shape[:2])
            picture = Image.fromarray(panel.astype(np.uint8)).resize((wide, high), Image.Resampling.BILINEAR)
            left, top = place * (SIDE + GAP) + (SIDE - wide) // 2, row * (SIDE + GAP) + (SIDE - high) // 2
            drawn.paste(picture, (left, 2 * LINE + top))
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()


def coloured(grey: NDArray[np.float32], sets: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture (H, W, 3), 0 to 255, with lesions in the palette's colours over it."""
    made = grey.copy()
    for value in np.unique(sets).tolist():
        if value & ~NOT_LESION and not value & NOT_LESION:
            where = sets == value
            colour = INFECTION_COLOUR if value == Region.INFECTION.value else colour_of_set(Tissue(value))
            made[where] = (1 - OPAQUE) * grey[where] + OPAQUE * np.array(colour, np.float32)
    return made

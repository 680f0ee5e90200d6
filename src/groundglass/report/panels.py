"""Slices in rows, what several networks found in them in columns: a PNG, for figures that compare by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import NOT_LESION, Region, Tissue
from groundglass.report.label_pictures import colour_of_set
from groundglass.report.sheets import grey, sheet_of

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
    rows = []
    for one in slices:
        picture = grey(one.picture)
        rows.append([picture, *(coloured(picture, sets) for sets in one.sets)])
    return sheet_of(rows, ["picture", "truth", *names], title)


def coloured(picture: NDArray[np.floating], sets: NDArray[np.uint8]) -> NDArray[np.floating]:
    """A picture (H, W, 3), 0 to 255, with lesions in the palette's colours over it."""
    made = picture.astype(np.float32)
    for value in np.unique(sets).tolist():
        if value & ~NOT_LESION and not value & NOT_LESION:
            where = sets == value
            colour = INFECTION_COLOUR if value == Region.INFECTION.value else colour_of_set(Tissue(value))
            made[where] = (1 - OPAQUE) * picture[where] + OPAQUE * np.array(colour, np.float32)
    return made

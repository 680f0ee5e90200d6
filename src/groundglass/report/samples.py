"""What a generative method makes of slices, and of nothing, as one picture and as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import CODE_OF_TISSUE, COLOUR_OF_CODE, NAME_OF_CODE, UNKNOWN, Tissue
from groundglass.report.sheets import grey, sheet_of

Plane = NDArray[np.float32]
FIRST: Final = ("picture", "stitched", "apart", "classes")
Row = Mapping[str, str | float | None]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A slice and what became of it, or what became of nothing.

    Attributes:
        picture: (H, W), [0, 1]; None of a sample.
        stitched: (H, W), [0, 1].
        classes: (H, W), the number of the most probable style.
        styles: (S, H, W), [0, 1].
    """

    picture: Plane | None
    stitched: Plane
    classes: NDArray[np.intp]
    styles: Plane


def names_of(groups: Sequence[int]) -> list[str]:
    """What styles of groups of tissues are called: "lung"; "any" for all; with a number where a group has several."""
    names = []
    for place, group in enumerate(groups):
        tissues = " or ".join(NAME_OF_CODE[CODE_OF_TISSUE[tissue]] for tissue in Tissue if tissue & group)
        number = f" {groups[: place + 1].count(group)}" if groups.count(group) > 1 else ""
        names.append(("any" if group == UNKNOWN else tissues) + number)
    return names


def sheet(drawn: Sequence[Drawn], groups: Sequence[int], title: str) -> bytes:
    """A PNG with a row a slice or sample: the picture, the stitched one, what differs, the classes, each style."""
    colours = np.array([_colour(group) for group in groups], np.float32)
    rows = []
    for one in drawn:
        seen = [None, grey(one.stitched), None]
        if one.picture is not None:
            seen = [grey(one.picture), grey(one.stitched), grey(np.abs(one.stitched - one.picture))]
        rows.append([*seen, colours[one.classes], *(grey(style) for style in one.styles)])
    return sheet_of(rows, [*FIRST, *names_of(groups)], title)


def table(rows: Sequence[Row]) -> str:
    """A CSV: words as they are, numbers to four places of a digit that says something, nothing for None."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns)]
    lines += [",".join(_cell(row.get(column)) for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: str | float | None) -> str:
    return value if isinstance(value, str) else "" if value is None else f"{value:.4g}"


def _colour(group: int) -> tuple[int, int, int]:
    """Of a group of one tissue; of several black, as background has."""
    tissues = [tissue for tissue in Tissue if tissue & group]
    return COLOUR_OF_CODE[CODE_OF_TISSUE[tissues[0]]] if len(tissues) == 1 else (0, 0, 0)

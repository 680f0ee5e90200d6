"""Pictures of label maps in the palette's colours, with the truth's outlines over them; no scan is at hand."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from groundglass.labels import CODE_OF_TISSUE, COLOUR_OF_CODE, NAME_OF_CODE, NOT_LESION, UNKNOWN, Region, Tissue, inside
from groundglass.report.figures import outline
from groundglass.report.words import percent

Sets = NDArray[np.uint8]
LONGEST: Final = 1024  # side of a picture, in pixels; larger ones are thinned
LUNG_DIMMED: Final = 0.5  # in grey the palette's lung and ground glass are one: lung is context and drawn darker
UNKNOWN_GREY: Final = (96, 96, 96)
# The truth's outlines, widest first, and the line that each is drawn with.
LINES: Final = ((Region.LUNG_FIELD, "thin"), (Region.INFECTION, "thick"), (Region.CONSOLIDATION, "dashed"))


@dataclass(frozen=True)
class LabelPicture:
    """A label map in the palette's colours, with edges over it.

    Attributes:
        uri: the map as a ``data:`` image, to be drawn without smoothing.
        width: of the picture, mm or pixels.
        height: likewise.
        pixel: (width, height) of half a pixel, the unit of the edges' paths.
        own: edge of the map's own consolidation: it shows in grey print.
        edges: (name of a line, path) of the truth's regions.
        alt: what the picture shows, in words.
        caption: short words for its corner.
    """

    uri: str
    width: float
    height: float
    pixel: tuple[float, float]
    own: str
    edges: tuple[tuple[str, str], ...]
    alt: str
    caption: str


def label_picture(sets: Sets, truth: Sets, step: tuple[float, float], name: str, caption: str) -> LabelPicture:
    """A label map with the truth's outlines over it.

    Args:
        sets: label sets (rows, columns).
        truth: likewise, on the same grid.
        step: (between rows, between columns), mm or pixels.
        name: what is shown, for who cannot see it.
        caption: short words for its corner.
    """
    thin = -(-max(sets.shape) // LONGEST)
    small, true = sets[::thin, ::thin], truth[::thin, ::thin]
    rows, columns = small.shape
    paths = {line: outline(inside(true, region)) for region, line in LINES}
    if paths["thin"] == paths["thick"]:  # labels without lung
        paths["thin"] = ""
    return LabelPicture(
        uri=_png(small),
        width=columns * step[1],
        height=rows * step[0],
        pixel=(step[1] / 2, step[0] / 2),
        own=outline(inside(small, Region.CONSOLIDATION)),
        edges=tuple((line, path) for line, path in paths.items() if path),
        alt=f"{name}: {_contents(sets)}.",
        caption=caption,
    )


def colour_of_set(tissues: Tissue) -> tuple[int, int, int]:
    """Of a label set: its lesser member's, black where no lesion is possible, grey where all is."""
    if not tissues & ~NOT_LESION and tissues != Tissue.LUNG:
        return COLOUR_OF_CODE[0]
    if Tissue.BACKGROUND in tissues:
        return UNKNOWN_GREY
    code = min(CODE_OF_TISSUE[tissue] for tissue in tissues)
    red, green, blue = COLOUR_OF_CODE[code]
    dim = LUNG_DIMMED if code == CODE_OF_TISSUE[Tissue.LUNG] else 1.0
    return round(red * dim), round(green * dim), round(blue * dim)


def name_of_set(tissues: Tissue) -> str:
    """Of a label set, for people."""
    return "unknown" if tissues == UNKNOWN else " or ".join(NAME_OF_CODE[CODE_OF_TISSUE[tissue]] for tissue in tissues)


def css_colour(tissues: Tissue) -> str:
    """The colour of a label set as ``#rrggbb``."""
    return "#" + "".join(f"{part:02x}" for part in colour_of_set(tissues))


def _png(sets: Sets) -> str:
    picture = Image.fromarray(sets)
    picture.putpalette([part for value in range(16) for part in colour_of_set(Tissue(value or 1))])
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _contents(sets: Sets) -> str:
    """Which labels hold which share of the picture; what is surely no lesion goes without saying."""
    counts = np.bincount(sets.ravel(), minlength=16)
    told = [
        f"{name_of_set(Tissue(value))} {percent(100 * counts[value] / sets.size)}"
        for value in np.flatnonzero(counts).tolist()
        if Tissue(value) & ~NOT_LESION
    ]
    return ", ".join(told) or "no lesion"

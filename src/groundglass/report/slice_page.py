"""A page about one slice: pictures of it side by side, with what they tell in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from groundglass import __version__
from groundglass.report.frame import page


@dataclass(frozen=True)
class Panel:
    """A picture.

    Attributes:
        name: of its file, without number and suffix.
        title: below it.
        png: the picture.
    """

    name: str
    title: str
    png: bytes

    def file(self, place: int) -> str:
        """What it is called as the panel at a place, from 1."""
        return f"{place:02d}_{self.name}.png"


def png(image: NDArray[np.uint8]) -> bytes:
    """A picture as a PNG: grey (rows, columns), or in colours (rows, columns, 3)."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def as_bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values from 0 to 255, rounded."""
    rounded: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded


def slice_page(
    title: str, heading: str, sentence: str, facts: Sequence[str], panels: Sequence[Panel], notes: Sequence[str]
) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    shown = [
        {
            "uri": "data:image/png;base64," + base64.b64encode(panel.png).decode("ascii"),
            "title": panel.title,
            "alt": f"Picture {place}: {panel.title}.",
        }
        for place, panel in enumerate(panels, 1)
    ]
    return page(
        "slice_page.html",
        version=__version__,
        sheets=("slice_page.css",),
        title=title,
        heading=heading,
        sentence=sentence,
        facts=facts,
        panels=shown,
        notes=notes,
    )


def heading_of(case: str, number: int, slices: int) -> str:
    """Of a page about one slice, its number counted from 1."""
    return f"{case}, slice {number} of {slices} (1 is nearest the feet)"

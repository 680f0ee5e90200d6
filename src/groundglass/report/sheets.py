"""Sheets of small pictures: a row a slice, a column a thing that is shown of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE: Final = 192  # pixels of a picture
LINE: Final = 14
GAP: Final = 4
WHITE: Final = (255, 255, 255)


def sheet_of(rows: Sequence[Sequence[NDArray[np.floating] | None]], columns: Sequence[str], title: str) -> bytes:
    """A PNG of pictures (H, W, 3), 0 to 255, each as large as its place lets it be; None leaves a place empty."""
    drawn = Image.new("RGB", (len(columns) * (SIDE + GAP), 2 * LINE + len(rows) * (SIDE + GAP)))
    pen = ImageDraw.Draw(drawn)
    pen.text((2, 1), title, fill=WHITE)
    for place, name in enumerate(columns):
        pen.text((place * (SIDE + GAP) + 2, LINE + 1), name, fill=WHITE)
    for row, pictures in enumerate(rows):
        for place, panel in enumerate(pictures):
            if panel is not None:
                high, wide = (round(side * SIDE / max(panel.shape[:2])) for side in panel.shape[:2])
                picture = Image.fromarray(panel.astype(np.uint8)).resize((wide, high), Image.Resampling.BILINEAR)
                left, top = place * (SIDE + GAP) + (SIDE - wide) // 2, row * (SIDE + GAP) + (SIDE - high) // 2
                drawn.paste(picture, (left, 2 * LINE + top))
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()


def grey(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    """Grey values (H, W) in [0, 1] as colours (H, W, 3), 0 to 255."""
    return np.repeat(255 * np.clip(plane, 0, 1)[..., None], 3, axis=2)


def spread(numbers: Sequence[int], count: int) -> list[int]:
    """So many of some numbers, evenly spread over them; all where there are no more."""
    places = np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int))
    return [numbers[place] for place in places]

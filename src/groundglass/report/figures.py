"""Pictures of a scan with outlines: grey values as ``data:`` images, outlines as SVG paths over them.

Outlines are vectors, so they stay crisp on a screen and on paper, and a page can hide them without a script.
Pictures are drawn in the radiologist's way: the patient's right is on the viewer's left, head and front up;
in the sagittal view the front is on the left.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray
from PIL import Image

from groundglass.labels import Region, region_of_codes

Codes = NDArray[np.uint8]
Hounsfield = NDArray[np.int16] | NDArray[np.float32]

WINDOW_HU: Final = (-1350.0, 150.0)  # the usual lung window: level -600, width 1500
JPEG_QUALITY: Final = 88
# What is outlined, widest first, so that the narrower lies on top.
OUTLINED: Final = (Region.LUNG_FIELD, Region.GROUND_GLASS, Region.CONSOLIDATION)


@dataclass(frozen=True)
class Outline:
    """A region's outline: ``path`` is SVG path data in half pixels of the picture."""

    region: Region
    path: str


@dataclass(frozen=True)
class Line:
    """A straight line over a picture, in the units of its width and height."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Words:
    """A few words over a picture, at (x, y) in the units of its width and height."""

    x: float
    y: float
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Picture:
    """What a template needs to draw a picture; lengths in mm, or in pixels where their size is unknown.

    Attributes:
        uri: the grey values as a ``data:`` image.
        width: of the picture.
        height: of the picture.
        pixel: (width, height) of half a pixel, the unit of the outlines' paths.
        outlines: over the picture.
        alt: what the picture shows, in words.
        caption: short words for its corner.
        marks: the patient's sides at the picture's left and right edge; empty where unknown.
        bar_mm: length of the scale bar, or None where the size of a pixel is unknown.
        gutter: width of an empty strip on either side, for words.
        lines: straight lines over the picture.
        words: over the picture and its gutters.
        truth: the outlines are the true ones, not the measured ones.
    """

    uri: str
    width: float
    height: float
    pixel: tuple[float, float]
    outlines: tuple[Outline, ...]
    alt: str
    caption: str
    marks: tuple[str, str] | tuple[()] = ()
    bar_mm: float | None = None
    gutter: float = 0.0
    lines: tuple[Line, ...] = ()
    words: tuple[Words, ...] = ()
    truth: bool = False

    @property
    def whole_width(self) -> float:
        """Of the picture with its gutters."""
        return self.width + 2 * self.gutter


@dataclass(frozen=True)
class Plane:
    """A cut through a scan, as it is displayed.

    Attributes:
        hu: Hounsfield units (rows, columns).
        codes: label codes (rows, columns).
        step: (between rows, between columns), mm or pixels.
    """

    hu: Hounsfield
    codes: Codes
    step: tuple[float, float]


def windowed(hu: Hounsfield) -> Codes:
    """Grey values, uint8, of Hounsfield units in the lung window: -1350 HU is 0, 150 HU is 255."""
    black, white = WINDOW_HU
    grey = (hu.astype(np.float32) - np.float32(black)) * np.float32(255 / (white - black))
    rounded: Codes = np.rint(grey.clip(0, 255)).astype(np.uint8)
    return rounded


def data_uri(grey: Codes, size: tuple[int, int]) -> str:
    """A grey picture, uint8 (rows, columns), as a JPEG of ``size`` (width, height) in a ``data:`` URI."""
    picture = Image.fromarray(grey)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def outline(mask: NDArray[np.bool_]) -> str:
    """SVG path data of a mask's outline, in half pixels from the picture's upper left corner.

    The outline runs along the pixels' edges, with corners cut by half a pixel: a pixel alone is a diamond.
    Holes are outlined too. Empty for an empty mask.
    """
    if not mask.any():
        return ""
    padded = np.pad(mask, 1).astype(np.float64)
    loops: Sequence[NDArray[np.float64]] = contour_generator(  # type: ignore[assignment]
        z=padded, line_type=LineType.Separate
    ).lines(0.5)
    # a pixel's centre has index + 1 in the padded mask and lies at index + 1/2 of the picture
    return "".join(_closed(np.rint(loop * 2 - 1).astype(np.int64)) for loop in loops)


def _closed(points: NDArray[np.int64]) -> str:
    """Path data of a loop of points (x, y) whose last is its first; points on straight runs are left out."""
    corners = points[:-1]
    before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
    corners = corners[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    moves = " ".join(f"{x},{y}" for x, y in np.diff(corners, axis=0))
    return f"M{corners[0, 0]},{corners[0, 1]}l{moves}z"


def draw(plane: Plane, longest: int, *, alt: str, caption: str, **more: Any) -> Picture:
    """A picture of a plane with its outlines.

    Args:
        plane: what to draw.
        longest: the longer side of the embedded image, in its pixels.
        alt: what the picture shows.
        caption: short words for its corner.
        more: further fields of ``Picture``.
    """
    rows, columns = plane.hu.shape
    height, width = rows * plane.step[0], columns * plane.step[1]
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    paths = ((region, outline(region_of_codes(plane.codes, region))) for region in OUTLINED)
    return Picture(
        uri=data_uri(windowed(plane.hu), size),
        width=width,
        height=height,
        pixel=(plane.step[1] / 2, plane.step[0] / 2),
        outlines=tuple(Outline(region, path) for region, path in paths if path),
        alt=alt,
        caption=caption,
        **more,
    )

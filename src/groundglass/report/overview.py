"""One picture for a README or a slide: the most affected slices, what was found and what is true."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from groundglass.evaluation.burden import saturate
from groundglass.labels import CODE_OF_TISSUE, COLOUR_OF_CODE, NAME_OF_CODE, region_of_codes
from groundglass.report.figures import OUTLINED, Codes, windowed
from groundglass.report.views import frame_lungs, look_over, most_affected
from groundglass.scan import Scan

TILE: Final = (420, 300)  # (width, height), pixels
MARGIN: Final = 28


def overview_png(scan: Scan, codes: Codes, truth: Codes, title: str) -> bytes:
    """A PNG of three slices, measured (called ``title``) above and true below, in the project's colours."""
    overview = look_over(codes)
    infected = overview.counts[:, 2:].sum(axis=1) / max(int(overview.counts[:, 1:].sum(axis=1).max()), 1)
    slices = most_affected(tuple(saturate(100 * float(share)) for share in infected), overview)
    frame = frame_lungs(overview, scan)
    width, height = TILE
    sheet = Image.new("RGB", (len(slices) * width, 2 * (height + MARGIN) + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, shown) in enumerate(((title, codes), ("true", truth))):
        top = row * (height + MARGIN)
        pen.text((8, top + 8), name, fill="black", font_size=14)
        for column, z in enumerate(slices):
            tile = _outlined(scan.hu[z, frame.y, frame.x], shown[z, frame.y, frame.x])
            sheet.paste(tile, (column * width + (width - tile.width) // 2, top + MARGIN))
    x = 8
    for code in (1, 2, 3):
        pen.rectangle((x, sheet.height - 20, x + 12, sheet.height - 8), fill=COLOUR_OF_CODE[code])
        pen.text((x + 18, sheet.height - 22), NAME_OF_CODE[code], fill="black", font_size=14)
        x += 40 + 8 * len(NAME_OF_CODE[code])
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _outlined(hu: NDArray[np.int16] | NDArray[np.float32], codes: Codes) -> Image.Image:
    """A slice in the lung window with outlines, as large as a tile lets it be."""
    width, height = TILE
    scale = min(width / hu.shape[1], height / hu.shape[0])
    size = (round(hu.shape[1] * scale), round(hu.shape[0] * scale))
    grey = Image.fromarray(windowed(hu)).resize(size, Image.Resampling.BICUBIC)
    picture = np.stack([np.asarray(grey)] * 3, axis=-1)
    large = np.asarray(Image.fromarray(codes).resize(size, Image.Resampling.NEAREST))
    for region in OUTLINED:
        inside = region_of_codes(large, region)
        colour = COLOUR_OF_CODE[min(CODE_OF_TISSUE[tissue] for tissue in region.value)]
        picture[inside & ~ndimage.binary_erosion(inside)] = colour
    return Image.fromarray(picture)

"""The steps of a classical model on one slice, as pictures and as a page (figures 16 to 18 of DRSegUNet's thesis)."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from groundglass import __version__
from groundglass.preprocess.clusters import Step, Steps
from groundglass.report.frame import page
from groundglass.report.words import number

GREY_HU: Final = (-1000.0, 400.0)  # black and white
CLUSTER_GREYS: Final = (0, 128, 255)


@dataclass(frozen=True)
class StepsContent:
    """What the page tells.

    Attributes:
        case: what the case is called.
        slice: its number, from 1, feet to head.
        slices: how many there are.
        way: whose steps they are.
        steps: of the slice.
        pixel_cm2: area of a pixel, None where it is not known.
        notes: what a reader has to know.
    """

    case: str
    slice: int
    slices: int
    way: str
    steps: Steps
    pixel_cm2: float | None
    notes: Sequence[str] = ()


def picture(step: Step) -> bytes:
    """A step as a PNG, grey: masks black and white, clusters black, grey and white, HU in the window of the steps."""
    stream = io.BytesIO()
    Image.fromarray(_grey(step.image)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _grey(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    if image.dtype == np.bool_:
        mask: NDArray[np.uint8] = np.where(image, 255, 0).astype(np.uint8)
        return mask
    if image.dtype == np.uint8:
        clusters: NDArray[np.uint8] = np.array(CLUSTER_GREYS, np.uint8)[image]
        return clusters
    low, high = GREY_HU
    share = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
    return grey


def render(content: StepsContent) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    panels = [
        {
            "uri": "data:image/png;base64," + base64.b64encode(picture(step)).decode("ascii"),
            "title": step.title,
            "alt": f"Step {place}: {step.title}.",
        }
        for place, step in enumerate(content.steps.steps, 1)
    ]
    return page(
        "steps.html",
        version=__version__,
        sheets=("steps.css",),
        case=content.case,
        slice=content.slice,
        slices=content.slices,
        way=content.way,
        found=_area(content.steps.ground_glass, content.pixel_cm2) + ".",
        facts=_facts(content),
        panels=panels,
        notes=content.notes,
        low=number(GREY_HU[0], 0),
        high=number(GREY_HU[1], 0),
    )


def _facts(content: StepsContent) -> list[str]:
    centres = content.steps.centres
    names = ("background", "lung", "ground glass")
    told = ", ".join(f"{name} {number(hu, 0)}" for name, hu in zip(names, centres.hu, strict=True) if not np.isnan(hu))
    return [f"taken for lung: {_area(content.steps.lung, content.pixel_cm2)}", f"centres in HU: {told}"]


def _area(mask: NDArray[np.bool_], pixel_cm2: float | None) -> str:
    pixels = int(mask.sum())
    return f"{pixels} pixels" if pixel_cm2 is None else f"{number(pixels * pixel_cm2, 1)} cm²"

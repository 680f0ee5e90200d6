"""The steps of a classical model on one slice, as pictures and as a page (figures 16 to 18 of DRSegUNet's thesis)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.preprocess.clusters import Steps
from groundglass.report.slice_page import Panel, heading_of, png, slice_page
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


def panels(steps: Steps) -> list[Panel]:
    """A picture a step, grey: masks black and white, clusters black, grey and white, HU in the window of the steps."""
    return [Panel(step.name, step.title, png(_grey(step.image))) for step in steps.steps]


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
    low, high = (number(hu, 0) for hu in GREY_HU)
    return slice_page(
        title=f"Steps of k-means, slice {content.slice}",
        heading=heading_of(content.case, content.slice, content.slices),
        sentence=f"Ground glass by clusters of grey values, {content.way}: "
        f"{_area(content.steps.ground_glass, content.pixel_cm2)}.",
        facts=_facts(content),
        panels=panels(content.steps),
        notes=(
            f"Grey values from {low} HU (black) to {high} HU (white); masks are white; clusters black, grey and white "
            "by ascending centres. Seen from the feet: the patient's right is on the left.",
            *content.notes,
        ),
    )


def _facts(content: StepsContent) -> list[str]:
    centres = content.steps.centres
    names = ("background", "lung", "ground glass")
    told = ", ".join(f"{name} {number(hu, 0)}" for name, hu in zip(names, centres.hu, strict=True) if not np.isnan(hu))
    return [f"taken for lung: {_area(content.steps.lung, content.pixel_cm2)}", f"centres in HU: {told}"]


def _area(mask: NDArray[np.bool_], pixel_cm2: float | None) -> str:
    pixels = int(mask.sum())
    return f"{pixels} pixels" if pixel_cm2 is None else f"{number(pixels * pixel_cm2, 1)} cm²"

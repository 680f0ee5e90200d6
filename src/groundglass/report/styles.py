"""A generative model's views of a scan, as pictures of one slice, as a page and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.report.panels import coloured
from groundglass.report.samples import Row
from groundglass.report.sheets import grey
from groundglass.report.slice_page import Panel, as_bytes, heading_of, png, slice_page
from groundglass.report.words import ml, number, percent

ERROR_HU = 300.0  # white in the map of errors


@dataclass(frozen=True)
class Step:
    """The dial at a share.

    Attributes:
        share: of each lung, 0 to 1.
        lung_ml: of both lungs; None where the size of a voxel is not known.
        lesion_ml: likewise.
        lesion_percent: of both lungs.
        mean_hu: of both lungs.
        found_percent: of both lungs, what the model calls lesion when it is shown this.
    """

    share: float
    lung_ml: float | None
    lesion_ml: float | None
    lesion_percent: float
    mean_hu: float
    found_percent: float

    def row(self, case: str, lesion: str) -> Row:
        """Of a table."""
        return {
            "case": case,
            "share_percent": 100 * self.share,
            "lesion": lesion,
            "lung_ml": self.lung_ml,
            "lesion_ml": self.lesion_ml,
            "lesion_percent_of_lung": self.lesion_percent,
            "lung_mean_hu": self.mean_hu,
            "found_percent_of_lung": self.found_percent,
        }


@dataclass(frozen=True, eq=False)
class StylesContent:
    """What the page tells; pictures (h, w) are of one slice's crop, in HU.

    Attributes:
        case: what the case is called.
        slice: its number, from 1, feet to head.
        slices: how many there are.
        model: its name.
        window_hu: HU of black and white.
        picture: the slice.
        sets: label sets of what the model outlines.
        styles: by name.
        stitched: each pixel from its most probable style.
        dial: the slice at each step of the dial.
        steps: these steps.
        lesion: the dial's.
        error_hu: mean absolute difference of the stitched scan from the scan within the window, over all crops.
        apart_hu: mean absolute difference between two styles, over the lungs and over pairs.
    """

    case: str
    slice: int
    slices: int
    model: str
    window_hu: tuple[float, float]
    picture: NDArray[np.floating]
    sets: NDArray[np.uint8]
    styles: Mapping[str, NDArray[np.floating]]
    stitched: NDArray[np.floating]
    dial: Sequence[NDArray[np.floating]]
    steps: Sequence[Step]
    lesion: str
    error_hu: float
    apart_hu: float


def panels(content: StylesContent) -> list[Panel]:
    """The slice, what the model outlines, each style, the stitched slice, its errors, and the dial's steps."""
    black, white = content.window_hu

    def drawn(hu: NDArray[np.floating]) -> NDArray[np.floating]:
        return grey((hu - black) / (white - black))

    error = np.abs(content.stitched - np.clip(content.picture, black, white)) / ERROR_HU
    return [
        Panel("picture", "the slice", png(as_bytes(drawn(content.picture)))),
        Panel("segmentation", "what the model outlines", png(as_bytes(coloured(drawn(content.picture), content.sets)))),
        *(Panel(slug(name), f"all of it {name}", png(as_bytes(drawn(hu)))) for name, hu in content.styles.items()),
        Panel("stitched", "each pixel from its most probable style", png(as_bytes(drawn(content.stitched)))),
        Panel("error", f"how far from the slice: white is {ERROR_HU:.0f} HU", png(as_bytes(grey(error)))),
        *(
            Panel(
                f"dial_{round(100 * step.share):03d}",
                f"{_share(step)} of each lung {content.lesion}",
                png(as_bytes(drawn(hu))),
            )
            for step, hu in zip(content.steps, content.dial, strict=True)
        ),
    ]


def render(content: StylesContent) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    return slice_page(
        title=f"Styles of a scan, slice {content.slice}",
        heading=heading_of(content.case, content.slice, content.slices),
        sentence=f"What the scan would look like if all of it were one tissue, by {content.model}; and with more or "
        f"less {content.lesion} in the lungs.",
        facts=facts(content),
        panels=panels(content),
        notes=(
            "Styles are what a model makes of the scan, not what will or could happen to the patient: how disease "
            "looks comes from other patients' lesions, where it is put from the model's own guess.",
            "The dial turns each lung's voxels in one order, those first that the model holds most likely to be "
            "lesion; the others are of the styles that are no lesion. Measured is the volume that was made; found is "
            "what the model outlines when it is shown that volume.",
            "Styles that are hardly apart have collapsed: they tell nothing apart. Seen from the feet: the patient's "
            "right is on the left.",
        ),
    )


def facts(content: StylesContent) -> list[str]:
    """The numbers, in words."""
    return [
        f"stitched: {number(content.error_hu)} HU from the scan on average",
        f"styles: {number(content.apart_hu)} HU apart in the lungs on average",
        *(
            f"dial at {_share(step)}: {ml(step.lesion_ml)} of {ml(step.lung_ml)}, lung at {number(step.mean_hu, 0)} HU "
            f"on average; found {percent(step.found_percent)}"
            for step in content.steps
        ),
    ]


def slug(name: str) -> str:
    """What a style's files are called: ``ground_glass_opacity``."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def _share(step: Step) -> str:
    return percent(100 * step.share)

"""What a model shows of itself on one slice, as pictures and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import NOT_LESION, Tissue
from groundglass.report.label_pictures import name_of_set
from groundglass.report.panels import coloured
from groundglass.report.sheets import grey
from groundglass.report.slice_page import Panel, as_bytes, heading_of, png, slice_page
from groundglass.report.words import number, percent


@dataclass(frozen=True, eq=False)
class MapsContent:
    """What the page tells.

    Attributes:
        case: what the case is called.
        slice: its number, from 1, feet to head.
        slices: how many there are.
        model: its name.
        picture: (h, w), [0, 1], the slice as the model sees it.
        sets: (h, w), the label sets that the model decides on.
        maps: by name, each (h, w), [0, 1].
        psnr_db: of the drawn picture, where there is one.
        ssim: likewise.
        error_area: area under the ROC of 1 - confidence as a detector of errors, where the truth is known.
        truth: label sets of the slice, as the model sees it, where they are known.
    """

    case: str
    slice: int
    slices: int
    model: str
    picture: NDArray[np.float32]
    sets: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    psnr_db: float | None = None
    ssim: float | None = None
    error_area: float | None = None
    truth: NDArray[np.uint8] | None = None


def panels(content: MapsContent) -> list[Panel]:
    """The picture, what the model says, the truth if it is known, and the maps, black for 0 and white for 1."""
    picture = grey(content.picture)
    labelled = [("segmentation", "what the model says", content.sets)]
    if content.truth is not None:
        labelled.append(("truth", "what was outlined by hand", content.truth))
    return [
        Panel("picture", "the slice as the model sees it", png(as_bytes(picture))),
        *(Panel(name, title, png(as_bytes(coloured(picture, sets)))) for name, title, sets in labelled),
        *(Panel(name, name.replace("_", " "), png(as_bytes(255 * values))) for name, values in content.maps.items()),
    ]


def render(content: MapsContent) -> str:
    """The page as HTML, in one piece: it loads nothing and runs nothing."""
    return slice_page(
        title=f"Maps of a model, slice {content.slice}",
        heading=heading_of(content.case, content.slice, content.slices),
        sentence=f"What the model shows of itself ({content.model}): {_names(content)}.",
        facts=facts(content),
        panels=panels(content),
        notes=_notes(content),
    )


def facts(content: MapsContent) -> list[str]:
    """The numbers, in words."""
    sets = content.sets
    lesion = float(((sets & int(NOT_LESION)) == 0).mean())
    told = [f"called lesion: {percent(100 * lesion)} of the picture"]
    if content.psnr_db is not None:
        told.append(f"reconstruction: PSNR {number(content.psnr_db)} dB, SSIM {number(content.ssim, 3)}")
    if content.truth is not None and "confidence" in content.maps:
        told.append(f"1 − confidence finds errors: area under the ROC {number(content.error_area, 3)}")  # noqa: RUF001
    return told


def _names(content: MapsContent) -> str:
    return ", ".join(name.replace("_", " ") for name in content.maps) or "nothing but its answer"


def _notes(content: MapsContent) -> Sequence[str]:
    several = sorted({name_of_set(Tissue(value)) for value in np.unique(content.sets).tolist()})
    return (
        "Maps are black for 0 and white for 1. Orange is ground glass, purple consolidation, red either of them; told "
        f"here: {'; '.join(several)}. Seen from the feet: the patient's right is on the left.",
        "A map tells what the model was taught to make of the slice, not why it answers as it does.",
    )

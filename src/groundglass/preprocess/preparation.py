"""How slices were prepared for a network: one record, in the store's manifest and in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Crop = Literal["lungs", "none"]
Intensity = Literal["hu", "calibrated", "stated"]


@dataclass(frozen=True)
class Preparation:
    """What was done to a slice before a network saw it.

    Attributes:
        window_hu: HU that become 0 and 1.
        crop: ``lungs``: the bounding box of the lungs in the slice, as in the crops that publishers share;
            ``none``: the whole slice.
        margin: of the crop, as a share of the box's longer side.
        size: (height, width) in pixels that the crop is resized to.
        orientation: ``radiological``: front up, the patient's right on the left.
        intensity: where HU come from.
    """

    window_hu: tuple[float, float] = (-1350.0, 150.0)
    crop: Crop = "lungs"
    margin: float = 0.03
    size: tuple[int, int] = (288, 288)
    orientation: Literal["radiological"] = "radiological"
    intensity: Intensity = "hu"

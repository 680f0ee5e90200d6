"""How slices were prepared for a network: one record, in the store's manifest and in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from groundglass.errors import UsageError

Crop = Literal["lungs", "none"]
Fit = Literal["letterbox", "stretch"]
Intensity = Literal["hu", "calibrated", "stated"]
_REMEDY = "Correct it, or prepare the data again."


@dataclass(frozen=True)
class Preparation:
    """What was done to a slice before a network saw it.

    Attributes:
        window_hu: HU that become 0 and 1.
        crop: ``lungs``: the bounding box of the lungs in the slice, as in the crops that publishers share;
            ``none``: the whole slice.
        margin: of the crop on each side, as a share of the box's longer side; 0.02 is what publishers' crops have.
        smallest: no crop of a scan is smaller than this share of the scan's own box of the lungs: at the apex and
            the base a tight box would be magnified far beyond anything seen in training.
        size: (height, width) in pixels that the crop is resized to.
        fit: ``letterbox``: the crop keeps its proportions and the rest is air, of unknown label; ``stretch``: it
            fills the picture.
        orientation: ``radiological``: front up, the patient's right on the left.
        intensity: where HU come from.

    Raises:
        UsageError: a value that cannot be.
    """

    window_hu: tuple[float, float] = (-1350.0, 150.0)
    crop: Crop = "lungs"
    margin: float = 0.02
    smallest: float = 0.5
    size: tuple[int, int] = (288, 288)
    fit: Fit = "letterbox"
    orientation: Literal["radiological"] = "radiological"
    intensity: Intensity = "hu"

    def __post_init__(self) -> None:
        checks = (
            (self.window_hu[0] < self.window_hu[1], "window_hu", "black below white"),
            (self.crop in get_args(Crop), "crop", f"one of {get_args(Crop)}"),
            (0 <= self.margin <= 1, "margin", "a share, 0 to 1"),
            (0 <= self.smallest <= 1, "smallest", "a share, 0 to 1"),
            (min(self.size) >= 16 and max(self.size) <= 4096, "size", "16 to 4096 pixels a side"),
            (self.fit in get_args(Fit), "fit", f"one of {get_args(Fit)}"),
            (self.orientation == "radiological", "orientation", "radiological"),
            (self.intensity in get_args(Intensity), "intensity", f"one of {get_args(Intensity)}"),
        )
        for right, name, expected in checks:
            if not right:
                raise UsageError(
                    f"A preparation with {name} = {getattr(self, name)!r}.", expected=expected, remedy=_REMEDY
                )

    def as_json(self) -> dict[str, Any]:
        """The record as plain JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record of a manifest or a checkpoint.

        Raises:
            UsageError: a key that is missing or not known, or a value that cannot be.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = sorted(set(values) ^ known)
            raise UsageError(f"A preparation with or without {odd[0]!r}.", expected=f"{sorted(known)}", remedy=_REMEDY)
        try:
            black, white = (float(value) for value in values["window_hu"])
            height, width = (int(value) for value in values["size"])
            numbers = {name: float(values[name]) for name in ("margin", "smallest")}
        except (TypeError, ValueError, OverflowError):
            raise UsageError(
                "A preparation whose values have other types.", expected="numbers where numbers belong", remedy=_REMEDY
            ) from None
        return cls(**{**values, **numbers, "window_hu": (black, white), "size": (height, width)})

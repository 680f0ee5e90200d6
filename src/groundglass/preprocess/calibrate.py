"""From 8-bit grey to Hounsfield units, by the histogram of all images of one volume.

A viewer mapped HU from black to white linearly onto 0 to 255 and nobody wrote down which. Two things are left
to tell: where soft tissue lies, and how dark it gets.

1. The soft-tissue peak is the anchor: it is `SOFT_TISSUE_HU`. That leaves one unknown, the window's width.
2. Of the plausible windows through the anchor (`BLACK_HU`, `WIDTH_HU`) the most likely one is taken. What is darkest
   (air in airways) and the lung peak both speak, and so does how common a width is. The lung peak is heard on one
   side only: lung is hardly ever darker than `LUNG_HU`, but in a lung full of haze the lung peak *is* haze and may
   lie anywhere above.
3. Without an anchor (soft tissue clipped to white, or no peak) the stated window is taken; else, where it is clipped,
   one in which it is white, or a usual one.

Errors, measured on real lung crops rendered through five windows, stand in ``docs/decisions.md``; training jitters
intensity by at least as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.errors import ScanError

How = Literal["peaks", "prior", "stated"]
SOFT_TISSUE_HU: Final = 40.0  # muscle and blood; fat and contrast pull the peak by about 15 either way
AIR_HU: Final = -1005.0  # of the darkest thousandth of a lung crop: airways, less the noise
LUNG_HU: Final = -860.0  # of the lung peak, where lung is healthy
BLACK_HU: Final = (-1400.0, -900.0)
WIDTH_HU: Final = (1000.0, 3000.0)
USUAL_WIDTH_HU: Final = 1500.0
USUAL_WINDOW_HU: Final = (-1250.0, 250.0)  # the middle of those in use for lungs
CLIPPED_WINDOW_HU: Final = (-1100.0, 50.0)  # of clipped pictures: soft tissue is white or nearly so; black as in others
CLIPPED_SHARE: Final = 0.2  # of pixels at white above which soft tissue is clipped
_SMOOTHING: Final = 2.0  # grey levels
_SMALLEST_PEAK: Final = 0.06  # of the highest
_VALLEY: Final = 0.85  # beside a lung peak; soft tissue may lie so near to white that it has none
_DARKEST: Final = 0.001  # share of pixels
_WIDTHS: Final = 401

Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """What grey values were taken to mean.

    Attributes:
        black_hu: HU of grey 0.
        white_hu: HU of grey 255.
        how: ``peaks``: soft tissue and lung (or air) were both found; ``prior``: a usual window, moved so that soft
            tissue fits where that was found; ``stated``: as the reader or the user says.
        soft_grey: the soft-tissue peak, None where there is none.
        lung_grey: the lung peak, None where there is none.
    """

    black_hu: float
    white_hu: float
    how: How
    soft_grey: float | None = None
    lung_grey: float | None = None

    def to_hu(self, grey: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Hounsfield units of grey values, any shape, rounded to int16."""
        table = np.rint(np.linspace(self.black_hu, self.white_hu, 256)).astype(np.int16)
        hu: NDArray[np.int16] = table[grey]
        return hu


def histogram(planes: Iterable[NDArray[np.uint8]]) -> Histogram:
    """How often each grey value occurs in all images of a volume, int64 (256,)."""
    counts = np.zeros(256, np.int64)
    for plane in planes:
        counts += np.bincount(plane.ravel(), minlength=256)
    return counts


def calibrate(counts: Histogram, stated: tuple[float, float] | None = None) -> Calibration:
    """The window that images were most likely drawn with.

    Args:
        counts: int64 (256,), of all images of one volume (`histogram`); of a single one only where there is but one.
        stated: HU of black and white to fall back to where soft tissue is clipped or has no peak.

    Raises:
        ScanError: no image at all, or a stated window whose black is not below its white.
    """
    if counts.shape != (256,) or counts.sum() <= 0:
        raise ScanError("No grey values to calibrate.", expected="at least one image", remedy="Give the images.")
    if stated is not None and not stated[0] < stated[1]:
        raise ScanError(
            f"A window from {stated[0]:g} to {stated[1]:g} HU.",
            expected="black below white",
            remedy="Give the HU of black first.",
        )
    soft, lung = _peaks(counts)
    if soft is None:
        black, white = stated or (CLIPPED_WINDOW_HU if _is_clipped(counts) else USUAL_WINDOW_HU)
        return Calibration(black, white, "stated" if stated else "prior", None, lung)
    dark = float(np.searchsorted(np.cumsum(counts), _DARKEST * counts.sum()))
    width = _likeliest_width(soft, lung, dark)
    black = SOFT_TISSUE_HU - soft * width / 255
    return Calibration(black, black + width, "prior" if lung is None else "peaks", soft, lung)


def _peaks(counts: Histogram) -> tuple[float | None, float | None]:
    """The grey values of soft tissue and of lung: the highest peaks of the bright and of the dark part.

    What is black or white by clipping is no peak. The parts are divided by Otsu's threshold.
    """
    inner = counts.astype(float)
    inner[0], inner[255] = inner[1], inner[254]
    smooth = ndimage.gaussian_filter1d(inner, _SMOOTHING, mode="nearest")
    divide = _otsu(counts)
    soft = None if _is_clipped(counts) else _highest(smooth, divide, 255, 1.0)
    return soft, _highest(smooth, 0, divide, _VALLEY)


def _is_clipped(counts: Histogram) -> bool:
    return bool(counts[250:].sum() / counts.sum() > CLIPPED_SHARE)


def _highest(smooth: NDArray[np.float64], low: int, high: int, valley: float) -> float | None:
    """The highest local maximum strictly between two grey values, if it is a peak worth the name.

    Within the part, what lies on both sides of it has to fall below ``valley`` times the peak.
    """
    part = smooth[low : high + 1]
    tops = np.flatnonzero((part[1:-1] > part[:-2]) & (part[1:-1] >= part[2:])) + 1
    if not tops.size:
        return None
    top = int(tops[part[tops].argmax()])
    stands_out = max(part[: top + 1].min(), part[top:].min()) < valley * part[top]
    return float(low + top) if stands_out and part[top] > _SMALLEST_PEAK * smooth.max() else None


def _otsu(counts: Histogram) -> int:
    """The grey value that divides dark from bright with the least variance within the two."""
    share = counts / counts.sum()
    below = np.cumsum(share)
    mean = np.cumsum(share * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nanargmax(np.where(np.isfinite(between), between, -1)))


def _likeliest_width(soft: float, lung: float | None, dark: float) -> float:
    """The width, in HU, of the most likely of the plausible windows through the soft-tissue anchor."""
    widths = np.linspace(*WIDTH_HU, _WIDTHS)
    blacks = SOFT_TISSUE_HU - soft * widths / 255
    plausible = (blacks >= BLACK_HU[0]) & (blacks <= BLACK_HU[1])
    if not plausible.any():
        return float(widths[np.abs(blacks - np.mean(BLACK_HU)).argmin()])
    cost = (np.log(widths / USUAL_WIDTH_HU) / 0.3) ** 2
    air = blacks + dark * widths / 255 - AIR_HU
    # clipped air only says that black is not far below it
    cost += np.minimum(air, 0) ** 2 / 30**2 if dark < 1 else np.where(air < 0, air / 30, air / 60) ** 2
    if lung is not None:
        above = blacks + lung * widths / 255 - LUNG_HU
        cost += np.where(above < 0, above / 40, np.minimum(above / 60, 2)) ** 2
    return float(widths[np.where(plausible, cost, np.inf).argmin()])

"""What a scanner makes of a patient: blur and the noise of a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.phantom.fields import Array

LOWEST_HU = -1024


@dataclass(frozen=True)
class Scanner:
    """Settings of a scan.

    Attributes:
        blur_pixels: standard deviation of the point spread within a slice.
        noise_hu: standard deviation of the noise inside the body.
        grain_pixels: size of the noise's grain; larger for a softer kernel.
    """

    blur_pixels: float
    noise_hu: float
    grain_pixels: float


def draw_scanner(rng: np.random.Generator, noise_hu: float | None) -> Scanner:
    """A scanner; ``noise_hu`` is drawn from 10 to 40 HU if None."""
    drawn = float(np.exp(rng.uniform(np.log(10), np.log(40))))
    sharp = rng.uniform()
    return Scanner(
        blur_pixels=0.45 + 0.4 * (1 - sharp), noise_hu=drawn if noise_hu is None else noise_hu,
        grain_pixels=0.55 + 0.5 * (1 - sharp),
    )  # fmt: skip


def expose(rng: np.random.Generator, scanner: Scanner, hu: Array, inside: Array) -> NDArray[np.int16]:
    """Slices as they are stored: blurred, noisy, whole numbers not below -1024.

    Args:
        rng: of the noise.
        scanner: settings.
        hu: (Z, Y, X).
        inside: share of each voxel inside the body, where there is more noise.
    """
    within = (0, scanner.blur_pixels, scanner.blur_pixels)
    image = ndimage.gaussian_filter(hu, within, mode="nearest", truncate=3)
    if scanner.noise_hu:
        image += _noise(rng, scanner, hu.shape) * (0.7 + 0.3 * inside)
    stored: NDArray[np.int16] = np.clip(np.rint(image), LOWEST_HU, 3071).astype(np.int16)
    return stored


def _noise(rng: np.random.Generator, scanner: Scanner, shape: tuple[int, ...]) -> Array:
    """Noise of a filtered back projection: blurred, but without its slowest waves."""
    fine = rng.standard_normal(shape, np.float32)
    grain = scanner.grain_pixels
    smooth = ndimage.gaussian_filter(fine, (0, grain, grain), mode="wrap", truncate=3)
    noise = smooth - 0.6 * ndimage.gaussian_filter(smooth, (0, 2 * grain, 2 * grain), mode="wrap", truncate=3)
    scaled: Array = noise * np.float32(scanner.noise_hu / noise.std())
    return scaled

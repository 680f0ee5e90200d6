"""How near a drawn picture is to the one that it was drawn from: PSNR and SSIM.

SSIM: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004, in a Gaussian window of 11 pixels, sigma 1.5.
"""

from __future__ import annotations

from math import inf, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from groundglass.errors import LabelError

Picture = NDArray[np.floating]
WINDOW: Final = 11


def psnr(drawn: Picture, picture: Picture) -> float:
    """Peak signal-to-noise ratio, ``-10 log10(mean squared difference)`` in dB, of pictures in [0, 1].

    Infinite for the same picture.

    Raises:
        LabelError: pictures of two shapes.
    """
    _check(drawn, picture)
    error = float(np.square(drawn.astype(np.float64) - picture).mean())
    return -10 * log10(error) if error else inf


def ssim(drawn: Picture, picture: Picture) -> float | None:
    """Structural similarity of pictures (H, W) in [0, 1], at most 1, the mean over the window's places.

    None for a picture that is smaller than the window.

    Raises:
        LabelError: pictures of two shapes.
    """
    _check(drawn, picture)
    if min(picture.shape) < WINDOW:
        return None
    return float(
        structural_similarity(
            drawn.astype(np.float64),
            picture.astype(np.float64),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _check(drawn: Picture, picture: Picture) -> None:
    if drawn.shape != picture.shape:
        raise LabelError(
            f"Pictures of shapes {drawn.shape} and {picture.shape}.",
            expected="one shape",
            remedy="Bring one to the other's size.",
        )

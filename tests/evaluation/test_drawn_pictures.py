from math import inf

import numpy as np
import pytest

from groundglass.errors import LabelError
from groundglass.evaluation.reconstruction import psnr, ssim


def plane(value, side=16):
    return np.full((side, side), value, np.float32)


def test_psnr_by_hand():
    """Off by 0.1 everywhere is 20 dB, by 0.5 in a quarter -10 log10(1/16)."""
    assert psnr(plane(0.6), plane(0.5)) == pytest.approx(20, abs=1e-4)
    drawn = plane(0.0)
    drawn[:8, :8] = 0.5
    assert psnr(drawn, plane(0.0)) == pytest.approx(12.0412, abs=1e-4)
    assert psnr(plane(0.3), plane(0.3)) == inf


def test_ssim_by_hand():
    """Of two constants the luminance alone: (2 a b + c) / (a^2 + b^2 + c), c = 0.01^2."""
    assert ssim(plane(0.5), plane(0.25)) == pytest.approx((0.25 + 1e-4) / (0.3125 + 1e-4), abs=1e-6)
    noise = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    assert ssim(noise, noise) == pytest.approx(1)
    assert ssim(1 - noise, noise) < 0  # what is bright is dark
    assert ssim(plane(0.5, 10), plane(0.5, 10)) is None


def test_pictures_of_two_shapes_are_refused():
    for measure in (psnr, ssim):
        with pytest.raises(LabelError, match=r"shapes \(16, 16\) and \(8, 8\)"):
            measure(plane(0.5), plane(0.5, 8))

"""How bright pixels are: brightness, contrast, gamma, blur, noise and holes. Labels stay as they are.

Every function takes images (B, 1, H, W) in [0, 1] and gives a new one in [0, 1]; one random draw a sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.augment._geometry import uniform


def _each(image: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """A random number a sample, (B, 1, 1, 1)."""
    return uniform(low, high, (len(image), 1, 1, 1), generator).to(image)


def rescale(image: Tensor, generator: torch.Generator, *, shift: float, contrast: float) -> Tensor:
    """``(x - 1/2) c + 1/2 + s``, cut to [0, 1]: what another window, or an error of calibration, would show.

    Args:
        image: (B, 1, H, W) in [0, 1].
        generator: of random numbers.
        shift: largest s, either way; 0.04 is 60 HU of a window of 1500 HU.
        contrast: c is 1 / (1 + contrast) to 1 + contrast.
    """
    slope = (1 + contrast) ** _each(image, -1, 1, generator)
    level = _each(image, -shift, shift, generator)
    return torch.addcmul(0.5 + level - 0.5 * slope, image, slope).clamp_(0, 1)


def gamma(image: Tensor, generator: torch.Generator, *, gamma: float) -> Tensor:
    """``x ** g``, g from 1 / (1 + gamma) to 1 + gamma."""
    return image ** ((1 + gamma) ** _each(image, -1, 1, generator))


def blur(image: Tensor, generator: torch.Generator, *, sigma_pixels: float, share: float) -> Tensor:
    """A Gaussian blur of up to ``sigma_pixels`` for about a ``share`` of the samples, edges repeated."""
    sigma = _each(image, 0, sigma_pixels, generator) * (_each(image, 0, 1, generator) < share)
    chosen = torch.nonzero(sigma.flatten() > 0.2).flatten()  # a narrower one is no blur
    if not len(chosen):
        return image
    half = int(3 * sigma_pixels + 0.5)
    steps = torch.arange(-half, half + 1, device=image.device, dtype=image.dtype)
    kernel = (-0.5 * (steps / sigma[chosen].view(-1, 1)) ** 2).exp()  # (n, 2 half + 1)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    wide = F.pad(image[chosen].transpose(0, 1), (half,) * 4, mode="replicate")  # (1, n, ...): a group a sample
    wide = F.conv2d(wide, kernel.view(len(chosen), 1, -1, 1), groups=len(chosen))
    wide = F.conv2d(wide, kernel.view(len(chosen), 1, 1, -1), groups=len(chosen))
    return image.index_copy(0, chosen, wide.transpose(0, 1)).clamp_(0, 1)


def noise(image: Tensor, generator: torch.Generator, *, noise: float) -> Tensor:
    """White noise of a standard deviation of up to ``noise``, cut to [0, 1]."""
    white = torch.randn(image.shape, generator=generator, device=generator.device).to(image)
    return torch.addcmul(image, white, _each(image, 0, noise, generator)).clamp_(0, 1)


def cutout(image: Tensor, generator: torch.Generator, *, side: float, share: float) -> Tensor:
    """A grey rectangle over about a ``share`` of the samples; DeVries and Taylor, 2017 (arXiv 1708.04552).

    The labels are kept: what a small hole hides is to be told from what lies around it. A hole is of one random
    grey, so that none is mistaken for air.

    Args:
        image: (B, 1, H, W) in [0, 1].
        generator: of random numbers.
        side: largest height and width, as shares of the image's.
        share: of the samples that get one.
    """
    count, _, height, width = image.shape
    hit = _each(image, 0, 1, generator) < share
    grey = _each(image, 0, 1, generator)
    rows = _span(count, height, side, generator).view(count, 1, height, 1).to(image.device)
    columns = _span(count, width, side, generator).view(count, 1, 1, width).to(image.device)
    return torch.where(rows & columns & hit, grey, image)


def _span(count: int, length: int, side: float, generator: torch.Generator) -> Tensor:
    """Random stretches of up to ``side`` of a length: (count, length), bool."""
    reach = uniform(0, side, (count, 1), generator) * length / 2
    middle = uniform(0, 1, (count, 1), generator) * length
    places = torch.arange(length, device=generator.device) + 0.5
    return (places - middle).abs() <= reach

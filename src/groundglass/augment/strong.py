"""Strong augmentation: weak augmentation, more of it, and what makes a slice harder to read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from groundglass.augment._cutmix import cutmix
from groundglass.augment._geometry import Batch
from groundglass.augment._intensity import blur, cutout, gamma, noise
from groundglass.augment.weak import Weak


@dataclass(frozen=True)
class Strong(Weak):
    """Weak augmentation with wider defaults and a bend; then gamma, blur, noise, a hole, CutMix.

    Attributes:
        gamma: exponents from 1 / (1 + gamma) to 1 + gamma.
        blur_pixels: largest standard deviation of the blur.
        blur_share: of the samples that are blurred.
        noise: largest standard deviation of white noise, in windowed intensity.
        cutout: largest side of a hole, as a share of the image's; its labels are kept.
        cutout_share: of the samples that get a hole.
        cutmix_share: of the samples that get a rectangle of another one, with its labels.
    """

    rotation_degrees: float = 20.0
    scale: float = 0.25
    shift: float = 0.08
    elastic: float = 0.015
    brightness: float = 0.06
    contrast: float = 0.25
    gamma: float = 0.4
    blur_pixels: float = 1.2
    blur_share: float = 0.3
    noise: float = 0.06
    cutout: float = 0.3
    cutout_share: float = 0.3
    cutmix_share: float = 0.3

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A new batch: images in [0, 1], label sets of the batch or 15, priors that still sum to 1."""
        batch = super().__call__(batch, generator)
        return cutmix(batch, generator, share=self.cutmix_share) if self.cutmix_share else batch

    def intensity(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch harder to read, with the same labels; blur before noise, as in a scanner."""
        image = super().intensity(batch, generator).image
        if self.gamma:
            image = gamma(image, generator, gamma=self.gamma)
        if self.blur_share:
            image = blur(image, generator, sigma_pixels=self.blur_pixels, share=self.blur_share)
        if self.noise:
            image = noise(image, generator, noise=self.noise)
        if self.cutout_share:
            image = cutout(image, generator, side=self.cutout, share=self.cutout_share)
        return replace(batch, image=image)

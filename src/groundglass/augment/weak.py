"""Weak augmentation: what another position, orientation and calibration of the same slice would show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from groundglass.augment._geometry import Batch, sampling_grid, symmetries, warp
from groundglass.augment._intensity import rescale


@dataclass(frozen=True)
class Weak:
    """Symmetries, one small smooth warp, and brightness.

    Attributes:
        symmetry: whether slices are mirrored and turned by quarters, all eight ways.
        rotation_degrees: largest angle, either way.
        scale: largest change of size: 0.1 is 1/1.1 to 1.1 times.
        shift: largest shift, as a share of height and width.
        elastic: standard deviation of the warp's nodes, as a share of height and width.
        elastic_nodes: nodes a side.
        brightness: largest shift of intensity; 0.04 is 60 HU of a window of 1500 HU, what calibration errs by.
        contrast: largest change of contrast: 0.1 is 1/1.1 to 1.1 times.
        crop: side of a square that is all of a slice that is seen, anywhere in it, in pixels; None: the whole slice.
    """

    symmetry: bool = True
    rotation_degrees: float = 10.0
    scale: float = 0.1
    shift: float = 0.04
    elastic: float = 0.0
    elastic_nodes: int = 6
    brightness: float = 0.04
    contrast: float = 0.1
    crop: int | None = None

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A new batch: images in [0, 1], label sets of the batch or 15, priors that still sum to 1."""
        return self.intensity(self.geometry(batch, generator), generator)

    def geometry(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch moved, image and labels alike."""
        if self.symmetry:
            batch = symmetries(batch, generator)
        if self.rotation_degrees or self.scale or self.shift or self.elastic or self.crop:
            count, _, height, width = batch.image.shape
            grid = sampling_grid(
                count,
                (height, width),
                generator,
                rotation_degrees=self.rotation_degrees,
                scale=self.scale,
                shift=self.shift,
                elastic=self.elastic,
                elastic_nodes=self.elastic_nodes,
                crop=self.crop,
            )
            batch = warp(batch, grid)
        return batch

    def intensity(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with other brightness and contrast, and the same labels."""
        image = rescale(batch.image, generator, shift=self.brightness, contrast=self.contrast)
        return replace(batch, image=image)

"""CutMix: a rectangle of one sample put into another (Yun et al., ICCV 2019, arXiv 1905.04899).

For segmentation (French et al., BMVC 2020, arXiv 1906.01916) labels are pasted as images are, pixel by pixel;
so label sets stay label sets, and what a model said of the parts can be pasted the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from groundglass.augment._geometry import Batch, for_each_field, uniform


@dataclass(frozen=True, eq=False)
class Cuts:
    """What is pasted where.

    Attributes:
        box: (B, 1, H, W), bool: pixels that come from the partner.
        partner: (B,), int64: each sample's, another one where there is one.
    """

    box: Tensor
    partner: Tensor

    def paste(self, planes: Tensor) -> Tensor:
        """(B, C, H, W) or (B, H, W) of any type, with each box taken from the partner."""
        box = self.box if planes.dim() == 4 else self.box.squeeze(1)
        return torch.where(box, planes[self.partner], planes)


def cuts(
    shape: tuple[int, ...], generator: torch.Generator, device: torch.device | str = "cpu", share: float = 1.0
) -> Cuts:
    """Random rectangles, whose part of the area is uniform in [0, 1), and partners.

    Args:
        shape: of the images, (B, C, H, W).
        generator: of random numbers.
        device: where the answer is needed.
        share: of the samples that get one, about.
    """
    count, _, height, width = shape
    hit = uniform(0, 1, (count, 1), generator) < share
    area = uniform(0, 1, (count, 1), generator)
    tall = area ** uniform(0, 1, (count, 1), generator)  # height and width: parts whose product is the area
    box = boxes((height, width), tall, area / tall.clamp(min=1e-6), generator)
    step = torch.randint(1, max(count, 2), (1,), generator=generator, device=generator.device)
    partner = (torch.arange(count, device=generator.device) + step) % count
    return Cuts((hit.view(count, 1, 1, 1) & box).to(device), partner.to(device))


def boxes(size: tuple[int, int], tall: Tensor, wide: Tensor, generator: torch.Generator) -> Tensor:
    """Rectangles anywhere inside an image, (B, 1, H, W), bool.

    Args:
        size: (H, W).
        tall: (B, 1), their heights as parts of the image's.
        wide: their widths alike.
        generator: of their places.
    """
    rows = _stretch(size[0], tall, generator)
    columns = _stretch(size[1], wide, generator)
    return rows.view(-1, 1, size[0], 1) & columns.view(-1, 1, 1, size[1])


def cutmix(batch: Batch, generator: torch.Generator, share: float = 1.0) -> Batch:
    """The batch with a rectangle of its partner put into about a share of the samples: image, labels, all of it."""
    cut = cuts(tuple(batch.image.shape), generator, batch.image.device, share)
    return for_each_field(batch, cut.paste)


def _stretch(length: int, part: Tensor, generator: torch.Generator) -> Tensor:
    """Stretches of a part (count, 1) of a length, anywhere inside it: (count, length), bool."""
    start = uniform(0, 1, tuple(part.shape), generator) * (1 - part) * length
    places = torch.arange(length, device=generator.device) + 0.5
    return (places >= start) & (places < start + part * length)

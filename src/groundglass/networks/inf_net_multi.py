"""The multi-class network of Semi-Inf-Net, "& MC" (Fan et al., IEEE TMI 2020, arXiv 2004.14133).

A U-Net on six channels, the picture in three and the prior, Inf-Net's infection map, in three. (FCN8s on the
same six channels, "& FCN8s", is ``fcn8s`` with ``in_channels=6``.)

| here | there |
|---|---|
| ``WIDTHS`` | 64, 128, 256, 512, 512 (released ``InfNet_UNet.py``) |
| ``Up`` | doubling without weights, concatenation, two convolutions, the first to half the channels |

Differences: no biases before batch norm; the released code's three outputs are sigmoids (background, ground
glass, consolidation), here K logits, which the caller may still give to sigmoids.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from groundglass.networks._layers import conv_norm, enlarge
from groundglass.networks._network import Network
from groundglass.networks.unet import double_conv

WIDTHS: Final = (64, 128, 256, 512, 512)


class Up(nn.Module):
    """Bilinear doubling, corners on corners, then two convolutions on it and what went down."""

    def __init__(self, below: int, beside: int, out_channels: int) -> None:
        super().__init__()
        both = below + beside
        self.convs = nn.Sequential(conv_norm(both, both // 2), conv_norm(both // 2, out_channels))

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """(B, below, H, W) and (B, beside, 2 H, 2 W) -> (B, out, 2 H, 2 W)."""
        doubled = enlarge(x, beside.shape[-2:], align_corners=True).to(beside.dtype)
        answer: Tensor = self.convs(torch.cat([beside, doubled], dim=1))
        return answer


class InfNetMulti(Network):
    """Tells the tissues of a lesion apart, given the picture and a map of the lesion."""

    paper = "Fan et al., Inf-Net (multi-class), IEEE TMI 39(8), 2020, arXiv 2004.14133"

    def __init__(self, in_channels: int = 1, classes: int = 4, widths: tuple[int, ...] = WIDTHS) -> None:
        """Make the network.

        Args:
            in_channels: of the image; the paper's is 6, picture and prior.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(double_conv(a, b) for a, b in pairwise([in_channels, *widths]))
        self.pool = nn.MaxPool2d(2)
        beside = widths[-2::-1]  # 512, 256, 128, 64
        out = (*beside[1:], widths[0])  # 256, 128, 64, 64
        below = (widths[-1], *out)
        self.up = nn.ModuleList(Up(a, b, c) for a, b, c in zip(below, beside, out, strict=False))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W): picture and prior in [0, 1]."""
        x = self.down[0](self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(x)
            x = down(self.pool(x))
        for up in self.up:
            x = up(x, beside.pop())
        logits: Tensor = self.head(x)
        return logits

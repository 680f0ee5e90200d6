"""Res2Net: Gao et al., "Res2Net: A new multi-scale backbone architecture", TPAMI 2021 (arXiv 1904.01169).

A ResNet-50 whose bottleneck's 3 x 3 convolution is several small ones in a chain, so that one unit sees several
scales: 26 channels at the first width, in 4 scales.

| variant | differs from a ResNet by | parameters with the classifier |
|---|---|---|
| res2net50_26w_4s | the unit | 25 699 120 |
| res2net50_v1b_26w_4s | the unit, the deep stem and the averaged shortcuts (``resnet.py``); Inf-Net's | 25 718 352 |

The names of parameters are those of the authors' code and of timm (there ``res2net50d`` is v1b).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from groundglass.networks.encoders._weights import Published
from groundglass.networks.encoders.resnet import ResNet, Variant, conv3x3

WIDTH: Final = 26  # channels of a scale where the stage's width is 64
SCALES: Final = 4


class Bottle2neck(nn.Module):
    """Narrow, split into scales, a 3 x 3 convolution for each but the last, widen; beside a shortcut (figure 2b).

    In the first unit of a stage (the one with a shortcut of its own) the scales are not chained, and the last one
    is averaged over 3 x 3 pixels, as in the authors' code.
    """

    def __init__(
        self, in_channels: int, width: int, stride: int, _dilations: tuple[int, int], shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.scale_width = width * WIDTH // 64
        narrow = self.scale_width * SCALES
        self.conv1 = nn.Conv2d(in_channels, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.convs = nn.ModuleList(conv3x3(self.scale_width, self.scale_width, stride) for _ in range(SCALES - 1))
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.scale_width) for _ in range(SCALES - 1))
        self.pool = nn.Identity() if shortcut is None else nn.AvgPool2d(3, stride, 1)
        self.conv3 = nn.Conv2d(narrow, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        *scales, last = self.relu(self.bn1(self.conv1(x))).split(self.scale_width, dim=1)
        seen: list[Tensor] = []
        for scale, conv, bn in zip(scales, self.convs, self.bns, strict=True):
            chained = seen and self.downsample is None
            seen.append(self.relu(bn(conv(scale + seen[-1] if chained else scale))))
        change = self.bn3(self.conv3(torch.cat([*seen, self.pool(last)], dim=1)))
        out: Tensor = self.relu(change + (x if self.downsample is None else self.downsample(x)))
        return out


class Res2Net(ResNet):
    """Features at 1/2 (after the first convolution), 1/4, 1/8, 1/16 and 1/32 (after each of four stages)."""

    output_strides: ClassVar[tuple[int, ...]] = (32,)
    variants: ClassVar[Mapping[str, Variant]] = {
        "res2net50_26w_4s": Variant(
            Bottle2neck,
            4,
            (3, 4, 6, 3),
            Published(
                "res2net50_26w_4s-06e79181.pth",
                "06e79181",
                folder="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-res2net",
            ),
        ),
        "res2net50_v1b_26w_4s": Variant(
            Bottle2neck,
            4,
            (3, 4, 6, 3),
            Published(
                "res2net50_v1b_26w_4s-3cf99910.pth",
                "3cf99910",
                folder="https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net",
            ),
            deep=True,
        ),
    }

"""MobileNetV2: Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018 (arXiv 1801.04381).

Table 2 of the paper; 3 504 872 parameters with the last 1 x 1 convolution and the classifier, which are left out
here. The names of parameters are torchvision's.

| rows | widening | channels | repeats | stride | size of its output |
|---|---|---|---|---|---|
| stem | | 32 | 1 | 2 | 1/2 |
| 0 | 1 | 16 | 1 | 1 | **1/2** |
| 1 | 6 | 24 | 2 | 2 | **1/4** |
| 2 | 6 | 32 | 3 | 2 | **1/8** |
| 3 | 6 | 64 | 4 | 2 | 1/16 |
| 4 | 6 | 96 | 3 | 1 | **1/16** |
| 5 | 6 | 160 | 3 | 2 | 1/32 |
| 6 | 6 | 320 | 1 | 1 | **1/32** |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

from torch import Tensor, nn

from groundglass.networks.encoders._encoder import Encoder, Standardise, dilation
from groundglass.networks.encoders._weights import Fit, Published


class Row(NamedTuple):
    """A row of the table above; ``reduction`` is its output's."""

    widening: int
    channels: int
    repeats: int
    stride: int
    reduction: int


STEM: Final = 32
ROWS: Final = (
    Row(1, 16, 1, 1, 2),
    Row(6, 24, 2, 2, 4),
    Row(6, 32, 3, 2, 8),
    Row(6, 64, 4, 2, 16),
    Row(6, 96, 3, 1, 16),
    Row(6, 160, 3, 2, 32),
    Row(6, 320, 1, 1, 32),
)
SEEN: Final = (0, 1, 2, 4, 6)  # the last row at each size
MODULES: Final = 19  # of torchvision's ``features``: the stem, 17 blocks and the classifier's 1 x 1 convolution


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilated: int = 1) -> nn.Sequential:
    """Convolution (one filter a channel if larger than 1 x 1 within a block), batch norm, ReLU6."""
    groups = in_channels if in_channels == out_channels and kernel > 1 else 1
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, dilated * (kernel // 2), dilated, groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen, a filter a channel, narrow without an activation; the input is added where it fits (figure 4d)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, widening: int, dilated: int = 1) -> None:
        super().__init__()
        wide = in_channels * widening
        self.conv = nn.Sequential(
            *([_conv(in_channels, wide, 1)] if widening > 1 else []),
            _conv(wide, wide, 3, stride, dilated),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        narrow: Tensor = self.conv(x)
        return narrow + x if self.residual else narrow


class MobileNetV2(Encoder):
    """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size, each the last of its size."""

    output_strides: ClassVar[tuple[int, ...]] = (8, 16, 32)
    variants: ClassVar[Mapping[str, Published]] = {
        "mobilenet_v2": Published(
            "mobilenet_v2-b0353104.pth",
            "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            folder="https://download.pytorch.org/models",
        )
    }

    def _build(self, variant: str, depth: int, output_stride: int) -> Fit:
        self.standardise = Standardise(self.in_channels)
        self.channels = tuple(ROWS[row].channels for row in SEEN[:depth])
        blocks: list[nn.Module] = [_conv(self.in_channels, STEM, 3, 2)]
        width, seen = STEM, []
        for index, row in enumerate(ROWS[: SEEN[depth - 1] + 1]):
            blocks.extend(_blocks(width, row, output_stride))
            width = row.channels
            if index in SEEN:
                seen.append(len(blocks) - 1)
        self.features = nn.Sequential(*blocks)
        self.seen = frozenset(seen)
        left_out = ("classifier.", *(f"features.{index}." for index in range(len(blocks), MODULES)))
        return Fit(self.variants[variant], "features.0.0.weight", left_out)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], finest first."""
        x = self.standardise(image)
        seen = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.seen:
                seen.append(x)
        return seen


def _blocks(in_channels: int, row: Row, output_stride: int) -> list[InvertedResidual]:
    """The blocks of a row; the first may halve the size.

    Where it would have but keeps it, the filters after it are spread, so that they see what they would have seen.
    """
    stride = row.stride if row.reduction <= output_stride else 1
    before, after = dilation(row.reduction // row.stride, output_stride), dilation(row.reduction, output_stride)
    first = InvertedResidual(in_channels, row.channels, stride, row.widening, before)
    rest = (InvertedResidual(row.channels, row.channels, 1, row.widening, after) for _ in range(row.repeats - 1))
    return [first, *rest]

"""Layers that several architectures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int] = 3,
    *,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """A convolution that keeps the size, batch norm and, if wanted, ReLU: (B, in, H, W) -> (B, out, H, W).

    There is no bias: batch norm would take it away again.
    """
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (high // 2), dilation * (wide // 2))
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, (high, wide), 1, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class SharedNorm(nn.BatchNorm2d):
    """Batch norm after weights that several populations pass: one weight and bias, statistics of each population's own.

    With one average of all it would answer otherwise in evaluation than it was trained to.
    """

    def __init__(self, channels: int, populations: int) -> None:
        super().__init__(channels)
        self.others = nn.ModuleList(nn.BatchNorm2d(channels, affine=False) for _ in range(populations - 1))

    def forward(self, x: Tensor, population: int = 0) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        if population == 0:
            return super().forward(x)
        normed: Tensor = self.others[population - 1](x)
        return normed * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


def separable(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """A 3 x 3 filter a channel, a mixture of channels, batch norm and ReLU: (B, in, H, W) -> (B, out, H, W)."""
    filters = nn.Conv2d(in_channels, in_channels, 3, 1, dilation, dilation, groups=in_channels, bias=False)
    return nn.Sequential(filters, *conv_norm(in_channels, out_channels, 1))


def up_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Nearest doubling, then a 3 x 3 convolution: (B, in, H, W) -> (B, out, 2 H, 2 W)."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *conv_norm(in_channels, out_channels))


def in_float32(features: Tensor) -> AbstractContextManager[object]:
    """No autocast for what is made of features; where there are but shapes, it has no say."""
    return nullcontext() if features.is_meta else torch.autocast(features.device.type, enabled=False)


def enlarge(x: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Bilinear: (B, C, h, w) -> (B, C, *size), float32, because bfloat16 would round logits to steps."""
    return F.interpolate(x.float(), tuple(size), mode="bilinear", align_corners=align_corners)


class Pooled(nn.Module):
    """Averages over bins x bins parts of the features, mixed and enlarged: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, bins: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(bins)
        self.mix = conv_norm(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same size, smooth between the parts' centres.

        Raises:
            UsageError: one bin of one sample in training: batch norm of a single number is no norm.
        """
        pooled = self.pool(x)
        if self.training and pooled[:, 0].numel() == 1:
            raise UsageError(
                "A network that averages whole images trains on a batch of one.",
                expected="at least two images in a batch",
                remedy="Raise the batch size.",
            )
        return enlarge(self.mix(pooled), x.shape[-2:], align_corners=True).to(x.dtype)

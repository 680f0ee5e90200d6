"""Attention U-Net (Oktay et al., MIDL 2018, arXiv 1804.03999) in two dimensions.

| here | there |
|---|---|
| ``x`` | x^l, the features that a gate filters |
| ``gating`` | g, features from the next coarser size |
| ``of_x``, ``of_gating``, ``score`` | W_x, W_g with b_g, psi with b_psi (equation 1) |
| ``attention`` | alpha in [0, 1], one number a pixel for all channels (equation 2) |

Two forms of the gate:
- ``grid`` (the paper): alpha is computed at the size of g, on x strided by 2, and enlarged bilinearly (the
  paper's volumes: trilinearly); what passes goes through a 1 x 1 convolution with batch norm, as in the
  released code; the image's own size has no gate, because features there say too little.
- otherwise the form that two-dimensional comparisons use (github.com/LeeJunHyun/Image_Segmentation, 34,878,573
  weights; MONAI has this gate): g is first doubled by an up-convolution, alpha is computed at the size of x,
  the three convolutions of the gate have batch norm, and all four sizes are gated.

Differences: 64 to 1024 channels, as U-Net's (released for volumes: 16 to 256); no deep supervision, which the
paper takes over from elsewhere; doubling is nearest with a 3 x 3 convolution, as in that two-dimensional form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from groundglass.networks._layers import conv_norm, enlarge, up_conv
from groundglass.networks._network import Network
from groundglass.networks.unet import double_conv


class GridGate(nn.Module):
    """Equations 1 and 2, at the size of the gating signal."""

    def __init__(self, channels: int, gating_channels: int) -> None:
        super().__init__()
        self.of_x = nn.Conv2d(channels, channels, 2, stride=2, bias=False)
        self.of_gating = nn.Conv2d(gating_channels, channels, 1)
        self.score = nn.Conv2d(channels, 1, 1)
        self.passed = conv_norm(channels, channels, 1, relu=False)

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """Features (B, C, H, W) and their gating signal (B, G, H / 2, W / 2) -> filtered features."""
        score = self.score((self.of_gating(gating) + self.of_x(x)).relu())
        attention = enlarge(score.sigmoid(), x.shape[-2:])
        passed: Tensor = self.passed(x * attention.to(x.dtype))
        return passed


class Gate(nn.Module):
    """Equations 1 and 2, at the size of the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = channels // 2
        self.of_x = conv_norm(channels, between, 1, relu=False)
        self.of_gating = conv_norm(channels, between, 1, relu=False)
        self.score = conv_norm(between, 1, 1, relu=False)

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """Features (B, C, H, W) and their gating signal of the same shape -> filtered features."""
        attention: Tensor = self.score((self.of_gating(gating) + self.of_x(x)).relu()).sigmoid()
        return x * attention


class AttentionUNet(Network):
    """A U-Net whose skip connections let through what coarser features ask for."""

    paper = "Oktay et al., Attention U-Net, MIDL 2018, arXiv 1804.03999"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        grid: bool = True,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
            grid: the paper's gates; otherwise those of two-dimensional comparisons.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.stride = 2 ** (len(widths) - 1)
        self.grid = grid
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList([double_conv(in_channels, widths[0]), *(double_conv(a, b) for a, b in pairs)])
        self.pool = nn.MaxPool2d(2)
        self.raise_ = nn.ModuleList(up_conv(b, a) for a, b in reversed(pairs))
        gates: list[nn.Module] = [GridGate(a, b) if grid else Gate(a) for a, b in reversed(pairs)]
        self.gates = nn.ModuleList([*gates[:-1], nn.Identity()] if grid else gates)
        self.up = nn.ModuleList(double_conv(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        x = self.down[0](self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(self.between(x))
            x = down(self.pool(x))
        x = self.between(x)
        for raise_, gate, up in zip(self.raise_, self.gates, self.up, strict=True):
            raised, skip = raise_(x), beside.pop()
            if not isinstance(gate, nn.Identity):
                skip = gate(skip, x if self.grid else raised)
            x = up(torch.cat([skip, raised], dim=1))
        logits: Tensor = self.head(x)
        return logits

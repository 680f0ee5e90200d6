"""DRSegUNet, a deep residual U-Net on 512 x 512 slices (Balantrapu, MSc thesis, Birmingham 2021, tables 2 to 11).

| here | there |
|---|---|
| ``Stem`` | table 2 |
| ``down`` | encoder 1 to 4: a pre-activated residual unit of stride 2 each (tables 3 to 6) |
| ``bridge`` | table 7 |
| ``Up`` | decoder 1 to 4: up-sampling, concatenation, a residual unit of stride 1 (tables 8 to 11) |
| ``Residual.short`` | the convolution and batch norm on the unit's own input |
| ``upsampling`` | section 5.3's ablation: transposed convolution, or Upsampling2D, nearest or bilinear |

Where the tables contradict themselves or the count, the count decides: 5,484,276 weights (section 5.3) are
these layers with one input channel, four classes and batch norm's running mean and variance counted in.
- Shortcuts are 1 x 1 convolutions (the tables say 3 x 3, which makes 6,877,044).
- The bridge has no shortcut (table 7; the text says residual).
- Encoder 2's second activation follows its own batch norm, and its sum its second convolution (table 4 has
  batch-norm-5 and conv2d-6); decoder batch norms see the concatenation (tables 8 to 11 name the encoder's sum).
- Biases before a batch norm change nothing and are kept for the count.

Softmax is the caller's. Strided layers pad all sides alike; Keras pads below and right, which learnt filters
make up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._again import again, at_once
from groundglass.networks._network import Network

UPSAMPLING: Final = ("transposed", "nearest", "bilinear")


def activated(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Batch norm, ReLU, 3 x 3 convolution: (B, in, H, W) -> (B, out, H / stride, W / stride)."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), nn.Conv2d(in_channels, out_channels, 3, stride, 1)
    )


def shortcut(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """1 x 1 convolution, batch norm: (B, in, H, W) -> (B, out, H / stride, W / stride)."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class Stem(nn.Module):
    """Table 2: the first convolution has nothing before it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1), activated(out_channels, out_channels)
        )
        self.short = shortcut(in_channels, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        answer: Tensor = self.main(image) + self.short(image)
        return answer


class Residual(nn.Module):
    """Two pre-activated convolutions, the first of the given stride, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(activated(in_channels, out_channels, stride), activated(out_channels, out_channels))
        self.short = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        answer: Tensor = self.main(x) + self.short(x)
        return answer


class Up(nn.Module):
    """Doubling, the features that went down beside it, a residual unit."""

    def __init__(self, below: int, beside: int, out_channels: int, upsampling: str) -> None:
        super().__init__()
        transposed = upsampling == "transposed"
        self.raise_: nn.Module = (
            nn.ConvTranspose2d(below, out_channels, 3, stride=2, padding=1, output_padding=1)
            if transposed
            else nn.Upsample(scale_factor=2, mode=upsampling)
        )
        self.residual = Residual((out_channels if transposed else below) + beside, out_channels, stride=1)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """(B, below, H, W) and (B, beside, 2 H, 2 W) -> (B, out, 2 H, 2 W)."""
        answer: Tensor = self.residual(torch.cat([self.raise_(x), beside], dim=1))
        return answer


class DRSegUNet(Network):
    """A U-Net of pre-activated residual units that halves by strides instead of pooling."""

    paper = "Balantrapu, DRSegUNet, MSc thesis, University of Birmingham, 2021"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        upsampling: str = "transposed",
        checkpointing: bool = False,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels of the stem and of each encoder; a decoder has those of the encoder of
                its number from below: 256, 128, 64, 32.
            upsampling: ``transposed``, ``nearest`` or ``bilinear``.
            checkpointing: each unit is computed again for its gradient (``networks._again``): more time, less memory.

        Raises:
            UsageError: another way of up-sampling.
        """
        super().__init__()
        if upsampling not in UPSAMPLING:
            raise UsageError(
                f"DRSegUNet has no up-sampling {upsampling!r}.",
                expected=f"one of {', '.join(UPSAMPLING)}",
                remedy="Take 'transposed', the thesis's choice.",
            )
        self.in_channels, self.classes, self.checkpointing = in_channels, classes, checkpointing
        self.stride = 2 ** (len(widths) - 1)
        self.stem = Stem(in_channels, widths[0])
        self.down = nn.ModuleList(Residual(a, b, stride=2) for a, b in pairwise(widths))
        self.bridge = nn.Sequential(activated(widths[-1], widths[-1]), activated(widths[-1], widths[-1]))
        below = (widths[-1], *reversed(widths[1:]))
        self.up = nn.ModuleList(
            Up(low, beside, out, upsampling)
            for (low, out), beside in zip(pairwise(below), reversed(widths[:-1]), strict=True)
        )
        self.head = nn.Conv2d(widths[1], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W), by the thesis of mean 0 and deviation 1."""
        run = again if self.checkpointing else at_once
        x = run(self.stem, self.check(image))
        beside = []
        for down in self.down:
            beside.append(self.between(x))
            x = run(down, x)
        x = self.between(run(self.bridge, x))
        for up in self.up:
            x = run(up, x, beside.pop())
        logits: Tensor = self.head(x)
        return logits

"""The plain U-Net that DRSegUNet is compared with: 2,158,468 weights.

Balantrapu, MSc thesis, University of Birmingham, 2021, section 5.3.

| here | there |
|---|---|
| ``widths`` | 16 "start neurons", doubled at each of four halvings |
| no normalisation | what the count leaves room for |
| ``raise_`` | 3 x 3 transposed convolutions to half the width, stride 2 |

The thesis gives only the count; with four classes and biases these choices meet it exactly. Ronneberger et
al.'s own U-Net is ``unet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from groundglass.networks._again import again, at_once
from groundglass.networks._network import Network


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with ReLU: (B, in, H, W) -> (B, out, H, W)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class PlainUNet(Network):
    """A narrow U-Net without normalisation."""

    paper = "Ronneberger, Fischer and Brox, U-Net, MICCAI 2015; as counted by Balantrapu (DRSegUNet), 2021"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        checkpointing: bool = False,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
            checkpointing: each pair of convolutions is computed again for its gradient (``networks._again``).
        """
        super().__init__()
        self.in_channels, self.classes, self.checkpointing = in_channels, classes, checkpointing
        self.stride = 2 ** (len(widths) - 1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(double_conv(a, b) for a, b in [(in_channels, widths[0]), *pairs])
        self.pool = nn.MaxPool2d(2)
        self.raise_ = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 3, stride=2, padding=1, output_padding=1) for a, b in reversed(pairs)
        )
        self.up = nn.ModuleList(double_conv(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # nothing else keeps the scale

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        run = again if self.checkpointing else at_once
        x = run(self.down[0], self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(self.between(x))
            x = run(down, self.pool(x))
        x = self.between(x)
        for raise_, up in zip(self.raise_, self.up, strict=True):
            x = run(up, torch.cat([beside.pop(), raise_(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits

"""U-Net (Ronneberger, Fischer and Brox, MICCAI 2015, arXiv 1505.04597), padded and with batch norm.

| here | there |
|---|---|
| ``widths`` | feature channels of figure 1: 64, 128, 256, 512, 1024 |
| padded convolutions | (ours) unpadded ones, which shrink 572 to 388 pixels |
| batch norm after each convolution | (ours) none; dropout at the bottom |
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from groundglass.networks._network import Network


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch norm and ReLU: (B, in, H, W) -> (B, out, H, W)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class UNet(Network):
    """Down with pooling, up with 2 x 2 up-convolutions, and at each size what went down is put beside."""

    paper = "Ronneberger, Fischer and Brox, U-Net, MICCAI 2015, arXiv 1505.04597"
    changeable = True

    def __init__(
        self, in_channels: int = 1, classes: int = 4, widths: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest; each further one
                halves once more.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.stride = 2 ** (len(widths) - 1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList([double_conv(in_channels, widths[0]), *(double_conv(a, b) for a, b in pairs)])
        self.pool = nn.MaxPool2d(2)
        self.raise_ = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.up = nn.ModuleList(double_conv(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.head:  # section 3: sqrt(2 / N)
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        x = self.down[0](self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(self.between(x))
            x = down(self.pool(x))
        x = self.between(x)
        for raise_, up in zip(self.raise_, self.up, strict=True):
            x = up(torch.cat([beside.pop(), raise_(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits

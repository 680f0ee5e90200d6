"""TV-UNet (Saeedizadeh et al., arXiv 2007.12303; Comput. Methods Programs Biomed. Update 2021).

A U-Net with dropout, trained with a term that promotes connectivity: total variation, which is
``groundglass.losses.connectivity``.

| here | there |
|---|---|
| ``widths`` | 64 filters, doubled at each of four halvings (``n_filters=64`` of the released training) |
| ``dropout`` | 0.2 (released training), after each pooling and before each convolution block of the way up |
| batch norm | on (released training) |

The paper calls the network "similar to U-Net" and its released training names no more than this table; the
places of the dropout are those of the Keras U-Net whose arguments it uses (ours, so far as it goes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundglass.networks.unet import UNet


class TVUNet(UNet):
    """A U-Net with dropout on both ways."""

    paper = "Saeedizadeh et al., COVID TV-UNet, Comput. Methods Programs Biomed. Update 2021, arXiv 2007.12303"

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        dropout: float = 0.2,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
            dropout: the share of features that a training step leaves out, in [0, 1).
        """
        super().__init__(in_channels, classes, widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        x = self.down[0](self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(self.between(x))
            x = down(self.dropout(self.pool(x)))
        x = self.between(x)
        for raise_, up in zip(self.raise_, self.up, strict=True):
            x = up(self.dropout(torch.cat([beside.pop(), raise_(x)], dim=1)))
        logits: Tensor = self.head(x)
        return logits

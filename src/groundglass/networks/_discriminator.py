"""The discriminator that tells predictions from labels, pixel by pixel: Hung et al., BMVC 2018 (arXiv 1802.07934).

Five 4 x 4 convolutions of stride 2 with 64, 128, 256, 512 and 1 channels, LeakyReLU 0.2 between them, and bilinear
enlargement to the size of what came in. Jin et al. (Inform. Sci. 2022) call its answer the confidence map, and say no
more of it than that it is fully convolutional.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import enlarge

WIDTHS: Final = (64, 128, 256, 512)
SMALLEST: Final = 2 ** (len(WIDTHS) + 1)


class Discriminator(nn.Module):
    """How much a map of classes looks like a label."""

    def __init__(self, classes: int) -> None:
        """Make the discriminator of maps with K classes."""
        super().__init__()
        layers: list[nn.Module] = []
        for wide, wider in pairwise((classes, *WIDTHS)):
            layers += [nn.Conv2d(wide, wider, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 1, 4, 2, 1))

    def forward(self, probability: Tensor) -> Tensor:
        """Logits (B, 1, H, W), float32, of probabilities or one-hot labels (B, K, H, W).

        Raises:
            UsageError: a side of less than 32 pixels, of which nothing would be left.
        """
        if min(probability.shape[-2:]) < SMALLEST:
            raise UsageError(
                f"The discriminator got pictures of {tuple(probability.shape[-2:])} pixels.",
                expected=f"at least {SMALLEST} x {SMALLEST}",
                remedy="Prepare them at such a size.",
            )
        return enlarge(self.layers(probability), probability.shape[-2:])

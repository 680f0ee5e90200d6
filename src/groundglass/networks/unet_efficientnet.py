"""A U-Net whose way down is EfficientNet-Lite0, pre-trained on ImageNet if wanted.

Ronneberger et al. (arXiv 1505.04597) for the way up, with nearest-neighbour doubling for up-convolutions
(Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016); Tan and Le (arXiv 1905.11946) for
the way down.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._network import Network
from groundglass.networks.encoders.efficientnet import EfficientNet
from groundglass.networks.unet import double_conv


class UNetEfficientNet(Network):
    """Five halvings by the encoder, five doublings by the decoder.

    ``encoder`` and ``decoder`` (with ``head``) are submodules of their own, so that a training can move the
    pre-trained one at a slower rate.
    """

    stride = EfficientNet.stride

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        weights: str | None = None,
        widths: Sequence[int] = (256, 128, 64, 32, 16),
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: feature channels of the way up, from 1/16 of the image's size to its own. With four, the
                logits at half its size are doubled bilinearly: an eighth less work.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = EfficientNet(in_channels, weights)
        *beside, below = self.encoder.channels
        if not 1 <= len(widths) <= len(self.encoder.channels):
            raise UsageError(
                f"{len(widths)} widths of the way up.",
                expected=f"1 to {len(self.encoder.channels)}",
                remedy="Give one for each doubling, from the smallest size.",
            )
        below_each = (below, *widths)
        beside_each = (*reversed(beside), 0)
        self.decoder = nn.ModuleList(
            double_conv(low + skip, out) for low, skip, out in zip(below_each, beside_each, widths, strict=False)
        )
        self.head = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        *beside, x = self.encoder(self.check(image))
        for decode in self.decoder:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest-exact")
            if beside:
                x = torch.cat([beside.pop(), x], dim=1)
            x = decode(x)
        logits: Tensor = self.head(x)
        if logits.shape[-2:] != image.shape[-2:]:
            logits = F.interpolate(logits.float(), image.shape[-2:], mode="bilinear", align_corners=False)
        return logits

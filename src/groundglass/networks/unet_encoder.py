"""A U-Net whose way down is an encoder of ``networks/encoders``, pre-trained on ImageNet if wanted.

Ronneberger et al. (arXiv 1505.04597) for the way up, with nearest-neighbour doubling for up-convolutions
(Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016), batch norm and padded convolutions.

StichNet and StitchNet compare with it over ``resnext50_32x4d`` and ``mobilenet_v2``. With the same widths it is
the U-Net of segmentation_models.pytorch but for its head (there 3 x 3, here the paper's 1 x 1), and but for
VGG's features at the image's own size, which that leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import enlarge
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder
from groundglass.networks.unet import double_conv


class WayUp(nn.ModuleList):
    """Doublings, each with the features that went down at its size beside it.

    Attributes:
        channels: of what comes out.
    """

    def __init__(self, beside: Mapping[int, int], widths: Sequence[int]) -> None:
        """Make the way up.

        Args:
            beside: channels of the features at each reduction of the image.
            widths: feature channels, one for each doubling.

        Raises:
            UsageError: more widths than anything could use, or none.
        """
        if not 1 <= len(widths) <= 5:
            raise UsageError(
                f"{len(widths)} widths of the way up.",
                expected="1 to 5",
                remedy="Give one for each doubling, from the smallest size.",
            )
        bottom = max(beside)
        self.reductions = [bottom >> doubling for doubling in range(1, bottom.bit_length())]  # 16, 8, 4, 2, 1
        below_each = (beside[bottom], *widths)
        super().__init__(
            double_conv(low + beside.get(reduction, 0), out)
            for low, reduction, out in zip(below_each, self.reductions, widths, strict=False)
        )
        self.channels = widths[: len(self)][-1]

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        """Features (B, C, H / reduction, W / reduction) by reduction -> (B, channels, H', W')."""
        x = features[max(features)]
        for decode, reduction in zip(self, self.reductions, strict=False):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            if reduction in features:
                x = torch.cat([features[reduction], x], dim=1)
            x = decode(x)
        return x


class UNetEncoder(Network):
    """As many doublings by the decoder as the encoder halves.

    ``encoder`` and ``decoder`` (with ``head``) are submodules of their own, so that a training can move the
    pre-trained one at a slower rate.
    """

    paper = "Ronneberger, Fischer and Brox, U-Net, MICCAI 2015, arXiv 1505.04597; over any encoder"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "resnet34",
        weights: str | None = None,
        widths: Sequence[int] = (256, 128, 64, 32, 16),
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            encoder: one of ``encoders.encoder_names()``.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: feature channels of the way up, one for each doubling; those that an encoder with fewer
                halvings (VGG) has no use for are left out at the end. With fewer, the logits are made at a smaller
                size and doubled bilinearly.

        Raises:
            UsageError: more widths than anything could use, or none.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = make_encoder(encoder, in_channels, weights=weights)
        self.stride = self.encoder.reductions[-1]
        self.decoder = WayUp(dict(zip(self.encoder.reductions, self.encoder.channels, strict=True)), widths)
        self.head = nn.Conv2d(self.decoder.channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        seen = [self.between(features) for features in self.encoder(self.check(image))]
        x = self.decoder(dict(zip(self.encoder.reductions, seen, strict=True)))
        logits: Tensor = self.head(x)
        return logits if logits.shape[-2:] == image.shape[-2:] else enlarge(logits, image.shape[-2:])

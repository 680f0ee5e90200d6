"""DeepLabV3+ (Chen, Zhu, Papandreou, Schroff and Adam, ECCV 2018, arXiv 1802.02611).

| here | there |
|---|---|
| ``encoder``, ``output_stride`` | the backbone, its last stages dilated for 16 or 8 |
| ``Pyramid`` | ASPP: 1 x 1, three atrous separable 3 x 3 and image pooling, 256 channels each (section 3.1) |
| ``rates`` | 6, 12, 18 at output stride 16, doubled at 8 |
| ``narrow`` | 1 x 1 on the low-level features, to 48 channels (table 1) |
| ``refine`` | two 3 x 3 x 256 (table 2), separable |

The backbone is the paper's ResNet-101; its modified Xception is not here. The paper is silent on: bilinear
enlargement with corners on corners (released code), dropout of 0.5 after the pyramid (torchvision, smp).
segmentation_models.pytorch has the same pyramid, but by default rates of 12, 24, 36 at 16, one more convolution
after the pyramid and one fewer in the decoder; here it is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import Pooled, conv_norm, enlarge, separable
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder

CHANNELS: Final = 256
NARROW: Final = 48
RATES: Final = {16: (6, 12, 18), 8: (12, 24, 36)}  # by output stride


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: what is at a place, around it at three distances, and on the whole."""

    def __init__(self, in_channels: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_norm(in_channels, CHANNELS, 1),
                *(separable(in_channels, CHANNELS, rate) for rate in rates),
                Pooled(in_channels, CHANNELS, bins=1),
            ]
        )
        self.mix = nn.Sequential(conv_norm(len(self.branches) * CHANNELS, CHANNELS, 1), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, 256, h, w)."""
        mixed: Tensor = self.mix(torch.cat([branch(x) for branch in self.branches], dim=1))
        return mixed


class DeepLabV3Plus(Network):
    """A dilated encoder, an atrous pyramid, and a small decoder that sees the edges again."""

    paper = "Chen, Zhu, Papandreou, Schroff and Adam, DeepLabV3+, ECCV 2018, arXiv 1802.02611"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "resnet101",
        weights: str | None = None,
        output_stride: int = 16,
        dropout: float = 0.5,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            encoder: one of ``encoders.encoder_names()`` that has this output stride: a ResNet or MobileNetV2.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            output_stride: 16, or 8 for finer features at about three times the work.
            dropout: the share of the pyramid's features that a training step leaves out, in [0, 1).

        Raises:
            UsageError: another output stride.
        """
        super().__init__()
        if output_stride not in RATES:
            raise UsageError(
                f"DeepLabV3+ has no output stride {output_stride}.", expected="16 or 8", remedy="Take one of these."
            )
        self.in_channels, self.classes = in_channels, classes
        self.stride = output_stride
        self.encoder = make_encoder(encoder, in_channels, weights=weights, output_stride=output_stride)
        self.low = self.encoder.reductions.index(4)
        self.pyramid = Pyramid(self.encoder.channels[-1], RATES[output_stride], dropout)
        self.narrow = conv_norm(self.encoder.channels[self.low], NARROW, 1)
        self.refine = nn.Sequential(separable(CHANNELS + NARROW, CHANNELS), separable(CHANNELS, CHANNELS))
        self.head = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        seen = self.encoder(self.check(image))
        low = self.narrow(self.between(seen[self.low]))
        high = enlarge(self.pyramid(self.between(seen[-1])), low.shape[-2:], align_corners=True).to(low.dtype)
        x = self.refine(torch.cat([high, low], dim=1))
        return enlarge(self.head(x), image.shape[-2:], align_corners=True)

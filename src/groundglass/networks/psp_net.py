"""PSPNet (Zhao, Shi, Qi, Wang and Jia, CVPR 2017, arXiv 1612.01105).

| here | there |
|---|---|
| ``encoder`` | ResNet-50, its last two stages dilated: features at 1/8 |
| ``pyramid`` | the pyramid pooling module: 1, 2, 3 and 6 bins a side, a quarter of the channels each |
| ``mix`` | 3 x 3 x 512, dropout of 0.1 (released code) |
| ``auxiliary`` | the second loss, on the stage before the last (section 3.3; weighed 0.4) |

Differences: the encoder has the plain stem (released: three 3 x 3 convolutions) and sizes are multiples of 8
(released: those plus 1, for corners on corners). segmentation_models.pytorch by default reads an encoder of
three stages without dilation, mixes with 1 x 1 and classifies with 3 x 3; here it is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundglass.networks._layers import Pooled, conv_norm, enlarge
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder


def classifier(in_channels: int, between: int, dropout: float) -> nn.Sequential:
    """3 x 3 convolution and dropout of channels before the classes: (B, in, h, w) -> (B, between, h, w)."""
    return nn.Sequential(conv_norm(in_channels, between), nn.Dropout2d(dropout))


class PSPNet(Network):
    """A dilated encoder, and averages over the image's parts beside every place."""

    paper = "Zhao, Shi, Qi, Wang and Jia, PSPNet, CVPR 2017, arXiv 1612.01105"
    stride = 8

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "resnet50",
        weights: str | None = None,
        bins: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        auxiliary: bool = False,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            encoder: one of ``encoders.encoder_names()`` that has output stride 8: a ResNet or MobileNetV2.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            bins: parts a side of each level of the pyramid.
            dropout: the share of channels that a training step leaves out, in [0, 1).
            auxiliary: answer after the last stage but one, too (``forward_all``).
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = make_encoder(encoder, in_channels, weights=weights, output_stride=self.stride)
        *_, before, last = self.encoder.channels
        self.pyramid = nn.ModuleList(Pooled(last, last // len(bins), size) for size in bins)
        self.mix = classifier(last + len(bins) * (last // len(bins)), 512, dropout)
        self.head = nn.Conv2d(512, classes, 1)
        if auxiliary:
            self.auxiliary = nn.Sequential(classifier(before, 256, dropout), nn.Conv2d(256, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        return self.forward_all(image)["logits"]

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """``logits``, and ``auxiliary`` if asked for: (B, K, H, W) each."""
        *_, before, last = self.encoder(self.check(image))
        answers = {"logits": self.head(self.mix(torch.cat([last, *(part(last) for part in self.pyramid)], dim=1)))}
        if hasattr(self, "auxiliary"):
            answers["auxiliary"] = self.auxiliary(before)
        return {name: enlarge(x, image.shape[-2:], align_corners=True) for name, x in answers.items()}

"""FCN-8s (Long, Shelhamer and Darrell, CVPR 2015, arXiv 1411.4038; PAMI 2017, arXiv 1605.06211).

| here | there |
|---|---|
| ``encoder`` | VGG16's convolutions; each feature pooled is pool3, pool4, pool5 |
| ``fc6``, ``fc7`` | its fully connected layers as convolutions, 4096 channels, dropout of 0.5 |
| ``score_fr``, ``score_pool4``, ``score_pool3`` | 1 x 1 to the classes at 1/32, 1/16 and 1/8 |
| ``raise_`` | up-sampling by 2, learnt, begun as bilinear |
| the last enlargement, by 8 | fixed, bilinear |

Differences: layers keep the size (fc6 is padded by 3), where the released network pads the image by 100 and crops
what is left over; sizes are multiples of 32 instead. fc6 and fc7 start at random, because the encoder's weights
hold no classifier. The scores do not start at zero, so that from the first step every weight moves.

Semi-Inf-Net's "& FCN8s" is this with ``in_channels=6``, picture and prior.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.networks._layers import enlarge, in_float32
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder


def bilinear_doubling(channels: int) -> nn.ConvTranspose2d:
    """A transposed convolution, 4 x 4 and stride 2, that begins as bilinear enlargement of each channel."""
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = torch.outer(taps, taps)
    return layer


class FCN8s(Network):
    """VGG16 made convolutional; scores at three sizes are added from coarse to fine."""

    paper = "Long, Shelhamer and Darrell, Fully convolutional networks, CVPR 2015, arXiv 1411.4038"
    stride = 32

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        weights: str | None = None,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            weights: of VGG16: ``imagenet``, the path of a file, or ``None`` for random ones.
            hidden: channels of fc6 and fc7; 4096 make 119 of the 134 million weights.
            dropout: the share of those channels that a training step leaves out, in [0, 1).
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = make_encoder("vgg16", in_channels, depth=6, weights=weights)
        *_, pool3, pool4, _, pool5 = self.encoder.channels
        self.fc6 = nn.Conv2d(pool5, hidden, 7, padding=3)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.dropout = nn.Dropout2d(dropout)
        self.score_fr = nn.Conv2d(hidden, classes, 1)
        self.score_pool4 = nn.Conv2d(pool4, classes, 1)
        self.score_pool3 = nn.Conv2d(pool3, classes, 1)
        self.raise_ = nn.ModuleList([bilinear_doubling(classes), bilinear_doubling(classes)])

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        *_, third, fourth, _, pool5 = self.encoder(self.check(image))
        x = self.dropout(F.relu(self._seen_by_fc6(pool5)))
        x = self.dropout(F.relu(self.fc7(x)))
        x = self.raise_[0](self.score_fr(x)) + self.score_pool4(F.max_pool2d(fourth, 2))
        x = self.raise_[1](x) + self.score_pool3(F.max_pool2d(third, 2))
        return enlarge(x, image.shape[-2:])

    def _seen_by_fc6(self, pool5: Tensor) -> Tensor:
        """fc6; in float32 where the picture is so small that some of its taps see nothing but what was padded.

        oneDNN (3.x, as torch 2.13 brings it) does not write such taps' gradients in bf16: they are what memory held.
        """
        small = min(pool5.shape[-2:]) < self.fc6.kernel_size[0] // 2
        with in_float32(pool5) if small else nullcontext():
            seen: Tensor = self.fc6(pool5.float() if small else pool5)
        return seen

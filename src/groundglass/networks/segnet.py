"""SegNet (Badrinarayanan, Kendall and Cipolla, PAMI 2017, arXiv 1511.00561).

| here | there |
|---|---|
| ``stages`` | the 13 convolutions of VGG16, (channels, convolutions) between poolings |
| ``down`` | the encoder, batch norm after each convolution |
| ``unpool`` | the decoder's up-sampling: what pooling remembered goes back to where it was, zeros elsewhere |
| ``up`` | the decoder, the encoder mirrored (released ``segnet_inference.prototxt``) |

Differences: no biases before batch norm; a last convolution of 3 x 3 without batch norm gives the classes, as
released. The paper starts from ImageNet's VGG16: ``weights``; one channel gets the sum of three.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from groundglass.networks._layers import conv_norm
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def unpool(x: Tensor, places: Tensor) -> Tensor:
    """Maxima (B, C, H, W) back at the flat places they came from: (B, C, 2 H, 2 W), 0 elsewhere.

    ``nn.MaxUnpool2d`` by a scatter, which also exports to ONNX.
    """
    batch, channels, height, width = x.shape
    empty = x.new_zeros(batch, channels, 4 * height * width)
    return empty.scatter(2, places.flatten(2), x.flatten(2)).view(batch, channels, 2 * height, 2 * width)


def convolutions(widths: Sequence[int]) -> nn.Sequential:
    """3 x 3 convolutions with batch norm and ReLU, from each width to the next."""
    return nn.Sequential(*(conv_norm(a, b) for a, b in pairwise(widths)))


class SegNet(Network):
    """VGG16 down, its mirror up, and only the places of the maxima go across."""

    paper = "Badrinarayanan, Kendall and Cipolla, SegNet, PAMI 39(12), 2017, arXiv 1511.00561"

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        weights: str | None = None,
        stages: Sequence[tuple[int, int]] = VGG16,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            weights: of VGG16, for the encoder's convolutions: ``imagenet``, a path, or ``None`` for random ones.
            stages: channels and number of convolutions at each size, from the image's own.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.stride = 2 ** len(stages)
        before = [in_channels, *(channels for channels, _ in stages[:-1])]
        self.down = nn.ModuleList(
            convolutions([first, *[channels] * count]) for first, (channels, count) in zip(before, stages, strict=True)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.up = nn.ModuleList(
            convolutions([*[channels] * count, first])
            for first, (channels, count) in zip(before[:0:-1], stages[:0:-1], strict=True)
        )
        channels, count = stages[0]
        self.up.append(convolutions([channels] * count))
        self.head = nn.Conv2d(channels, classes, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # "msra" as released
        if weights is not None:
            self._start_from_vgg16(weights)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        x = self.check(image)
        remembered = []
        for down in self.down:
            x, places = self.pool(down(x))
            remembered.append(places)
        for up in self.up:
            x = up(unpool(x, remembered.pop()))
        logits: Tensor = self.head(x)
        return logits

    def _start_from_vgg16(self, weights: str) -> None:
        encoder = make_encoder("vgg16", self.in_channels, weights=weights)
        with torch.no_grad():
            for ours, theirs in zip(_convolutions(self.down), _convolutions(encoder), strict=True):
                ours.weight.copy_(theirs.weight)


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]

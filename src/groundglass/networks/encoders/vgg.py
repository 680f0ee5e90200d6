"""VGG-16: Simonyan and Zisserman, ICLR 2015 (arXiv 1409.1556), configuration D of its table 1.

| variant | | parameters with the classifier |
|---|---|---|
| vgg16 | as published | 138 357 544 |
| vgg16_bn | with batch norm after each convolution (Ioffe and Szegedy, arXiv 1502.03167) | 138 365 992 |

The names of parameters are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

from torch import Tensor, nn

from groundglass.networks.encoders._encoder import Encoder, Standardise
from groundglass.networks.encoders._weights import Fit, Published

PUBLISHER: Final = "https://download.pytorch.org/models"
WIDTHS: Final = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # between the poolings
MODULES: Final = 44  # of ``features`` with batch norm, the most


class Variant(NamedTuple):
    """A row of the table above."""

    batch_norm: bool
    published: Published


class VGG(Encoder):
    """Features at the image's own size, 1/2, 1/4, 1/8 and 1/16, each before it is pooled; the sixth is the last pooled.

    The default depth of 5 therefore ends at 1/16; pooling (``F.max_pool2d(feature, 2)``) gives the "pool3" and so on
    of other papers.
    """

    reductions_of_all: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16, 32)
    output_strides: ClassVar[tuple[int, ...]] = (32,)
    variants: ClassVar[Mapping[str, Variant]] = {
        name: Variant(name.endswith("bn"), Published(f"{name}-{sha256[:8]}.pth", sha256, folder=PUBLISHER))
        for name, sha256 in (
            ("vgg16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
            ("vgg16_bn", "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a"),
        )
    }

    def _build(self, variant: str, depth: int, output_stride: int) -> Fit:
        del output_stride  # there is one
        kind = self.variants[variant]
        self.standardise = Standardise(self.in_channels)
        self.channels = tuple(widths[-1] for widths in (*WIDTHS, WIDTHS[-1])[:depth])
        layers: list[nn.Module] = []
        below = self.in_channels
        for index, widths in enumerate(WIDTHS[:depth]):
            if index:
                layers.append(nn.MaxPool2d(2))
            for width in widths:
                layers.append(nn.Conv2d(below, width, 3, padding=1))
                if kind.batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                below = width
        if depth > len(WIDTHS):
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        left_out = ("classifier.", *(f"features.{index}." for index in range(len(layers), MODULES)))
        return Fit(kind.published, "features.0.weight", left_out)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], finest first."""
        x = self.standardise(image)
        seen = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                seen.append(x)
            x = layer(x)
        return [*seen, x]

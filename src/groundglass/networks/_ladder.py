"""What networks have in common that generate a picture and its segmentation from ladders of latents.

StichNet (Zammit, 2020) and StitchNet (Zammit et al., 2022). What they infer of a level and what they expect of it are
put together by their precisions, as in LVAE (Sonderby et al., arXiv 1602.02282).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._network import Network
from groundglass.networks._normal import Normal, weighted
from groundglass.networks.encoders import Encoder, make_encoder

SMALLEST: Final = 1e-3  # variance of a latent


@dataclass(frozen=True, eq=False)
class Generated:
    """What latents become.

    Attributes:
        logits: (B, S, H, W), of which style a pixel is from; S is K unless classes have several styles.
        styles: (B, n S, H, W), the n numbers that each style says of a pixel: first one's of all styles, then the next.
    """

    logits: Tensor
    styles: Tensor


@dataclass(frozen=True, eq=False)
class Inferred(Generated):
    """And where the latents are from: of each level, finest first, z (B, C, h, w), q(z | x) and p(z | coarser z)."""

    z: tuple[Tensor, ...]
    posterior: tuple[Normal, ...]
    prior: tuple[Normal, ...]


class Drawn:
    """Levels of a ladder as they are drawn, coarsest first; kept finest first."""

    def __init__(self, generator: torch.Generator | None) -> None:
        """Of a generator; without one each level's mean is taken."""
        self.generator = generator
        self.z: list[Tensor] = []
        self.posterior: list[Normal] = []
        self.prior: list[Normal] = []

    def add(self, found: Normal, expected: Normal) -> Tensor:
        """The next level's z, of what is seen in the picture and what is expected of coarser latents."""
        both = weighted(found, expected)
        self.prior.insert(0, expected)
        self.posterior.insert(0, both)
        self.z.insert(0, both.drawn(self.generator))
        return self.z[0]


class Ladder(Network):
    """Base of these networks: they segment, from the means of their latents; ``infer`` samples them.

    Attributes:
        levels: what each level of latents is called, in the order of ``Inferred``.
        styles_of: how many styles each class has.
    """

    levels: tuple[str, ...]

    def __init__(self, in_channels: int, classes: int, styles_of: Sequence[int] | None) -> None:
        """Check the styles.

        Args:
            in_channels: of the image; what is generated has one.
            classes: of the segmentation.
            styles_of: how many styles each class has, one by default; of one class it has one.

        Raises:
            UsageError: a class without styles.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.styles_of = tuple(styles_of or (1,) * classes) if classes > 1 else (1,)
        if len(self.styles_of) != classes or min(self.styles_of) < 1:
            raise UsageError(
                f"{type(self).__name__} has {classes} classes, of {self.styles_of} styles.",
                expected="a number for each class that the labels tell apart, 1 or more",
                remedy="Correct styles_of, or leave it out.",
            )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        return self.of_classes(self.infer(image).logits)

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """``logits`` (B, K, H, W) and ``styles`` (B, n S, H, W)."""
        inferred = self.infer(image)
        return {"logits": self.of_classes(inferred.logits), "styles": inferred.styles}

    @abstractmethod
    def infer(self, image: Tensor, generator: torch.Generator | None = None) -> Inferred:
        """What a picture's latents may be and what they become: sampled by the generator, without one their means."""

    @abstractmethod
    def sample(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Generated:
        """Pictures that nobody took: latents from the prior, for so many of (height, width) pixels."""

    def of_classes(self, logits: Tensor) -> Tensor:
        """Logits (B, K, H, W) of classes, whose probability is that of their styles (B, S, H, W) together."""
        if max(self.styles_of) == 1:
            return logits
        parts = torch.split(logits.float(), list(self.styles_of), dim=1)
        return torch.stack([part.logsumexp(dim=1) for part in parts], dim=1)


def halving_encoder(name: str, in_channels: int, levels: int, weights: str | None) -> Encoder:
    """An encoder whose features are at 1/2 (or 1) of the picture, and so on by halves.

    Raises:
        UsageError: there is none of that name, or its features are at other sizes.
    """
    encoder = make_encoder(name, in_channels, depth=levels, weights=weights)
    first = encoder.reductions[0]
    if first > 2 or encoder.reductions != tuple(first << level for level in range(levels)):
        raise UsageError(
            f"The features of {name} are at 1/{', 1/'.join(map(str, encoder.reductions))}.",
            expected="1/2, 1/4, 1/8 and so on",
            remedy="Take mobilenet_v2, or another that halves at every level.",
        )
    return encoder


def doubling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed 4 x 4 convolution of stride 2, batch norm, ReLU: (B, in, H, W) -> (B, out, 2 H, 2 W)."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def normal_of(mean: Tensor, raw_variance: Tensor) -> Normal:
    """Of what a network says, float32; its variance is softplus and a floor."""
    return Normal(mean.float(), F.softplus(raw_variance.float()) + SMALLEST)

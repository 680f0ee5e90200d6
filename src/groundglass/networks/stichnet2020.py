"""StichNet's network: Zammit, "Semi-Supervised COVID-19 CT Image Segmentation Using Deep Generative Models", 2020.

| here | there |
|---|---|
| ``z``, ``k`` | two hierarchies of latents: of style, and of semantics (section 3.6); z_5 and k_5 are the coarsest |
| ``Gauss`` | Shared, and a ResBlock each for sigma and mu (eq. 11) |
| ``Hierarchy.expected`` | p(z_i given the next coarser): ``Gauss`` of a transposed convolution |
| ``Hierarchy.seen`` | q-hat(z_i given e_i), e_i of MobileNetV2, one for z and one for k (section 3.7) |
| ``weighted`` (``_ladder.py``) | the two together, by precision (the second equation printed as 12) |
| ``styles``, their sigmoid | lambda_theta(z, k), a decoder for each of b, h, g and c (eq. 14) |
| ``lung``, its softmax | fb: outside or inside of the lung, from (z, k) (eq. 6, 14) |
| ``tissue``, its softmax | l, of the lung's tissues, from k alone (eq. 6, 14) |
| ``separated`` | Psi(fb, l) (eq. 6): no lesion lies outside of the lung |

Styles, and so the classes, are in our order: background first, then lung and lesions (there b, g, c, h). Of three
classes whose labels never told lung from background, ``styles_of = [2, 1, 1]`` makes the four: the first class is both
outside and healthy lung. Nothing but z and k leads to what is made.

Differs from the paper:
- Eq. 11 prints z_i given z_(i-1) and calls the last one independent; ours is its text: the coarsest is independent.
- Eq. 6 prints fb given k; the text and eq. 14 say z and k, and so do we.
- Sigma in the precision weighting is a variance: its sum of inverse squares is a precision.
- Latents have one channel, as StitchNet's (2022); ResBlocks 32, decoders 64 to 16 (none is given: the decoder "contains
  a relatively small number"). A 1 x 1 convolution leads from e_i to a ResBlock's width, and one from there to mu or
  sigma.
- Variances are softplus and a floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._ladder import Drawn, Generated, Inferred, Ladder, doubling, halving_encoder, normal_of
from groundglass.networks._layers import conv_norm
from groundglass.networks._normal import Normal
from groundglass.networks.encoders import Encoder
from groundglass.networks.svae import Block
from groundglass.networks.unet_encoder import WayUp


class Gauss(nn.Module):
    """Features (B, width, h, w) -> a normal distribution of (B, latents, h, w), float32 (eq. 11)."""

    def __init__(self, width: int, latents: int) -> None:
        super().__init__()
        self.shared = Block(width)
        self.mean = nn.Sequential(Block(width), nn.Conv2d(width, latents, 1))
        self.variance = nn.Sequential(Block(width), nn.Conv2d(width, latents, 1))

    def forward(self, x: Tensor) -> Normal:
        """Mean and variance of each number."""
        shared = self.shared(x)
        return normal_of(self.mean(shared), self.variance(shared))


class Hierarchy(nn.Module):
    """Latents at half of the picture's size and so on by halves, each expected of the next coarser alone.

    Attributes:
        reductions: of the picture, by each level; finest first.
    """

    def __init__(self, encoder: Encoder, width: int, latents: int) -> None:
        """Make it over an encoder; ``width`` is of the ResBlocks."""
        super().__init__()
        self.latents = latents
        self.encoder = encoder
        self.reductions = self.encoder.reductions
        self.seen = nn.ModuleList(
            nn.Sequential(conv_norm(channels, width, 1), Gauss(width, latents)) for channels in encoder.channels
        )
        self.expected = nn.ModuleList(
            nn.Sequential(doubling(latents, width), Gauss(width, latents)) for _ in encoder.channels[1:]
        )

    def infer(self, image: Tensor, generator: torch.Generator | None) -> Drawn:
        """All levels of a picture (B, in_channels, H, W)."""
        drawn = Drawn(generator)
        for level, e in reversed(list(enumerate(self.encoder(image)))):
            found: Normal = self.seen[level](e)
            drawn.add(found, self.prior(level, drawn.z, found.mean))
        return drawn

    def sample(self, count: int, size: tuple[int, int], generator: torch.Generator) -> list[Tensor]:
        """Latents of no picture, finest first, for so many of (height, width) pixels."""
        weight = next(self.parameters())
        z: list[Tensor] = []
        for level in reversed(range(len(self.seen))):
            shape = (count, self.latents, *(side // self.reductions[level] for side in size))
            like = weight.new_empty(shape, dtype=torch.float32)
            z.insert(0, self.prior(level, z, like).drawn(generator))
        return z

    def prior(self, level: int, coarser: Sequence[Tensor], like: Tensor) -> Normal:
        """p(z_level given the finest of the coarser ones), of the shape of ``like``."""
        if not coarser:
            return Normal.standard(like)
        expected: Normal = self.expected[level](coarser[0])
        return expected


class Decoder(nn.Module):
    """A U-Net's way up from latents of all levels, to some channels at the picture's size."""

    def __init__(self, beside: Mapping[int, int], widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.up = WayUp(beside, widths)
        self.head = nn.Conv2d(self.up.channels, channels, 1)

    def forward(self, latents: Mapping[int, Tensor]) -> Tensor:
        """(B, C, H / reduction, W / reduction) by reduction -> (B, channels, H, W)."""
        made: Tensor = self.head(self.up(latents))
        return made


def separated(fb: Tensor, tissue: Tensor) -> Tensor:
    """Psi, in log space: ``(log fb_0, log fb_1 + log l)``; its softmax is (fb_0, fb_1 l_0, fb_1 l_1, ...).

    Args:
        fb: logits (B, 2, H, W) of outside and inside of the lung.
        tissue: logits (B, S - 1, H, W) of the lung's tissues.

    Returns:
        (B, S, H, W), float32, log-probabilities.
    """
    lung = fb.float().log_softmax(dim=1)
    return torch.cat([lung[:, :1], lung[:, 1:] + tissue.float().log_softmax(dim=1)], dim=1)


class StichNet2020(Ladder):
    """Two ladders: what a picture looks like, and of what tissue it is."""

    paper = "Zammit, StichNet, University of Manitoba, COMP 4560, 2020"
    heads = ("styles", "lung", "tissue")

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "mobilenet_v2",
        weights: str | None = None,
        widths: Sequence[int] = (64, 64, 32, 32, 16),
        blocks: int = 32,
        latents: int = 1,
        styles_of: Sequence[int] | None = None,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image; what is generated has one.
            classes: of the segmentation, the first one (with) what lies outside of the lung.
            encoder: of z and, another one, of k; one of ``encoders.encoder_names()`` that halves at every level.
            weights: of both: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: channels of a decoder, from the coarsest: as many levels of latents.
            blocks: channels of the ResBlocks; above 64 they are bottlenecks.
            latents: channels of each latent.
            styles_of: how many styles each class has, one by default.

        Raises:
            UsageError: an encoder that does not halve so, a class without styles, or fewer than two styles.
        """
        super().__init__(in_channels, classes, styles_of)
        levels, count = len(widths), sum(self.styles_of)
        if count < 2:
            raise UsageError(
                "StichNet tells the lung from what is outside of it, and got one class.",
                expected="two classes or more",
                remedy="Take the network svae for a model of pictures alone.",
            )
        self.levels = tuple(f"{name}{level}" for name in "zk" for level in range(1, levels + 1))
        self.z, self.k = (
            Hierarchy(halving_encoder(encoder, in_channels, levels, weights), blocks, latents) for _ in "zk"
        )
        self.stride = self.z.reductions[-1]
        both, alone = (dict.fromkeys(self.z.reductions, channels) for channels in (2 * latents, latents))
        self.styles = nn.ModuleList(Decoder(both, widths, 1) for _ in range(count))
        self.lung = Decoder(both, widths, 2)
        self.tissue = Decoder(alone, widths, count - 1) if count > 2 else None

    def infer(self, image: Tensor, generator: torch.Generator | None = None) -> Inferred:
        """What a picture's latents may be and what they become: z's levels and then k's."""
        image = self.check(image)
        z, k = self.z.infer(image, generator), self.k.infer(image, generator)
        made = self.generate([*z.z, *k.z])
        return Inferred(
            made.logits, made.styles, (*z.z, *k.z), (*z.posterior, *k.posterior), (*z.prior, *k.prior)
        )  # fmt: skip

    def generate(self, latents: Sequence[Tensor]) -> Generated:
        """What z's levels, finest first, and then k's become: nothing else is looked at."""
        count = len(self.z.reductions)
        z, k = latents[:count], latents[count:]
        both = self._by_reduction([torch.cat(pair, dim=1) for pair in zip(z, k, strict=True)])
        fb = self.lung(both)
        tissue = fb.new_zeros(fb[:, :1].shape) if self.tissue is None else self.tissue(self._by_reduction(k))
        return Generated(separated(fb, tissue), torch.cat([style(both) for style in self.styles], dim=1))

    def sample(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Generated:
        """Pictures that nobody took: z and k from their priors, for so many of (height, width) pixels."""
        return self.generate([*self.z.sample(count, size, generator), *self.k.sample(count, size, generator)])

    def _by_reduction(self, latents: Sequence[Tensor]) -> dict[int, Tensor]:
        return dict(zip(self.z.reductions, latents, strict=True))

"""The shared variational autoencoder, and StitchNet's last layers on it (Zammit et al., BMC Bioinformatics 23, 2022).

| here | there |
|---|---|
| ``encoder``, ``seen`` | MobileNetV2, whose features are d_1 to d_5 in inference |
| ``Latent`` | the mapping from d_n to z_n, **one for both directions**: what makes the autoencoder "shared" |
| ``expand``, ``blocks`` | d_n in generation: the expansion of z_n and of what is coarser |
| ``up`` | the deconvolution that leads from d_(n+1) to where z_n is drawn |
| ``weighted`` (``_ladder.py``) | the precision weighting of LVAE (Sonderby et al., arXiv 1602.02282) |
| ``head`` | pi_theta(z), of the segmentation |
| ``styles`` | alpha_theta(z) and beta_theta(z): b, h, g and c |

z_1 to z_5 have one channel each, at 1/2 to 1/32 of the picture's size (176, 88, 44, 22 and 11 squared of 352). z_5 has
the prior N(0, 1). Nothing but z leads from inference to generation: there are no skip connections.

Differs from the paper:
- Batch statistics of a mapping are of each direction's own; its weights are of both. With one average for two
  populations it would answer otherwise in evaluation than it was trained to.
- A 1 x 1 convolution gives MobileNetV2's features (16, 24, 32, 96, 320 channels) the widths 32 to 512 of d_n.
- The posterior of z_5 is weighted with its prior as all others are; LVAE's takes what is inferred.
- Variances are softplus and a floor (not given).
- ``styles_at`` is ours: styles of low resolution, which cannot carry the picture's detail. So is ``styles_of``: where
  labels never told two tissues apart, their class may have a style for each, and is what either shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._ladder import Drawn, Generated, Inferred, Ladder, doubling, halving_encoder, normal_of
from groundglass.networks._layers import SharedNorm, conv_norm, enlarge
from groundglass.networks._normal import Normal

WIDE: Final = 64  # channels above which a block is a bottleneck
INFERENCE, GENERATION = 0, 1


class Block(nn.Module):
    """Figure 4: two 3 x 3 convolutions, or above 64 channels a linear bottleneck, and what came in added.

    Every convolution has batch norm; the sum comes before the last ReLU, of which a bottleneck has none.
    """

    def __init__(self, channels: int, directions: int = 1) -> None:
        super().__init__()
        self.linear = channels > WIDE
        kernels = (1, 3, 1) if self.linear else (3, 3)
        widths = (channels, channels // 4, channels // 4, channels) if self.linear else (channels,) * 3
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel, padding=kernel // 2, bias=False)
            for (a, b), kernel in zip(pairwise(widths), kernels, strict=True)
        )
        self.norms = nn.ModuleList(SharedNorm(width, directions) for width in widths[1:])

    def forward(self, x: Tensor, direction: int = 0) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y = x
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y if place == 0 else F.relu(y)), direction)
        return x + y if self.linear else F.relu(x + y)


class Latent(nn.Module):
    """d_n -> z_n, of whichever direction: the same weights say what a picture shows and what is expected of it."""

    def __init__(self, channels: int, directions: int) -> None:
        super().__init__()
        self.block = Block(channels, directions)
        self.mean = nn.Conv2d(channels, 1, 3, padding=1)
        self.variance = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, d: Tensor, direction: int) -> Normal:
        """Features (B, C, h, w) -> a normal distribution of (B, 1, h, w), float32."""
        d = self.block(d, direction)
        return normal_of(self.mean(d), self.variance(d))


class SVAE(Ladder):
    """A ladder of latents between what is seen and what is made of it.

    ``generate`` and ``sample`` see no picture. Of one class it has no segmentation: it is the autoencoder alone.
    """

    paper = "Zammit, Fung, Liu, Leung and Hu, StitchNet, BMC Bioinformatics 23 (Suppl 7), 343, 2022"
    heads = ("head", "styles")

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "mobilenet_v2",
        weights: str | None = None,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        styles_at: int = 0,
        styles_of: Sequence[int] | None = None,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image; what is generated has one.
            classes: of the segmentation.
            encoder: one of ``encoders.encoder_names()`` whose features are at 1/2 (or 1), and so on by halves.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: channels of d_1, d_2, ...: as many levels of latents.
            styles_at: the styles are made of d_n, of its size, and enlarged; 0: at the picture's own size.
            styles_of: how many styles each class has, one by default; of one class it has one.

        Raises:
            UsageError: an encoder that does not halve so, a level that there is not, or a class without styles.
        """
        super().__init__(in_channels, classes, styles_of)
        self.styles_at = styles_at
        self.levels = tuple(str(level) for level in range(1, len(widths) + 1))
        self.encoder = halving_encoder(encoder, in_channels, len(widths), weights)
        first, self.stride = self.encoder.reductions[0], self.encoder.reductions[-1]
        if not 0 <= styles_at <= len(widths):
            raise UsageError(
                f"SVAE has no level {styles_at}.",
                expected=f"0, the picture's size, to {len(widths)}",
                remedy="Correct styles_at.",
            )
        count = sum(self.styles_of)
        top = len(widths) - 1
        self.seen = nn.ModuleList(conv_norm(a, b, 1) for a, b in zip(self.encoder.channels, widths, strict=True))
        self.latents = nn.ModuleList(
            Latent(width, directions=1 if level == top else 2) for level, width in enumerate(widths)
        )
        self.expand = nn.ModuleList(conv_norm(1, width) for width in widths)
        self.blocks = nn.ModuleList(Block(width) for width in widths)
        self.up = nn.ModuleList(doubling(below, width) for width, below in pairwise(widths))
        self.last = nn.ModuleList([nn.Identity() if first == 1 else doubling(widths[0], widths[0]), Block(widths[0])])
        self.head = nn.Conv2d(widths[0], count, 1) if count > 1 else None
        self.styles = nn.Conv2d(widths[max(styles_at, 1) - 1], 2 * count, 1)

    def infer(self, image: Tensor, generator: torch.Generator | None = None) -> Inferred:
        """What a picture's latents may be and what they become: sampled by the generator, without one their means."""
        features = self.encoder(self.check(image))
        drawn = Drawn(generator)

        def draw(level: int, coarser: Tensor | None) -> Tensor:
            found: Normal = self.latents[level](self.seen[level](features[level]), INFERENCE)
            return drawn.add(found, self._prior(level, coarser, found.mean))

        made = self._descend(draw)
        return Inferred(made.logits, made.styles, tuple(drawn.z), tuple(drawn.posterior), tuple(drawn.prior))

    def generate(self, z: Sequence[Tensor]) -> Generated:
        """What latents (B, 1, h, w), finest first, become: nothing else is looked at."""
        return self._descend(lambda level, coarser: z[level])  # noqa: ARG005

    def sample(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Generated:
        """Pictures that nobody took: latents from the prior, for so many of (height, width) pixels."""
        weight = next(self.parameters())

        def drawn(level: int, coarser: Tensor | None) -> Tensor:
            reduction = self.encoder.reductions[level]
            like = weight.new_empty(count, 1, size[0] // reduction, size[1] // reduction, dtype=torch.float32)
            return self._prior(level, coarser, like).drawn(generator)

        return self._descend(drawn)

    def _prior(self, level: int, coarser: Tensor | None, like: Tensor) -> Normal:
        """p(z_n | z_(n+1), ...), of the shape of ``like``."""
        if coarser is None:
            return Normal.standard(like)
        expected: Normal = self.latents[level](coarser, GENERATION)
        return expected

    def _descend(self, draw: Callable[[int, Tensor | None], Tensor]) -> Generated:
        """From the coarsest latents to the finest; ``draw`` gives those of a level, from what is coarser."""
        coarser: Tensor | None = None
        made: list[Tensor] = []
        for level in reversed(range(len(self.latents))):
            d = self.expand[level](draw(level, coarser))
            d = self.blocks[level](d if coarser is None else d + coarser)
            made.insert(0, d)
            coarser = self.up[level - 1](d) if level else d
        raised, block = self.last
        last = block(raised(made[0]))
        size = last.shape[-2:]
        styles: Tensor = self.styles(made[self.styles_at - 1] if self.styles_at else last)
        return Generated(
            logits=last.new_zeros(last.shape[0], 1, *size) if self.head is None else self.head(last),
            styles=enlarge(styles, size) if self.styles_at else styles,
        )

"""The shared variational autoencoder by itself: Zammit et al., BMC Bioinformatics 23 (Suppl 7), 343, 2022, "SVAE".

| here | there |
|---|---|
| ``network.infer`` | q_phi(z given x), one sample of it |
| ``bound`` | the variational lower bound of log p_theta(x) |
| ``likelihood``, ``divergence`` | its two terms, each over the number of pixels |

It is StitchNet with one style and no segmentation. It looks at no label and tells no tissues apart (one output, "any
tissue"): a stage before one that does, which takes all of its layers but the last, or an end in itself (``explain
samples``). The log has bits per pixel, each level's divergence in nats a picture and its share of active latents.

Differs from the paper:
- The likelihood is StitchNet's Beta density of dequantised grey values; the paper names none for the SVAE alone, LVAE's
  is Bernoulli, which has no normaliser on grey values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundglass.batches import Labelled, Progress, Unlabelled, shown_in
from groundglass.labels import UNKNOWN
from groundglass.methods._ladder import LadderConfig, OfLadder, unknown
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of


@dataclass(frozen=True)
class Config(LadderConfig):
    """The ladder's settings; defaults are the released training's."""


class SVAE(OfLadder):
    """A model of pictures, learnt from pictures alone."""

    config_class = Config

    @classmethod
    def outputs_for(cls, groups: Sequence[int]) -> tuple[int, ...]:
        """One: any tissue."""
        del groups
        return (int(UNKNOWN),)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step on the pictures of both kinds."""
        image = labelled.image if unlabelled is None else torch.cat([labelled.image, unlabelled.image])
        generator = noise_of(self.config.seed, progress)
        bound = self.bound(image, unknown(image), generator, self.config.divergence, shown_in(labelled, unlabelled))
        apart = self.config.weight(progress) * bound.divergence.mean()
        losses = {"likelihood": -bound.likelihood.mean(), "divergence": apart}
        yield Update("network", losses, told={"bits_per_pixel": bound.bits.mean(), **self.levels_of(bound)})

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """That every pixel is of some tissue: (B, 1, H, W) of 1. It was taught no more."""
        del prior
        return torch.ones_like(image, dtype=torch.float32)

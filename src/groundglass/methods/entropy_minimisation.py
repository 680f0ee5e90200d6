"""Entropy minimisation: Grandvalet and Bengio, NIPS 2004; of pixels, Vu et al., "ADVENT", CVPR 2019 (arXiv 1811.12833).

| here | there (ADVENT) |
|---|---|
| ``losses.entropy`` | E_x, the entropy map, eq. 2 |
| ``entropy``, the mean over pixels | L_ent, eq. 3; a sum there, a mean in the released code |
| ``weight`` | lambda_ent, eq. 4 |

Differs from the papers:
- Labelled and unlabelled slices go through the network as one batch, so that batch statistics are of both.
- The weight rises over a share of the training (medical comparisons do so, such as SSL4MIS's): an untrained network's
  answers would be hardened whatever they are.
- ADVENT adapts to another domain, and its adversarial half is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.entropy import entropy
from groundglass.losses.shown import mean_of_shown
from groundglass.methods._both import BothConfig, OfBoth
from groundglass.methods._method import Update
from groundglass.methods._step import ramp_up


@dataclass(frozen=True)
class Config(BothConfig):
    """Settings beside those of all methods with both kinds of slices.

    Attributes:
        weight: of the entropy once ramped up.
        ramp_up: share of the training over which it rises.
    """

    shares: ClassVar[tuple[str, ...]] = ("ramp_up",)
    weight: float = 0.1  # ours, as in SSL4MIS: ADVENT's 0.001 hardly moves anything in a short training
    ramp_up: float = 0.4  # ours


class EntropyMinimisation(OfBoth):
    """A network that is to be sure of the unlabelled slices, whatever it says of them."""

    config: Config
    config_class = Config

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step."""
        bare, known = self.needed(unlabelled), len(labelled.image)
        logits = self.network(torch.cat([labelled.image, bare.image]))
        weight = self.config.weight * ramp_up(progress, self.config.ramp_up)
        yield Update(
            "network",
            {
                **self.labelled_losses(logits[:known], labelled.label_set),
                "entropy": weight * mean_of_shown(entropy(logits[known:]), bare.shown),  # eq. 3
            },
        )

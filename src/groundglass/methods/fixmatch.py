"""FixMatch: Sohn et al., NeurIPS 2020 (arXiv 2001.07685); of pixels as in Yang et al., "UniMatch", section 3.1.

| here | there |
|---|---|
| the unlabelled batch | x^w = A^w(x^u); a recipe says ``unlabelled_augmentation = "weak"`` |
| ``strong_view`` | x^s = A^s(x^w); where it pastes, it pastes what was said of the weak view too (CutMix) |
| ``threshold`` | tau |
| ``strong`` | L_u, eq. 2 of UniMatch |

Differs from the papers:
- L_s + L_u, not half of it (UniMatch's eq. 1): the optimiser here does not see a factor. L_s has Dice beside.
- What is pasted comes from another slice of the batch, not of a second batch.
- A strong view also has noise and, as in FixMatch and not in UniMatch, a hole; no colours, for there are none.
- The weak view passes the network without a gradient, apart from the labelled slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.labels import UNKNOWN
from groundglass.losses.pseudo_labels import confident, pseudo_cross_entropy
from groundglass.losses.shown import mean_of_shown
from groundglass.methods._both import BothConfig, OfBoth
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of
from groundglass.methods._views import strong_view


@dataclass(frozen=True)
class Config(BothConfig):
    """Settings beside those of all methods with both kinds of slices; defaults are UniMatch's comparison's.

    Attributes:
        threshold: a pixel of the weak view teaches where its largest probability is at least this.
        weight: of the unlabelled slices' loss.
        cutmix: share of the strong views that get a rectangle of another one.
    """

    shares: ClassVar[tuple[str, ...]] = ("threshold", "cutmix")
    threshold: float = 0.95
    weight: float = 1.0
    cutmix: float = 0.5


class FixMatch(OfBoth):
    """A network that says of a strong view what it is sure of in the weak one."""

    config: Config
    config_class = Config

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step."""
        config, weak = self.config, self.needed(unlabelled)
        with torch.no_grad():
            said = confident(self.network(weak.image), self.outputs, config.threshold, weak.shown)
        image, wanted = strong_view(weak, said, noise_of(config.seed, progress), config.cutmix)
        strong = pseudo_cross_entropy(self.network(image), wanted, self.outputs)  # eq. 2
        yield Update(
            "network",
            {
                **self.labelled_losses(self.network(labelled.image), labelled.label_set),
                "strong": config.weight * strong,
            },
            told={"trusted": mean_of_shown((said != int(UNKNOWN)).float(), weak.shown)},
        )

"""UniMatch: Yang et al., "Revisiting weak-to-strong consistency", CVPR 2023 (arXiv 2208.09910).

| here | there |
|---|---|
| the unlabelled batch | x^w = A^w(x^u); a recipe says ``unlabelled_augmentation = "weak"`` |
| ``strong_view``, twice | x^s1, x^s2, section 3.3 |
| ``dropped`` between the network's two ways | P, and h(P(e^w)), section 3.2 |
| ``threshold`` | tau |
| ``features``, ``strong``, their weights | the terms of the whole L_u, section 3.4; lambda and mu |

As released, labelled slices and weak views pass the network as one batch, the dropped features beside the whole ones,
so that the way down is gone once; the strong views are another batch.

Differs from the paper:
- L_s + L_u, not half of it (eq. 1): the optimiser here does not see a factor. L_s has Dice beside.
- L_u is the paper's cross-entropy; the released training on hearts has Dice in its place.
- What is pasted comes from another slice of the batch, not of a second batch.
- A strong view also has noise and a hole; no colours, for there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.labels import UNKNOWN
from groundglass.losses.pseudo_labels import confident, pseudo_cross_entropy
from groundglass.losses.shown import mean_of_shown
from groundglass.methods._both import BothConfig, OfBoth
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of
from groundglass.methods._views import changeable, dropped, strong_view
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Config(BothConfig):
    """Settings beside those of all methods with both kinds of slices; defaults are the paper's.

    Attributes:
        threshold: a pixel of the weak view teaches where its largest probability is at least this.
        features: weight of the view whose features are dropped, lambda.
        strong: weight of the two strong views together, mu.
        dropout: share of the channels that are dropped.
        cutmix: share of the strong views that get a rectangle of another one.
    """

    shares: ClassVar[tuple[str, ...]] = ("threshold", "dropout", "cutmix")
    threshold: float = 0.95
    features: float = 0.5
    strong: float = 0.5
    dropout: float = 0.5
    cutmix: float = 0.5


class UniMatch(OfBoth):
    """A network that says of two strong views, and by half of its features, what it is sure of in the weak view."""

    network: Network
    config: Config
    config_class = Config

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W), one whose features can be changed on their way up.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.

        Raises:
            UsageError: they cannot.
        """
        super().__init__(changeable(network, "UniMatch"), outputs, config)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step."""
        config, weak, known = self.config, self.needed(unlabelled), len(labelled.image)
        generator = noise_of(config.seed, progress)

        def doubled(features: Tensor) -> Tensor:
            return torch.cat([features, dropped(features[known:], config.dropout, generator)])  # P(e^w)

        with self.network.changed(doubled):
            logits = self.network(torch.cat([labelled.image, weak.image]))
        of_labelled, of_weak, of_dropped = logits.split([known, len(weak.image), len(weak.image)])
        said = confident(of_weak, self.outputs, config.threshold, weak.shown)
        views = [strong_view(weak, said, generator, config.cutmix) for _ in range(2)]
        of_strong = self.network(torch.cat([image for image, _ in views])).chunk(2)
        first, second = (
            pseudo_cross_entropy(found, wanted, self.outputs)
            for found, (_, wanted) in zip(of_strong, views, strict=True)
        )
        yield Update(
            "network",
            {
                **self.labelled_losses(of_labelled, labelled.label_set),
                "features": config.features * pseudo_cross_entropy(of_dropped, said, self.outputs),
                "strong": config.strong / 2 * (first + second),  # mu / 2 of each
            },
            told={"trusted": mean_of_shown((said != int(UNKNOWN)).float(), weak.shown)},
        )

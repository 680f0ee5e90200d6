"""Inf-Net, multi: Fan et al., IEEE TMI 39(8), 2020 (arXiv 2004.14133); SSInfNet (Xing et al., 2021), eq. 6 and 7.

| here | there |
|---|---|
| ``beside`` | picture and prior, concatenated: three channels each |
| a sigmoid a tissue group | y^_i: background, ground glass, consolidation |
| ``binary_cross_entropy`` | L_bce, eq. 6 |
| ``focal_loss``, where ``focal`` is given | FL, eq. 7, which takes its place |
| the prior | what another network, trained without these slices, says of infection |

SGD at 0.01 with momentum 0.7 and Lookahead (k = 5, alpha = 0.5) are settings of the training.

Differs from the paper:
- A prediction is the softmax of the logits: the probability of each class given that exactly one of the independent
  sigmoids is right, as classes exclude each other. The largest sigmoid and the largest softmax are the same.
- Label sets: a channel learns where they tell its answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.focal import binary_cross_entropy, focal_loss
from groundglass.methods._method import OfNetwork, Update
from groundglass.methods._prior import beside
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        focal: gamma of the focal loss; None for binary cross-entropy.
        alpha: of the focal loss.
    """

    focal: float | None = None
    alpha: float = 1.0


class InfNetMulti(OfNetwork):
    """Tells the tissues of a lesion apart, given the picture and a map of the lesion."""

    takes_prior: ClassVar[bool] = True
    takes_unlabelled = False
    network: Network

    def __init__(self, network: Network, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: picture and prior (B, 2 n, H, W) to logits (B, K, H, W); n is 3 in the paper.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__(network, outputs)
        self.config = config or Config()

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step: the labelled slices' loss."""
        del unlabelled, progress
        logits = self.network(self._seen(labelled.image, labelled.prior))
        if self.config.focal is None:
            losses = {"binary_cross_entropy": binary_cross_entropy(logits, labelled.label_set, self.outputs)}
        else:
            focal = focal_loss(logits, labelled.label_set, self.outputs, self.config.focal, self.config.alpha)
            losses = {"focal": focal}
        yield Update("network", losses)

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Probabilities (B, K, H, W), float32.

        Args:
            image: (B, 1, H, W).
            prior: (B, 2, H, W), not lesion and infection.
        """
        probability: Tensor = self.network(self._seen(image, prior)).float().softmax(dim=1)
        return probability

    def _seen(self, image: Tensor, prior: Tensor | None) -> Tensor:
        if prior is None or self.network.in_channels < 2:
            raise UsageError(
                "The multi-class Inf-Net without a prior.",
                expected="a network of two or more input channels, and a map of infection beside each picture",
                remedy="Say in_channels = 6 in network.settings, and add a table [prior] to the recipe.",
            )
        return beside(image, prior[:, 1:], self.network.in_channels)

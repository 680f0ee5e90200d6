"""Supervised training on label sets: the baseline of everything else.

Cross-entropy of sets (Fidon et al., arXiv 2107.03846) and soft Dice of regions (Milletari et al., arXiv
1606.04797), added. Unlabelled slices are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.groups import check_outputs
from groundglass.losses.supervised import label_set_losses
from groundglass.methods._method import Method, Update


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dice: weight of the Dice term beside the cross-entropy; 0 leaves it out.
        class_weights: of each output channel in the cross-entropy.
    """

    dice: float = 1.0
    class_weights: tuple[float, ...] | None = None


class Supervised(Method):
    """A network that learns from the labelled slices only."""

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W).
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__()
        self.network = network
        self.outputs = check_outputs(outputs)
        self.config = config or Config()

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step: the labelled slices' loss."""
        del unlabelled, progress
        logits = self.network(labelled.image)
        yield Update(
            "network",
            label_set_losses(logits, labelled.label_set, self.outputs, self.config.dice, self.config.class_weights),
        )

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.network

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Probabilities (B, K, H, W), float32."""
        del prior
        probability: Tensor = self.network(image).float().softmax(dim=1)
        return probability

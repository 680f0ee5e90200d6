"""Supervised training on label sets: the baseline of everything else.

Cross-entropy of sets (Fidon et al., arXiv 2107.03846) and soft Dice of regions (Milletari et al., arXiv
1606.04797), added. Unlabelled slices are not looked at.

Two terms that some networks' papers train them with are settings: deep supervision (Lee et al., arXiv 1409.5185;
U-Net++, Inf-Net's side maps) and TV-UNet's total variation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.connectivity import total_variation
from groundglass.losses.region_dice import region_dice
from groundglass.losses.supervised import label_set_losses
from groundglass.methods._method import OfNetwork, Update
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dice: weight of the Dice term beside the cross-entropy; 0 leaves it out.
        dice_by_slice: the Dice term is the mean over slices, not of the batch as a whole.
        class_weights: of each output channel in the cross-entropy.
        deep_supervision: where a network answers in several places, the mean of their losses; otherwise the loss of
            its one answer.
        total_variation: weight of the predicted infection's total variation, which promotes connectivity.
    """

    dice: float = 1.0
    dice_by_slice: bool = False
    class_weights: tuple[float, ...] | None = None
    deep_supervision: bool = False
    total_variation: float = 0.0


class Supervised(OfNetwork):
    """A network that learns from the labelled slices only."""

    takes_unlabelled = False
    takes_soft = True

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W).
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__(network, outputs)
        self.config = config or Config()

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step: the labelled slices' loss."""
        del unlabelled, progress
        answers = self._answers(labelled.image)
        each = [self._losses(logits, labelled) for logits in answers]
        losses = {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}
        yield Update("network", losses, told=self._told(answers[0], labelled.label_set))

    @torch.no_grad()
    def _told(self, logits: Tensor, label_set: Tensor) -> dict[str, Tensor]:
        """Where Dice is no loss, ``soft_dice``: its mean over the regions that occur in the batch, for the log."""
        regions = {} if self.config.dice else region_dice(logits, label_set, self.outputs)
        return {"soft_dice": 1 - torch.stack(list(regions.values())).mean()} if regions else {}

    def _answers(self, image: Tensor) -> list[Tensor]:
        """The network's logits (B, K, H, W); what has other channels, as an edge has, is no answer."""
        if not (self.config.deep_supervision and isinstance(self.network, Network)):
            return [self.network(image)]
        return [x for x in self.network.forward_all(image).values() if x.shape[1] == len(self.outputs)]

    def _losses(self, logits: Tensor, labelled: Labelled) -> dict[str, Tensor]:
        config, sets = self.config, labelled.label_set
        losses = label_set_losses(
            logits,
            sets,
            self.outputs,
            config.dice,
            config.class_weights,
            soft=labelled.soft,
            by_slice=config.dice_by_slice,
        )
        if config.total_variation:
            losses["total_variation"] = config.total_variation * total_variation(logits, self.outputs)
        return losses

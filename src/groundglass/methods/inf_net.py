"""Inf-Net, single: Fan et al., IEEE TMI 39(8), 2020 (arXiv 2004.14133); SSInfNet (Xing et al., 2021), eq. 4 and 5.

| here | there |
|---|---|
| two channels, not lesion and infection | one map and its sigmoid; with a first logit of 0 it is the same |
| ``boundary_iou``, ``cross_entropy`` | L_IoU, L_BCE of eq. 4; lambda is ``cross_entropy`` of the settings |
| ``edge`` | L_edge of eq. 5; its target is computed from the labels |
| ``global``, ``side_5``, ``side_4``, ``side_3`` | S_g, S_5, S_4, S_3: L_seg of each, eq. 5 |
| ``scales`` | (released) every batch is seen at 0.75, 1 and 1.25 of its size, a step of the optimiser each |

As released, all terms weigh 1 and the boundary's weight reaches the IoU alone. Adam at 1e-4 and gradients clamped to
+-0.5 are settings of the training.

Differs from the paper:
- Infection is a region of label sets: pixels of which the labels do not tell whether they are infected are left out.
- Pictures are resized linearly with pixel centres kept and label sets by the nearest pixel, sizes rounded to multiples
  of what the network takes. Released: corners on corners, and the mask linearly too, which makes edges soft.
- A network with fewer answers (a U-Net has one, and no edge) is trained by the terms that it has: "single U-Net".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.labels import NOT_LESION, UNKNOWN, Region
from groundglass.losses.boundary_iou import boundary_iou
from groundglass.losses.edge import edge_loss
from groundglass.losses.groups import answers
from groundglass.losses.label_set import cross_entropy
from groundglass.methods._method import OfNetwork, Update
from groundglass.networks._network import Network

EDGE = "edge"  # what networks call their answer for edges


@dataclass(frozen=True)
class Config:
    """Settings; defaults are those of the released code.

    Attributes:
        scales: of the picture, each a step.
        cross_entropy: weight of that term, lambda of eq. 4.
        edge: weight of the edge's term.
    """

    scales: tuple[float, ...] = (0.75, 1.0, 1.25)
    cross_entropy: float = 1.0
    edge: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sizes that are none.

        Raises:
            UsageError: there is no scale, or one that is not above 0.
        """
        if not self.scales or min(self.scales) <= 0:
            raise UsageError(
                f"The scales {self.scales} of inf_net.",
                expected="one or more above 0",
                remedy="Such as scales = [0.75, 1.0, 1.25].",
            )


class InfNet(OfNetwork):
    """A network that tells infection from the rest, taught at every depth and by its edge; S_3 predicts."""

    takes_unlabelled = False
    network: Network

    def __init__(self, network: Network, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, 2, H, W), in several places if it can.
            outputs: not lesion and infection.
            config: settings.
        """
        super().__init__(network, outputs)
        self.config = config or Config()

    @classmethod
    def outputs_for(cls, groups: Sequence[int]) -> tuple[int, ...]:
        """Not lesion, and infection.

        Raises:
            UsageError: the labels do not tell them apart.
        """
        if not answers(groups, Region.INFECTION):
            raise UsageError(
                "The labels do not tell infection from the rest.",
                expected="labels that do",
                remedy="Take another method, or label infection.",
            )
        return int(NOT_LESION), int(UNKNOWN & ~NOT_LESION)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """A step for each scale."""
        del unlabelled, progress
        for scale in self.config.scales:
            seen = rescaled(labelled, scale, self.network.stride)
            losses = self.losses(self.network.forward_all(seen.image), seen.label_set)
            yield Update("network", {f"{name} at {scale:g}": loss for name, loss in losses.items()})

    def losses(self, answer: dict[str, Tensor], label_set: Tensor) -> dict[str, Tensor]:
        """L_total of eq. 5, a term for each of the network's answers."""
        losses = {}
        for name, logits in answer.items():
            if name == EDGE:
                losses[name] = self.config.edge * edge_loss(logits, label_set)
            else:
                losses[name] = boundary_iou(logits, label_set, self.outputs) + self.config.cross_entropy * (
                    cross_entropy(logits, label_set, self.outputs)
                )  # eq. 4
        return losses


def rescaled(batch: Labelled, scale: float, stride: int) -> Labelled:
    """The batch at another size, the nearest that the stride divides; label sets from the nearest pixel."""
    height, width = batch.image.shape[-2:]
    size = [max(round(scale * side / stride), 1) * stride for side in (height, width)]
    if size == [height, width]:
        return batch
    image = F.interpolate(batch.image, size, mode="bilinear", align_corners=False, antialias=True)
    sets = F.interpolate(batch.label_set.unsqueeze(1), size, mode="nearest-exact").squeeze(1)
    return Labelled(image, sets)

"""Bidirectional copy-paste: Bai et al., CVPR 2023 (arXiv 2305.00673).

| here | there |
|---|---|
| ``box`` | where M is 0: a rectangle anywhere, ``side`` (beta) of height and width |
| ``inward`` | L^in: labelled slices with a rectangle of an unlabelled one |
| ``outward`` | L^out: unlabelled slices with a rectangle of a labelled one |
| ``answered(teacher)`` | the pseudo labels |
| ``unlabelled`` | alpha, the weight of what was pseudo-labelled, wherever it lies |
| ``ema`` | lambda |

The paper's pre-training, on labelled slices pasted into each other, is a stage before this one: ``supervised`` with
``augmentation = "strong"``, which has CutMix.

Differs from the paper:
- Labels are sets, and a pasted slice's sets are pasted as its picture is.
- Pseudo labels keep all of their components; the paper keeps the largest of each class, of which a heart has one and a
  lung with lesions has not.
- Every labelled slice is in a pair of each kind, with another unlabelled slice in each; the paper halves the batch.
- Both kinds of mixed slices pass the student as one batch. Dice and cross-entropy are added, not averaged.
- The teacher normalises with the student's statistics and predicts (theirs: in training mode, and the student).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from groundglass.augment._cutmix import boxes
from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.labels import UNKNOWN
from groundglass.losses.pseudo_labels import answered
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of
from groundglass.methods._teacher import OfTeacher, TeacherConfig


@dataclass(frozen=True)
class Config(TeacherConfig):
    """Settings beside those of all teachers; defaults are the paper's.

    Attributes:
        unlabelled: weight of pseudo-labelled pixels.
        side: of the rectangle, as a share of the slice's.
    """

    shares: ClassVar[tuple[str, ...]] = ("ema", "side")
    unlabelled: float = 0.5
    side: float = 2 / 3


class BCP(OfTeacher):
    """A student of slices that are half labelled and half not, whose other half the teacher labels."""

    begins_as_mean = False  # as released: it begins as the network that was pre-trained
    config: Config
    config_class = Config

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step of the student."""
        weak = self.needed(unlabelled)
        bare = weak.image
        with torch.no_grad():
            said = answered(self.teacher(bare), self.outputs, weak.shown)
        place = torch.arange(len(labelled.image), device=bare.device)
        one, other = place % len(bare), (place + 1) % len(bare)  # p and q
        part = torch.full((len(place), 1), self.config.side)
        size = (bare.shape[-2], bare.shape[-1])
        box = boxes(size, part, part, noise_of(self.config.seed, progress)).to(bare.device)
        inward = torch.where(box, bare[one], labelled.image)
        outward = torch.where(box, labelled.image, bare[other])
        of_inward, of_outward = self.student(torch.cat([inward, outward])).chunk(2)
        box = box.squeeze(1)
        yield Update(
            "student",
            {
                "inward": self._mixed(of_inward, labelled.label_set, said[one], ~box),
                "outward": self._mixed(of_outward, labelled.label_set, said[other], box),
            },
        )

    def _mixed(self, logits: Tensor, label_set: Tensor, said: Tensor, known: Tensor) -> Tensor:
        """L_seg where a slice is labelled, and alpha L_seg where it is not; each leaves the other's pixels unknown."""
        unknown = label_set.new_tensor(int(UNKNOWN))
        of_labels = self.labelled_losses(logits, torch.where(known, label_set, unknown))
        of_guesses = self.labelled_losses(logits, torch.where(known, unknown, said))
        guessed = torch.stack(list(of_guesses.values())).sum()
        return torch.stack(list(of_labels.values())).sum() + self.config.unlabelled * guessed

"""Minibatches: an image with label sets, or an image without any field for a label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Labelled:
    """Slices whose labels are sets.

    Attributes:
        image: (B, 1, H, W), float32, windowed to [0, 1].
        label_set: (B, H, W), uint8, one bit a tissue (``groundglass.labels``).
        prior: (B, K, H, W), what another model said, for networks that take one.
        soft: (B, K, H, W), labels that are probabilities of the groups and no sets, which are 15 there; they sum to 1,
            or to less where less is known, 0 where nothing is.
        shown: (B, H, W), bool: where there is something of the slice, not the padding around it; None: everywhere.
    """

    image: Tensor
    label_set: Tensor
    prior: Tensor | None = None
    soft: Tensor | None = None
    shown: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Slices without labels: there is no field that one could leak through.

    Attributes:
        image: (B, 1, H, W), float32, windowed to [0, 1].
        prior: (B, K, H, W), what another model said, for networks that take one.
        shown: (B, H, W), bool: where there is something of the slice, not the padding around it; None: everywhere.
    """

    image: Tensor
    prior: Tensor | None = None
    shown: Tensor | None = None


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes:
        step: that is made, from 0.
        steps: of the training.
        minibatch: of the step's, over all processes, from 0.
    """

    step: int
    steps: int
    minibatch: int = 0


def shown_in(*batches: Labelled | Unlabelled | None) -> Tensor | None:
    """Where batches, one after the other, show something of a slice: (B, H, W), bool; None: everywhere."""
    parts = [batch for batch in batches if batch is not None]
    if all(batch.shown is None for batch in parts):
        return None
    return torch.cat(
        [torch.ones_like(one.image[:, 0], dtype=torch.bool) if one.shown is None else one.shown for one in parts]
    )

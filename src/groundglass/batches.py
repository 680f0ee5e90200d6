"""Minibatches: an image with label sets, or an image without any field for a label."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    image: Tensor
    label_set: Tensor
    prior: Tensor | None = None
    soft: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Slices without labels: there is no field that one could leak through.

    Attributes:
        image: (B, 1, H, W), float32, windowed to [0, 1].
        prior: (B, K, H, W), what another model said, for networks that take one.
    """

    image: Tensor
    prior: Tensor | None = None


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

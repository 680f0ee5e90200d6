"""What labelled slices cost by default: cross-entropy of sets, and soft Dice of every region they can answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from groundglass.losses.label_set import cross_entropy
from groundglass.losses.region_dice import region_dice


def label_set_losses(
    logits: Tensor,
    label_set: Tensor,
    outputs: Sequence[int],
    dice: float = 1.0,
    weights: Sequence[float] | None = None,
    soft: Tensor | None = None,
    by_slice: bool = False,
) -> dict[str, Tensor]:
    """``cross_entropy``, and ``dice``: the mean over the regions that occur in the batch.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
        dice: what the Dice term is multiplied with; 0 leaves it out.
        weights: of each channel in the cross-entropy.
        soft: (B, K, H, W), labels that are probabilities, for the cross-entropy alone.
        by_slice: Dice is of each slice, not of the batch as a whole.

    Returns:
        Name -> scalar; no ``dice`` where no region occurs.
    """
    logits = logits.float()  # once for all terms, so that their gradients meet in float32
    losses = {"cross_entropy": cross_entropy(logits, label_set, outputs, weights, soft)}
    if dice:
        regions = region_dice(logits, label_set, outputs, by_slice=by_slice)
        if regions:
            losses["dice"] = dice * torch.stack(list(regions.values())).mean()
    return losses

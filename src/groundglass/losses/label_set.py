"""Cross-entropy of label sets: full labels, partial labels, scribbles and unknown pixels are one formula.

Fidon et al., "Label-set loss functions for partial supervision", MICCAI 2021 (arXiv 2107.03846): the
marginal cross-entropy.

| here | there |
|---|---|
| ``label_set`` | g_i, the label set of voxel i |
| ``logits`` | p_i before its softmax |
| ``outputs`` | (ours) the tissue group of each channel; theirs is one class a channel |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def allowed(label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """Whether the label set leaves a channel possible: its group and the set intersect.

    Groups are computed so that the labels trained on never split one (``groups.tissue_groups``), and then
    "intersects" and "lies within" are the same. With finer labels than the groups' (a checkpoint that is
    trained further on other data), a channel whose group lies partly in the set may be right, and is not
    punished: the loss is then the least that any split of the channel's probability could cost.

    Args:
        label_set: (B, H, W), uint8, 1 to 15.
        outputs: the tissue group of each of K channels.

    Returns:
        (B, K, H, W), bool.
    """
    groups = torch.tensor(outputs, dtype=torch.uint8, device=label_set.device).view(1, -1, 1, 1)
    return (label_set.unsqueeze(1) & groups) != 0


def cross_entropy(
    logits: Tensor,
    label_set: Tensor,
    outputs: Sequence[int],
    weights: Sequence[float] | None = None,
    soft: Tensor | None = None,
) -> Tensor:
    """``-log sum_{t in S} p_t``, the mean over pixels where S says something.

    Where labels are probabilities q and no sets, ``-sum_k q_k log p_k``: a pixel counts as much as its q sum to.

    A pixel whose set leaves every channel possible ("unknown") costs nothing and does not count in the mean.
    The empty set, 0, is no label set: its loss is infinite.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
        weights: of each channel; a set weighs as much as the least of its members, and the mean is divided
            by the weights that went into it, as in ``torch.nn.functional.cross_entropy``.
        soft: (B, K, H, W), q of each channel, 0 where the label is a set.

    Returns:
        A scalar, float32; 0 with a gradient of 0 where nothing is known.
    """
    logits = logits.float()
    possible = allowed(label_set, outputs)
    loss = logits.logsumexp(dim=1) - torch.where(possible, logits, -torch.inf).logsumexp(dim=1)  # (B, H, W)
    weight = (~possible.all(dim=1)).float()
    if weights is not None:
        each = torch.tensor(weights, dtype=torch.float32, device=logits.device).view(1, -1, 1, 1)
        weight = weight * torch.where(possible, each, torch.inf).amin(dim=1)
    cost, total = (weight * loss).sum(), weight.sum()
    if soft is not None:
        each = torch.tensor(weights or [1.0] * len(outputs), device=logits.device).view(1, -1, 1, 1) * soft
        cost = cost - (each * logits.log_softmax(dim=1)).sum()
        total = total + each.sum()
    return cost / torch.where(total > 0, total, 1)

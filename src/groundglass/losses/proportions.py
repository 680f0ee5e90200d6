"""Proportions loss: predicted class shares have to be the true ones. Jin et al., Inform. Sci. 2022, eq. 11.

| here | there |
|---|---|
| ``label_shares`` | y_k, eq. 3: the share of the pixels whose label is k |
| ``predicted_shares`` | p_k, eq. 8: the mean probability of k |
| ``proportions_loss`` | (y - p)^2, eq. 11, without its lambda |
| cross-entropy | = H(F | K), the mean of -log(p_ik / p_k), - sum_k y_k log p_k (eq. 8 to 10; the tests have numbers) |

Labels are sets here, and one that leaves several classes possible has no share of its own. Classes that any pixel of
the picture ties together are joined, and pixels of which nothing is known are left out of both shares (ours).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from groundglass.losses.label_set import allowed


def proportions_loss(logits: Tensor, label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """``sum_k (y_k - p_k)^2`` of each picture, k a class or several that are tied; the mean over pictures.

    A picture of which nothing is known costs nothing and does not count in the mean.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.

    Returns:
        A scalar, float32; 0 with a gradient of 0 where nothing is known.
    """
    probability = logits.float().softmax(dim=1)
    possible = allowed(label_set, outputs)
    known = ~possible.all(dim=1, keepdim=True)
    first = _joined(possible & known).float().argmax(dim=2)  # of each class, the first that it is joined with
    own = functional.one_hot(first, len(outputs)).float()  # (B, K, J)
    predicted = _sums(predicted_shares(probability, known), own)
    true = _sums(predicted_shares((possible & known) / possible.sum(dim=1, keepdim=True), known), own)
    seen = known.flatten(1).any(dim=1).float()
    total = ((true - predicted).square().sum(dim=1) * seen).sum()
    return total / seen.sum().clamp_min(1)


def predicted_shares(probability: Tensor, known: Tensor | None = None) -> Tensor:
    """The mean probability of each class (B, K) over the known pixels of a picture; 0 where there is none.

    Args:
        probability: (B, K, H, W).
        known: (B, 1, H, W), bool; all by default.
    """
    if known is None:
        return probability.mean(dim=(2, 3))
    return (probability * known).sum(dim=(2, 3)) / known.sum(dim=(2, 3)).clamp_min(1)


@torch.no_grad()
def label_shares(probability: Tensor, label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """The share of each class (K,) in all known pixels of a batch, summing to 1; 0 where nothing is known.

    A pixel that may be of several classes is shared out among them as their probabilities are (ours).

    Args:
        probability: (B, K, H, W), as predicted.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
    """
    possible = allowed(label_set, outputs)
    known = ~possible.all(dim=1, keepdim=True)
    return (within(probability, possible) * known).sum(dim=(0, 2, 3)) / known.sum().clamp_min(1)


def within(probability: Tensor, possible: Tensor) -> Tensor:
    """Probabilities (B, K, H, W) given that one of the possible classes is right: 1 where only one is."""
    kept = (probability.float() + torch.finfo(torch.float32).eps) * possible
    return kept / kept.sum(dim=1, keepdim=True)


def _sums(shares: Tensor, own: Tensor) -> Tensor:
    """Shares (B, K) as sums (B, J) over what is joined; no matrix product, which autocast would round."""
    return (shares[:, :, None] * own).sum(dim=1)


def _joined(held: Tensor) -> Tensor:
    """Whether two classes are tied by a pixel that may be either, or by a chain of such: (B, K, H, W) -> (B, K, K)."""
    flat = held.flatten(2).float()
    tied = (flat @ flat.transpose(1, 2)) > 0
    tied = tied | torch.eye(held.shape[1], dtype=torch.bool, device=held.device)
    for _ in range(held.shape[1].bit_length()):  # each turn doubles the length of the chains
        tied = (tied.float() @ tied.float()) > 0
    return tied

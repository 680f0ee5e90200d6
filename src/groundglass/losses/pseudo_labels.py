"""What a network answers, taken for labels: label sets that are unknown where it is not to be believed.

Lee, "Pseudo-label", ICML workshop 2013; with a threshold, Sohn et al., "FixMatch", NeurIPS 2020 (arXiv 2001.07685);
of pixels, Yang et al., "UniMatch", CVPR 2023 (arXiv 2208.09910).

| here | there |
|---|---|
| ``confident`` | argmax of p^w where max(p^w) >= tau |
| ``pseudo_cross_entropy`` | the mean over all pixels of 1(max(p^w) >= tau) H(p^w, p^s), UniMatch's eq. 2 |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from groundglass.labels import UNKNOWN
from groundglass.losses.label_set import allowed, cross_entropy


@torch.no_grad()
def answered(logits: Tensor, outputs: Sequence[int], trusted: Tensor | None = None) -> Tensor:
    """The most probable group of each pixel.

    Args:
        logits: (B, K, H, W), of any precision.
        outputs: the tissue group of each of K channels.
        trusted: (B, H, W), bool: where it is believed, elsewhere it is unknown; None: everywhere.

    Returns:
        Label sets (B, H, W), uint8.
    """
    groups = torch.tensor(outputs, dtype=torch.uint8, device=logits.device)
    sets = groups[logits.float().argmax(dim=1)]
    return sets if trusted is None else torch.where(trusted, sets, sets.new_tensor(int(UNKNOWN)))


@torch.no_grad()
def confident(logits: Tensor, outputs: Sequence[int], threshold: float, shown: Tensor | None = None) -> Tensor:
    """The most probable group where its probability is at least the threshold, elsewhere unknown: (B, H, W), uint8.

    Args:
        logits: (B, K, H, W), of any precision.
        outputs: the tissue group of each of K channels.
        threshold: in [0, 1].
        shown: (B, H, W), bool: what is no padding, of which it is unknown; None: everything.
    """
    sure = logits.float().softmax(dim=1).amax(dim=1) >= threshold
    return answered(logits, outputs, sure if shown is None else sure & shown)


def pseudo_cross_entropy(logits: Tensor, label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """The cross-entropy of sets, summed over known pixels and divided by the number of all.

    So what few pixels say weighs little: ``cross_entropy`` itself is the mean over known pixels.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8, the pseudo labels.
        outputs: the tissue group of each channel.

    Returns:
        A scalar, float32.
    """
    known = ~allowed(label_set, outputs).all(dim=1)
    return known.float().mean() * cross_entropy(logits, label_set, outputs)

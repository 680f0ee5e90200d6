"""A prior on how much of a picture each class is: what labelled pictures say, asked of others (ours).

Of unlabelled pictures a generative segmenter may call everything one class. How large the classes are on average is
known from labels. The target enters the divergence linearly, so that a batch's own shares, noisy as they are, pull
on average where those of all labelled pictures would.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

from groundglass.losses.label_set import allowed


def shares_of(label_set: Tensor, outputs: Sequence[int]) -> Tensor | None:
    """The share of each group (K,) among pixels whose set leaves one group possible; None where there are none.

    Args:
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each of K channels.
    """
    possible = allowed(label_set, outputs)
    told = possible & (possible.sum(dim=1, keepdim=True) == 1)
    count = told.sum(dim=(0, 2, 3)).float()
    return count / count.sum() if count.any() else None


def share_divergence(logits: Tensor, shares: Tensor, shown: Tensor | None = None) -> Tensor:
    """``sum_k s_k log(s_k / mean p_k)``, the mean over all pixels of all pictures together.

    Args:
        logits: (B, K, H, W), of any precision.
        shares: s, (K,), their sum 1.
        shown: (B, H, W), bool: what is no padding; None: everything.

    Returns:
        A scalar, float32; 0 where nothing is shown or the mean probability of each class is its share, else more.
    """
    each = logits.float().log_softmax(dim=1).transpose(0, 1).flatten(1)  # (K, B H W)
    if shown is not None:
        each = each[:, shown.flatten()]
    if not each.numel():
        return 0 * logits.float().sum()
    mean = each.logsumexp(dim=1) - log(each.shape[1])
    return (torch.xlogy(shares, shares) - shares * mean).sum()

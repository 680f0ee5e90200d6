"""How unsure an answer is: Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", NIPS 2004.

| here | there |
|---|---|
| ``entropy`` | E_x, eq. 2 of Vu et al., "ADVENT", CVPR 2019 (arXiv 1811.12833) |
"""

from __future__ import annotations

from math import log

from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """``-1 / log K sum_k p_k log p_k`` of each pixel: 0 where one channel is certain, 1 where all are alike.

    Args:
        logits: (B, K, H, W), of any precision, K at least 2.

    Returns:
        (B, H, W), float32.
    """
    logs = logits.float().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1) / log(logits.shape[1])

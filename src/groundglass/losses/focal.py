"""A sigmoid a channel, on label sets: binary cross-entropy, and the focal loss that takes its place.

Xing et al., SSInfNet (2021), eq. 6 and 7; Lin et al., "Focal loss for dense object detection", ICCV 2017 (arXiv
1708.02002).

| here | there |
|---|---|
| ``logits`` of a channel, its sigmoid | y^_i, the network's answer for a class |
| whether the label set lies within a channel's group, or outside it | y_i = 1, y_i = 0 |
| p_t | p_t: y^ where y = 1, 1 - y^ where y = 0 |
| ``gamma``, ``alpha`` | gamma, alpha_t |

Eq. 6 lacks its minus sign. Gamma 2 and alpha 1 are ours, as the paper gives neither; with one alpha for both signs,
gamma 0 is eq. 6. A channel of whose group the label set holds a part and something else ("infection" for ground
glass) has no answer there and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor


def binary_cross_entropy(logits: Tensor, label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """``-(y log y^ + (1 - y) log(1 - y^))``, the mean over channels and pixels whose y is known (eq. 6).

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.

    Returns:
        A scalar, float32; 0 with a gradient of 0 where nothing is known.
    """
    true, known = _right(logits, label_set, outputs)
    return _mean(F.softplus(-true), known)


def focal_loss(
    logits: Tensor, label_set: Tensor, outputs: Sequence[int], gamma: float = 2.0, alpha: float = 1.0
) -> Tensor:
    """``-alpha (1 - p_t)^gamma log p_t``, the mean over channels and pixels whose y is known (eq. 7).

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
        gamma: how much less a sure and right answer counts.
        alpha: of all.

    Returns:
        A scalar, float32; 0 with a gradient of 0 where nothing is known.
    """
    true, known = _right(logits, label_set, outputs)
    easy = (-gamma * F.softplus(true)).exp()  # (1 - p_t)^gamma, p_t being the sigmoid of `true`
    return alpha * _mean(easy * F.softplus(-true), known)


def _right(z: Tensor, label_set: Tensor, outputs: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The logit of the true side of each channel, whose sigmoid is p_t, and where that side is known: (B, K, H, W)."""
    z = z.float()
    group = torch.tensor(outputs, dtype=torch.uint8, device=label_set.device).view(1, -1, 1, 1)
    held = label_set.unsqueeze(1)
    inside, outside = (held & ~group) == 0, (held & group) == 0
    return torch.where(inside, z, -z), inside | outside


def _mean(loss: Tensor, known: Tensor) -> Tensor:
    return (loss * known).sum() / known.sum().clamp(min=1)

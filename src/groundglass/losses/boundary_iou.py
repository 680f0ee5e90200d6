"""Intersection over union of the infection, its boundary counting up to six times: Inf-Net's L_IoU.

Fan et al., Inf-Net, IEEE TMI 2020 (arXiv 2004.14133), eq. 4 of SSInfNet (2021); the weight is that of Wei et al.,
F3Net, AAAI 2020 (arXiv 1911.11445).

| here | there |
|---|---|
| ``1 + 5 abs(mean31(t) - t)`` | the weight of hard pixels; (released) it does not reach the cross-entropy |
| + 1 above and below the line | (released) a picture without infection has a loss too |

As released, what lies beyond the picture counts as no infection in the mean over 31 x 31 pixels; so do unknown pixels,
which are left out of everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.labels import UNKNOWN, Region
from groundglass.losses.region_dice import region_probability

WIDTH: Final = 31
WEIGHT: Final = 5.0


def boundary_iou(
    logits: Tensor, label_set: Tensor, outputs: Sequence[int], region: Region = Region.INFECTION
) -> Tensor:
    """``1 - (sum(w p t) + 1) / (sum(w (p + t - p t)) + 1)`` of each picture, the mean over the batch.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
        region: p is its probability; t is 1 in it, 0 outside it.

    Returns:
        A scalar, float32, 0 to 1; 0 with a gradient of 0 where nothing is known.

    Raises:
        UsageError: a channel lies partly in the region, so that these channels cannot answer.
    """
    held = int(region.value)
    p = region_probability(logits, outputs, region)
    t = ((label_set & (UNKNOWN & ~held)) == 0).float()
    weight = boundary_weight(t) * ((t == 1) | ((label_set & held) == 0))
    both = (weight * p * t).sum(dim=(1, 2))
    either = (weight * (p + t - p * t)).sum(dim=(1, 2))
    return (1 - (both + 1) / (either + 1)).mean()


@torch.no_grad()
def boundary_weight(mask: Tensor) -> Tensor:
    """``1 + 5 abs(mean31(m) - m)`` of a mask m (B, H, W) of 0 and 1: 1 far from its boundary, 6 at most."""
    rows = F.avg_pool2d(mask.unsqueeze(1), (WIDTH, 1), stride=1, padding=(WIDTH // 2, 0))
    mean = F.avg_pool2d(rows, (1, WIDTH), stride=1, padding=(0, WIDTH // 2)).squeeze(1)
    return 1 + WEIGHT * (mean - mask).abs()

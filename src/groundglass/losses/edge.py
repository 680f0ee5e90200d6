"""The edge of the infection, and what a network's map of it costs: L_edge of Inf-Net.

Fan et al., Inf-Net, IEEE TMI 2020 (arXiv 2004.14133), eq. 5 of SSInfNet (2021). Neither paper defines the edge. Of the
edge maps that came with COVID-SemiSeg, four were compared with their masks: the pixels on either side of the boundary,
as here, meet them with Dice 0.99 to 1.00 (the inner side alone 0.66).
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.labels import UNKNOWN, Region


def edge_of(label_set: Tensor, region: Region = Region.INFECTION) -> tuple[Tensor, Tensor]:
    """Pixels that have a neighbour (up, down, left or right) on the other side of the region's boundary.

    Args:
        label_set: (B, H, W), uint8.
        region: whose edge.

    Returns:
        the edge, and where it is known, each (B, H, W), bool: what is no edge for certain has no unknown neighbour.
    """
    held = int(region.value)
    inside, outside = (label_set & (UNKNOWN & ~held)) == 0, (label_set & held) == 0
    near_inside, near_outside = _grown(inside), _grown(outside)
    edge = (inside & near_outside) | (outside & near_inside)
    near_unknown = _grown(~(inside | outside))
    return edge, edge | ~near_unknown


def edge_loss(logits: Tensor, label_set: Tensor, region: Region = Region.INFECTION) -> Tensor:
    """Binary cross-entropy of a map of edges, the mean over pixels where the edge is known.

    Args:
        logits: (B, 1, H, W), of any precision.
        label_set: (B, H, W), uint8.
        region: whose edge.

    Returns:
        A scalar, float32; 0 with a gradient of 0 where nothing is known.
    """
    edge, known = edge_of(label_set, region)
    loss = F.binary_cross_entropy_with_logits(logits.float().squeeze(1), edge.float(), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _grown(mask: Tensor) -> Tensor:
    """A mask (B, H, W) and the four neighbours of its pixels."""
    wide = F.pad(mask, (1, 1, 1, 1))
    up, down = wide[:, :-2, 1:-1], wide[:, 2:, 1:-1]
    left, right = wide[:, 1:-1, :-2], wide[:, 1:-1, 2:]
    return mask | up | down | left | right

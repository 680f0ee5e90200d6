"""Soft Dice of a region, pooled over the batch or of each slice.

Milletari et al., "V-Net", 3DV 2016 (arXiv 1606.04797), with |p| + |t| below the line instead of
|p|^2 + |t|^2 (ours: its gradient does not fade where p is near 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from groundglass.errors import UsageError
from groundglass.labels import UNKNOWN, Region
from groundglass.losses.groups import answers


def region_dice(
    logits: Tensor,
    label_set: Tensor,
    outputs: Sequence[int],
    regions: Iterable[Region] = tuple(Region),
    by_slice: bool = False,
) -> dict[Region, Tensor]:
    """``1 - 2 sum(p_R t) / (sum(p_R) + sum(t))`` of each region, over the batch's known pixels.

    p_R is the sum of the probabilities of the region's tissues. A pixel is in the region (t = 1) where its
    set lies within it, outside (t = 0) where they are disjoint, else unknown and left out.

    Args:
        logits: (B, K, H, W), of any precision.
        label_set: (B, H, W), uint8.
        outputs: the tissue group of each channel.
        regions: what is measured.
        by_slice: sums are over a slice's pixels, and the loss is the mean over the slices with a pixel of the region,
            so that a small lesion counts as much as a large one; what is found in other slices costs nothing here.

    Returns:
        Scalars, float32. A region is absent where the batch has no pixel of it, and where a channel lies
        partly in it, so that these channels cannot answer.
    """
    probability = logits.float().softmax(dim=1)
    losses = {}
    for region in regions:
        held = int(region.value)
        inside = (label_set & (UNKNOWN & ~held)) == 0
        if answers(outputs, region) and inside.any():
            known = inside | ((label_set & held) == 0)
            p = sum_of(probability, outputs, region) * known
            pixels = (1, 2) if by_slice else (0, 1, 2)
            if by_slice:
                some = inside.any(dim=2).any(dim=1)
                p, inside = p[some], inside[some]
            losses[region] = (1 - 2 * (p * inside).sum(pixels) / (p.sum(pixels) + inside.sum(pixels))).mean()
    return losses


def region_probability(logits: Tensor, outputs: Sequence[int], region: Region) -> Tensor:
    """The probability (B, H, W) of a region, float32: the sum over its tissues.

    Args:
        logits: (B, K, H, W), of any precision.
        outputs: the tissue group of each channel.
        region: what is asked for.

    Raises:
        UsageError: a channel lies partly in the region, so that these channels cannot answer.
    """
    if not answers(outputs, region):
        raise UsageError(
            f"The outputs {tuple(outputs)} do not tell {region.title.lower()} from the rest.",
            expected="groups of tissues that lie within the region or outside it",
            remedy="Name another region, or train with labels that hold it alone.",
        )
    return sum_of(logits.float().softmax(dim=1), outputs, region)


def sum_of(probability: Tensor, outputs: Sequence[int], region: Region) -> Tensor:
    """The probability (B, H, W) of a region, from that of each channel (B, K, H, W)."""
    first, *others = (channel for channel, group in enumerate(outputs) if group & int(region.value))
    total = probability[:, first]
    for channel in others:
        total = total + probability[:, channel]
    return total

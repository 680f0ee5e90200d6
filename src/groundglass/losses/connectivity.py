"""Total variation of a predicted region, which promotes connectivity: TV-UNet's term.

Saeedizadeh et al., "COVID TV-UNet", Comput. Methods Programs Biomed. Update 2021 (arXiv 2007.12303): the 2-D
anisotropic total variation, added to the cross-entropy.

| here | there |
|---|---|
| p_R | the predicted map of COVID-19 pixels |
| the mean over pixels | (ours) the sum, so that the term's weight does not depend on the image's size |

The weight beside the cross-entropy is the caller's; the paper's could not be checked.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from groundglass.labels import Region
from groundglass.losses.region_dice import region_probability


def total_variation(logits: Tensor, outputs: Sequence[int], region: Region = Region.INFECTION) -> Tensor:
    """``(sum |p[y + 1, x] - p[y, x]| + sum |p[y, x + 1] - p[y, x]|) / (H W)``, the mean over the batch.

    p is the probability of the region: the sum over its tissues. A flat map costs 0; of two maps with the same
    number of pixels in the region the one with the shorter outline costs less. It needs no label.

    Args:
        logits: (B, K, H, W), of any precision.
        outputs: the tissue group of each channel.
        region: what should be connected.

    Returns:
        A scalar, float32, 0 to 2.

    Raises:
        UsageError: a channel lies partly in the region, so that these channels cannot answer.
    """
    p = region_probability(logits, outputs, region)
    return (p.diff(dim=1).abs().sum() + p.diff(dim=2).abs().sum()) / p.numel()

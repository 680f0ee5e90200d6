"""Segmentation against a discriminator: Hung et al., BMVC 2018; Jin et al., Inform. Sci. 2022, eq. 12 to 14.

| here | there |
|---|---|
| ``confidence`` | D(.) before its sigmoid: how much each pixel of a map of classes looks like a label |
| ``adversarial_loss`` | L_adv, eq. 12 |
| ``refined_labels`` | pseudo labels, eq. 13 |
| ``discriminator_loss`` | L_D, eq. 14, binary cross-entropy (a bracket is missing there) |

Means over pixels in place of sums, as in Hung et al.'s released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.losses.pseudo_labels import answered


def adversarial_loss(confidence: Tensor) -> Tensor:
    """``-log D(S(I))``: what predictions cost that are told from labels.

    Args:
        confidence: (B, 1, H, W), logits of any precision.

    Returns:
        A scalar, float32.
    """
    return F.softplus(-confidence.float()).mean()


def discriminator_loss(predicted: Tensor, labelled: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``-log(1 - D(S(X)))`` and ``-log D(Y)``, the second where the label is known.

    Args:
        predicted: (B, 1, H, W), the discriminator's logits of predictions.
        labelled: (B, 1, H, W), those of one-hot labels.
        known: (B, H, W), bool: pixels whose label is of one class.

    Returns:
        Two scalars, float32; the second 0 where nothing is known.
    """
    fake = F.softplus(predicted.float()).mean()
    real = F.softplus(-labelled.float()).squeeze(1)
    return fake, (real * known).sum() / known.sum().clamp_min(1)


@torch.no_grad()
def refined_labels(logits: Tensor, confidence: Tensor, outputs: Sequence[int], threshold: float) -> Tensor:
    """The most probable group of each pixel where the confidence is above T, elsewhere unknown (eq. 13).

    Args:
        logits: (B, K, H, W), of the segmentation.
        confidence: (B, 1, H, W), logits of the discriminator.
        outputs: the tissue group of each of K channels.
        threshold: T, in [0, 1].

    Returns:
        Label sets (B, H, W), uint8.
    """
    return answered(logits, outputs, confidence.float().sigmoid().squeeze(1) > threshold)

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
from groundglass.losses.shown import mean_of_shown


def adversarial_loss(confidence: Tensor, shown: Tensor | None = None) -> Tensor:
    """``-log D(S(I))``: what predictions cost that are told from labels.

    Args:
        confidence: (B, 1, H, W), logits of any precision.
        shown: (B, H, W), bool: what is no padding; None: everything.

    Returns:
        A scalar, float32.
    """
    return mean_of_shown(F.softplus(-confidence.float()).squeeze(1), shown)


def discriminator_loss(predicted: Tensor, labelled: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``-log(1 - D(S(X)))`` and ``-log D(Y)``, both where the label is known: it would tell the rest by its place.

    Args:
        predicted: (B, 1, H, W), the discriminator's logits of predictions.
        labelled: (B, 1, H, W), those of one-hot labels.
        known: (B, H, W), bool: pixels whose label is of one class.

    Returns:
        Two scalars, float32; 0 where nothing is known.
    """
    fake = mean_of_shown(F.softplus(predicted.float()).squeeze(1), known)
    return fake, mean_of_shown(F.softplus(-labelled.float()).squeeze(1), known)


@torch.no_grad()
def refined_labels(
    logits: Tensor, confidence: Tensor, outputs: Sequence[int], threshold: float, shown: Tensor | None = None
) -> Tensor:
    """The most probable group of each pixel where the confidence is above T, elsewhere unknown (eq. 13).

    Args:
        logits: (B, K, H, W), of the segmentation.
        confidence: (B, 1, H, W), logits of the discriminator.
        outputs: the tissue group of each of K channels.
        threshold: T, in [0, 1].
        shown: (B, H, W), bool: what is no padding, of which nothing is said; None: everything.

    Returns:
        Label sets (B, H, W), uint8.
    """
    trusted = confidence.float().sigmoid().squeeze(1) > threshold
    return answered(logits, outputs, trusted if shown is None else trusted & shown)

"""The likelihood of a picture that a segmentation stitches together from styles: StichNet (2020), StitchNet (2022).

| here | there |
|---|---|
| ``log_likelihood`` of a set S of labels | log of the sum over y in S of p(y given z) p(x given y, z) |
| S holds one tissue | J_LAB: log p(x, y given z) |
| S holds all ("unknown") | J_UN: log of the sum over y of p(x, y given z) |
| ``joint`` | log p(x, y given z); its softmax over y is p(y given x, z) |
| ``stitched`` | Phi: each pixel from the style of its label |
| ``bits_per_pixel`` | the negative of either objective, in the unit of compression |

So labelled, unlabelled and partly labelled pictures (a healthy scan is one: no lesion anywhere) are one formula. The
papers print J with a factor q(z given x) before its bracket, which is a misprint for the one sample of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

from groundglass.losses.beta import STEPS, exact
from groundglass.losses.label_set import allowed


def joint(logits: Tensor, density: Tensor) -> Tensor:
    """``log p(y) p(x | y)`` of each pixel, nats: (B, K, H, W), float32.

    Args:
        logits: (B, K, H, W), of any precision; p(y) is their softmax.
        density: log p(x | y), (B, K, H, W).
    """
    return exact(logits).log_softmax(dim=1) + exact(density)


def log_likelihood(logits: Tensor, density: Tensor, label_set: Tensor, outputs: Sequence[int]) -> Tensor:
    """``log sum_{y in S} p(y) p(x | y)`` of each pixel, nats.

    Args:
        logits: (B, K, H, W), of any precision; p(y) is their softmax.
        density: log p(x | y), (B, K, H, W).
        label_set: S, (B, H, W), uint8; 15 where nothing is known.
        outputs: the tissue group of each channel; a group that has several styles is there as often.

    Returns:
        (B, H, W), float32; minus infinity where S is empty, which is no label set.
    """
    return torch.where(allowed(label_set, outputs), joint(logits, density), -torch.inf).logsumexp(dim=1)


def stitched(logits: Tensor, styles: Tensor) -> Tensor:
    """The picture (B, 1, H, W) whose every pixel is that of its most probable label's style.

    Args:
        logits: (B, K, H, W).
        styles: (B, K, H, W), grey values in [0, 1].
    """
    return styles.gather(1, logits.argmax(dim=1, keepdim=True))


def bits_per_pixel(log_likelihood: Tensor, divergence: Tensor) -> Tensor:
    """``(divergence - log p) / log 2 + 8``: what it would take to send a pixel of 256 grey values.

    Args:
        log_likelihood: nats a pixel, of the density of dequantised grey values.
        divergence: nats a pixel.
    """
    return (divergence - log_likelihood) / log(2) + log(STEPS) / log(2)

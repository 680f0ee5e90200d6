"""What an inpainted picture costs: L_rec of SSInfNet (Xing et al., 2021), algorithm 1; and the edges of a picture.

The paper says cross-entropy, and that the last layers are linear: here it is binary cross-entropy of logits, each grey
value in [0, 1] being a probability (ours), or the squared difference. The first is least at the picture's own entropy,
not at 0.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.losses.shown import mean_of_shown

Kind = Literal["cross_entropy", "squared"]


def reconstruction_loss(
    logits: Tensor, target: Tensor, kind: Kind = "cross_entropy", shown: Tensor | None = None
) -> Tensor:
    """``-(x log s + (1 - x) log(1 - s))`` with s = sigmoid(logits), or ``(logits - x)^2``: the mean over pixels.

    Args:
        logits: (B, 1, H, W), of any precision.
        target: x, (B, 1, H, W), [0, 1].
        kind: which of the two.
        shown: (B, H, W), bool: what is no padding; None: everything.

    Returns:
        A scalar, float32.
    """
    logits, target = logits.float(), target.float()
    loss = F.mse_loss if kind == "squared" else F.binary_cross_entropy_with_logits
    return mean_of_shown(loss(logits, target, reduction="none").squeeze(1), shown)


def picture_of(logits: Tensor, kind: Kind = "cross_entropy") -> Tensor:
    """The grey values (B, 1, H, W) in [0, 1] that such logits mean."""
    return logits.float().sigmoid() if kind == "cross_entropy" else logits.float().clamp(0, 1)


@torch.no_grad()
def gradient_magnitude(image: Tensor) -> Tensor:
    """How steep a picture (B, 1, H, W) in [0, 1] is: the length of its central differences, 0 to 0.71 (ours)."""
    wide = F.pad(image, (1, 1, 1, 1), mode="replicate")
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    right = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    return (down.square() + right.square()).sqrt()

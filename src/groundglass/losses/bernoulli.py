"""The Bernoulli of a grey value: StichNet's likelihood of a picture (Zammit, 2020, eq. 5).

| here | there |
|---|---|
| ``styles``, their sigmoid | lambda_theta(z, k) of b, h, g and c |
| ``log_density`` | log BERN(x; lambda), x a pixel of the picture |
| ``expected`` | what a style looks like: lambda |

A grey value is neither 0 nor 1. Over [0, 1] the density integrates to (1 - 2 lambda) / log((1 - lambda) / lambda), at
most 1/2 and not 1: it has no normaliser, and a bound made of it is not in bits of a picture. It is largest where lambda
is x, which is what training takes from it.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

from groundglass.losses.beta import exact


def log_density(styles: Tensor, x: Tensor) -> Tensor:
    """``x log lambda + (1 - x) log(1 - lambda)``, nats.

    Args:
        styles: (B, K, H, W), of any precision, logits of lambda.
        x: (B, 1, H, W), [0, 1].

    Returns:
        (B, K, H, W), float32.
    """
    styles, x = exact(styles), exact(x)
    return x * F.logsigmoid(styles) + (1 - x) * F.logsigmoid(-styles)


def expected(styles: Tensor) -> Tensor:
    """Lambda, the grey value of each style (B, K, H, W), [0, 1]."""
    return exact(styles).sigmoid()

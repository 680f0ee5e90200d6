"""The Beta density of a grey value: StitchNet's likelihood of a picture (Zammit et al., 2022).

| here | there |
|---|---|
| ``concentrations`` of ``styles`` (B, 2 K, H, W) | alpha_theta(z), beta_theta(z) of b, h, g and c |
| ``log_density`` | log BETA(x; alpha, beta), x a pixel of the picture |
| ``expected`` | what a style looks like: the mean, alpha / (alpha + beta) |

Ours:
- softplus and a floor make alpha and beta positive. (Released: ReLU and 1e-7, which lets both vanish, and the density's
  mass run to the two ends.)
- or the two channels are the mean, by a sigmoid, and the logarithm of the strength alpha + beta (``form="mean"``): a
  density as narrow as noise is, alpha + beta some 1000, is a few units away then, not a thousand.
- A grey value is one of 256 steps of a ruler, spread evenly over its step (Theis et al., arXiv 1511.01844): the density
  cannot grow without end on pictures whose air is all one grey, x lies within the open interval, and a bit is a bit:
  the density at such an x, less log 256, bounds the log-probability of the step on average.
"""

from __future__ import annotations

from math import log
from typing import Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor

Form = Literal["shapes", "mean"]
FLOOR: Final = 0.1  # of alpha and beta
STRONGEST: Final = 1e4  # alpha + beta in the form of a mean, at most: narrower than a step of grey
STEPS: Final = 256  # of grey
EDGE: Final = 1e-6  # how near x comes to 0 and 1


def dequantised(image: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """``(255 x + u) / 256``, u even between 0 and 1, or 1/2 where nothing is to be random.

    Args:
        image: x, [0, 1], any shape.
        generator: of u, drawn on the processor.

    Returns:
        The same shape, within (0, 1).
    """
    u = 0.5 if generator is None else torch.rand(image.shape, generator=generator).to(image)
    return (((STEPS - 1) * image + u) / STEPS).clamp(EDGE, 1 - EDGE)


def concentrations(styles: Tensor, form: Form = "shapes") -> tuple[Tensor, Tensor]:
    """Alpha and beta, each (B, K, H, W) and at least the floor, of what a network says (B, 2 K, H, W).

    Of the form ``shapes`` it says alpha's and then beta's before they are positive; of ``mean`` the logit of the mean
    and then nearly the logarithm of the strength, which it cannot drive above 1e4.
    """
    first, second = exact(styles).chunk(2, dim=1)
    if form == "mean":
        strength = STRONGEST * (second - log(STRONGEST)).sigmoid()  # 1 / (exp(-second) + 1 / STRONGEST)
        return first.sigmoid() * strength + FLOOR, (-first).sigmoid() * strength + FLOOR
    return F.softplus(first) + FLOOR, F.softplus(second) + FLOOR


def log_density(styles: Tensor, x: Tensor, form: Form = "shapes") -> Tensor:
    """``(a - 1) log x + (b - 1) log(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b)``, nats.

    Args:
        styles: (B, 2 K, H, W), of any precision.
        x: (B, 1, H, W), within (0, 1).
        form: what the styles' channels are, see ``concentrations``.

    Returns:
        (B, K, H, W), float32. Its error is that of lgamma: 1e-2 where a + b is 1e4.
    """
    alpha, beta = concentrations(styles, form)
    x = exact(x)
    normaliser = torch.lgamma(alpha + beta) - torch.lgamma(alpha) - torch.lgamma(beta)
    return (alpha - 1) * x.log() + (beta - 1) * torch.log1p(-x) + normaliser


def expected(styles: Tensor, form: Form = "shapes") -> Tensor:
    """The mean grey value of each style (B, K, H, W), [0, 1]: the ruler's end is half a step from x's."""
    alpha, beta = concentrations(styles, form)
    return ((STEPS * alpha / (alpha + beta) - 0.5) / (STEPS - 1)).clamp(0, 1)


def exact(x: Tensor) -> Tensor:
    """In float32, or in float64 where it is that already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

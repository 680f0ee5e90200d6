"""Normal distributions of independent numbers, as the latents of a ladder have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Normal:
    """Mean and variance of each number, float32, of one shape; variances are above 0."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def standard(cls, like: Tensor) -> Self:
        """N(0, 1) for each number of a tensor."""
        return cls(torch.zeros_like(like), torch.ones_like(like))

    def drawn(self, generator: torch.Generator | None) -> Tensor:
        """A sample, whose noise is drawn on the processor; without a generator the mean."""
        if generator is None:
            return self.mean
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean)
        return self.mean + self.variance.sqrt() * noise


def weighted(one: Normal, other: Normal) -> Normal:
    """The two put together, each by its precision: 1/v = 1/v_1 + 1/v_2, m/v = m_1/v_1 + m_2/v_2.

    Written without a division by a variance, of which either may be small.
    """
    total = one.variance + other.variance
    mean = (one.mean * other.variance + other.mean * one.variance) / total
    return Normal(mean, one.variance * (other.variance / total))

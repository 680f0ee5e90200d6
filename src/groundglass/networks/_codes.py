"""Vector quantisation: features replaced by the nearest of a few learnt vectors, the codes.

Van den Oord et al., NeurIPS 2017 (arXiv 1711.00937); Razavi et al., VQ-VAE-2, NeurIPS 2019 (arXiv 1906.00446); as
Jin et al. (Inform. Sci. 2022), eq. 1 and 2, use it.

| here | there |
|---|---|
| ``features`` | E(x) |
| ``codes`` | e_k |
| ``commitment``, 0.25 | beta, eq. 2 |
| ``moving_average`` | the codes are averages of the features that chose them (2017, appendix A.1; gamma is 0.99), |
| | and eq. 2's second term is left out; else the term moves them |

Ours: a code that has become rare, below a tenth of an even share, is put where a feature of the batch lies, drawn by
torch's own generator; at the first batch that is all of them. It then has twenty batches to be chosen, and little
weight, so that it soon moves to what chose it. Use is counted as a share of the batch's features, so that batches of
any size weigh the same. As batch norm, the codes move at each training-mode pass and rest in eval mode.
Over several processes they are averaged as batch statistics are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.networks._layers import in_float32

COMMITMENT: Final = 0.25
DECAY: Final = 0.99
RARE: Final = 0.1  # of an even share
TRIED: Final = 20  # batches that a code has, once put elsewhere, until it is rare again if none chose it


@dataclass(frozen=True, eq=False)
class Quantised:
    """Features by their codes.

    Attributes:
        values: (B, D, h, w), the codes; their gradient goes straight through to the features.
        numbers: (B, h, w), which code, int64.
        loss: what of eq. 2 is not the reconstruction, a scalar, float32.
    """

    values: Tensor
    numbers: Tensor
    loss: Tensor


class Codebook(nn.Module):
    """K codes of D numbers."""

    codes: Tensor
    share: Tensor
    used: Tensor

    def __init__(self, count: int = 512, channels: int = 64, *, moving_average: bool = True) -> None:
        """Make the codes, random until the first training batch.

        Args:
            count: K.
            channels: D.
            moving_average: how the codes move, see above; they are buffers then, else a parameter.
        """
        super().__init__()
        self.moving_average = moving_average
        codes = torch.randn(count, channels)
        if moving_average:
            self.register_buffer("codes", codes)
        else:
            self.codes = nn.Parameter(codes)
        self.register_buffer("share", torch.zeros(count))  # weight of each code: 0 makes it rare
        self.register_buffer("used", torch.zeros(count))  # the moving average of its use alone

    def forward(self, features: Tensor) -> Quantised:
        """Features (B, D, h, w), of any precision, by their codes; in float32, because bfloat16 has ties."""
        with in_float32(features):
            x = features.float().permute(0, 2, 3, 1)
            flat = x.detach().flatten(0, 2)
            if self.training:
                self._replace_rare(flat)
            numbers = self._nearest(flat)
            chosen = F.embedding(numbers, self.codes).view_as(x)  # eq. 1
            loss = COMMITMENT * F.mse_loss(x, chosen.detach())
            if not self.moving_average:
                loss = loss + F.mse_loss(chosen, x.detach())
            if self.training:
                self._count(flat, numbers)
            values = (x + (chosen - x).detach()).permute(0, 3, 1, 2).to(features.dtype)
        return Quantised(values, numbers.view(x.shape[:3]), loss)

    def perplexity(self) -> Tensor:
        """``exp`` of the entropy of the codes' use of late: 1 where one does it all, K where all are used alike."""
        share = self.used / self.used.sum().clamp_min(torch.finfo(torch.float32).tiny)
        entropy: Tensor = torch.special.entr(share).sum()
        return entropy.exp()

    @torch.no_grad()
    def _nearest(self, flat: Tensor) -> Tensor:
        """Number (N,) of the code nearest to each feature (N, D); that a distance has |x|^2 in it changes nothing."""
        return (self.codes.square().sum(dim=1) - 2 * flat @ self.codes.T).argmin(dim=1)

    @torch.no_grad()
    def _replace_rare(self, flat: Tensor) -> None:
        even = 1 / len(self.codes)
        drawn = torch.randint(len(flat), (len(self.codes),)).to(flat.device)  # always: one stream of random numbers
        rare = self.share < RARE * even
        self.codes.copy_(torch.where(rare[:, None], flat[drawn], self.codes))
        self.share.copy_(torch.where(rare, RARE * even / DECAY**TRIED, self.share))

    @torch.no_grad()
    def _count(self, flat: Tensor, numbers: Tensor) -> None:
        """Weights and, unless eq. 2 moves them, codes as moving averages."""
        use = torch.bincount(numbers, minlength=len(self.codes)) / len(flat)
        self.used.lerp_(use, 1 - DECAY)
        before = DECAY * self.share
        self.share.lerp_(use, 1 - DECAY)
        if self.moving_average:
            sums = torch.zeros_like(self.codes).index_add_(0, numbers, flat) / len(flat)
            self.codes.copy_((before[:, None] * self.codes + (1 - DECAY) * sums) / self.share[:, None])

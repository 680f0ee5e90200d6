"""The coach that chooses what is erased from a picture: Singh et al., BMVC 2018, as SSInfNet (2021) uses it.

| here | there |
|---|---|
| ``scores`` | B(x), eq. 2: one score for 16 x 16 pixels |
| ``kept`` | M = C(x), eq. 3 |
| ``share``, ``sharpness`` | k, alpha |

SSInfNet says that the backbone is like the inpainting network's. Ours is that of Singh et al. as released: ResNet-18
without its max-pool, and a stochastic head of 100 channels whose divergence from a standard normal distribution is
counted a millionth. Sum over channels and cells, mean over pictures: ours, as are random first weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import in_float32
from groundglass.networks.encoders import make_encoder

CELL = 16  # pixels a side
CHANNELS = 100


class Coach(nn.Module):
    """A score for each cell of a picture; the lowest are to be erased."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = make_encoder("resnet18", 1)
        self.encoder.maxpool = nn.Identity()  # so the last features are at 1/16
        width = self.encoder.channels[-1]
        self.mean = nn.Conv2d(width, CHANNELS, 1)
        self.log_variance = nn.Conv2d(width, CHANNELS, 1)
        self.score = nn.Conv2d(CHANNELS, 1, 1, bias=False)  # eq. 2 would take a bias away again

    def forward(self, image: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Scores of an image in [0, 1].

        Args:
            image: (B, 1, H, W), of sides that 16 divides.
            generator: of the head's noise; None for its mean.

        Returns:
            (B, 1, H / 16, W / 16), float32, and the divergence, a scalar.

        Raises:
            UsageError: 16 does not divide a side.
        """
        if any(side % CELL for side in image.shape[-2:]):
            raise UsageError(
                f"The coach erases cells of {CELL} x {CELL} pixels; the pictures have {tuple(image.shape[-2:])}.",
                expected=f"multiples of {CELL}",
                remedy="Prepare them at such a size.",
            )
        features = self.encoder(image)[-1]
        mean, log_variance = self.mean(features).float(), self.log_variance(features).float()
        drawn = mean
        if generator is not None:
            drawn = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator).to(mean)
        with in_float32(image):  # rounded to bfloat16, cells would tie
            scores: Tensor = self.score(drawn)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        return scores, divergence.sum() / len(image)


def kept(scores: Tensor, share: float, sharpness: float) -> Tensor:
    """How much of each cell is kept: ``sigmoid(alpha (B - SORT(B)^(k |B|)))``, eq. 2 and 3.

    SORT is descending, so cells that score less than the k-th share's last are erased: the larger k, the fewer.

    Args:
        scores: (B, 1, h, w).
        share: of the cells that are kept, k.
        sharpness: alpha: 1 lets the coach learn, 100 makes it almost 0 or 1 (and 1/2 for that last cell).

    Returns:
        (B, 1, h, w), 0 to 1.
    """
    flat = scores.flatten(1)
    last = max(round(share * flat.shape[1]), 1)
    threshold = flat.sort(dim=1, descending=True).values[:, last - 1]
    return (sharpness * (scores - threshold.view(-1, 1, 1, 1))).sigmoid()


def enlarged(cells: Tensor) -> Tensor:
    """Cells (B, 1, h, w) as pixels (B, 1, 16 h, 16 w)."""
    return F.interpolate(cells, scale_factor=CELL, mode="nearest")

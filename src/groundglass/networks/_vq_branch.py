"""The VQ-VAE branch of Jin et al. (Inform. Sci. 2022), section 3.2: beside any encoder that gives features.

| here | there |
|---|---|
| ``top`` | the top-level code: shape; of the encoder's last features ("the endpoint of the encoder", 3.2) |
| ``bottom`` | the bottom-level code: texture; of features at a quarter of the image's size (ours), as in VQ-VAE-2 |
| ``maps`` | both, the top one enlarged and put beside the bottom one: for the segmentation's way up |
| ``reconstruction`` | D(e), eq. 2 |

The paper has "a shared codebook" in one place and two levels after VQ-VAE-2 in all others; here each has its own. Sizes
of codebooks and decoder are not given. In VQ-VAE-2 the bottom code is made of the top one too; here it is not (ours).
Batch norm before each codebook (ours) keeps features where their codes are while the encoder learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._codes import Codebook
from groundglass.networks._layers import conv_norm, enlarge, up_conv

BOTTOM: Final = 4  # what the image's size is divided by at the bottom code


@dataclass(frozen=True, eq=False)
class Branched:
    """What the branch makes of features.

    Attributes:
        maps: (B, 2 D, H / 4, W / 4), both codes.
        reconstruction: (B, C, H, W), grey values; not held to [0, 1].
        loss: of eq. 2 what is not the reconstruction, a scalar, float32.
    """

    maps: Tensor
    reconstruction: Tensor
    loss: Tensor


class VQBranch(nn.Module):
    """Two codebooks and a decoder that draws the image from them."""

    def __init__(
        self, beside: Mapping[int, int], image_channels: int, codes: int, channels: int, *, moving_average: bool
    ) -> None:
        """Make the branch.

        Args:
            beside: channels of the encoder's features by what the image's size is divided by.
            image_channels: of the image that is drawn.
            codes: in each codebook.
            channels: of a code, D.
            moving_average: how the codes move (``_codes``).

        Raises:
            UsageError: the encoder has no features at a quarter of the image's size, or none below.
        """
        super().__init__()
        self.reduction = max(beside)
        if BOTTOM not in beside or self.reduction == BOTTOM:
            raise UsageError(
                f"An encoder with features at 1/{', 1/'.join(map(str, beside))} of the image's size.",
                expected=f"some at 1/{BOTTOM}, and smaller ones",
                remedy="Take another encoder.",
            )
        self.to_top = conv_norm(beside[self.reduction], channels, 1, relu=False)
        self.to_bottom = conv_norm(beside[BOTTOM], channels, 1, relu=False)
        self.top = Codebook(codes, channels, moving_average=moving_average)
        self.bottom = Codebook(codes, channels, moving_average=moving_average)
        self.decoder = nn.Sequential(
            conv_norm(2 * channels, channels),
            up_conv(channels, channels // 2),
            up_conv(channels // 2, channels // 4),
            nn.Conv2d(channels // 4, image_channels, 1),
        )

    def forward(self, features: Mapping[int, Tensor]) -> Branched:
        """Features of an encoder by their reduction."""
        top, bottom = self.top(self.to_top(features[self.reduction])), self.bottom(self.to_bottom(features[BOTTOM]))
        maps = torch.cat([enlarge(top.values, bottom.values.shape[-2:]).to(bottom.values.dtype), bottom.values], dim=1)
        return Branched(maps, self.decoder(maps), top.loss + bottom.loss)

    def perplexity(self) -> dict[str, Tensor]:
        """That of each codebook, by name."""
        return {name: book.perplexity() for name, book in (("top", self.top), ("bottom", self.bottom))}

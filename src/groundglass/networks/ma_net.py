"""MA-Net (Fan, Wang, Li and Wang, IEEE Access 8, 2020): a U-Net with attention over positions and channels.

| here | there |
|---|---|
| ``PositionAttention`` | PAB, position-wise attention block, at the bottom |
| ``FusionAttention`` | MFAB, multi-scale fusion attention block, at each size |
| ``weigh_raised``, ``weigh_beside`` | its squeeze-and-excitation of high-level and of low-level features |

Layers, channels and the softmax over all pairs of positions are those of segmentation_models.pytorch, the
public reading of this paper, and outputs equal its ``MAnet``'s, but for one thing: there what a position
attends to is stored transposed, and so lands at other positions and channels; here it stays where it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import conv_norm
from groundglass.networks._network import Network
from groundglass.networks.encoders import make_encoder
from groundglass.networks.unet import double_conv


class PositionAttention(nn.Module):
    """Adds to each position what it attends to at all others; n positions cost n^2 weights."""

    def __init__(self, channels: int, between: int = 64) -> None:
        super().__init__()
        self.asked = nn.Conv2d(channels, between, 1)
        self.asking = nn.Conv2d(channels, between, 1)
        self.content = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        scores = self.asking(x).flatten(2).transpose(1, 2) @ self.asked(x).flatten(2)  # (B, n, n)
        weights = scores.float().flatten(1).softmax(dim=1).view(scores.shape).to(x.dtype)
        attended = weights @ self.content(x).flatten(2).transpose(1, 2)  # (B, n, C)
        answer: Tensor = self.out(x + attended.transpose(1, 2).reshape(x.shape))
        return answer


def weigh_channels(channels: int, reduction: int) -> nn.Sequential:
    """Squeeze and excitation: (B, C, h, w) -> a weight in (0, 1) a channel, (B, C, 1, 1)."""
    between = max(1, channels // reduction)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, between, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, channels, 1),
        nn.Sigmoid(),
    )


class FusionAttention(nn.Module):
    """Doubles, weighs channels by what both sizes hold, and puts what went down beside it."""

    def __init__(self, below: int, beside: int, out_channels: int, reduction: int) -> None:
        super().__init__()
        self.fit = nn.Sequential(conv_norm(below, below), conv_norm(below, beside, 1))
        self.weigh_raised = weigh_channels(beside, reduction)
        self.weigh_beside = weigh_channels(beside, reduction)
        self.convs = double_conv(2 * beside, out_channels)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """(B, below, h, w) and (B, beside, 2 h, 2 w) -> (B, out, 2 h, 2 w)."""
        raised = F.interpolate(self.fit(x), scale_factor=2.0, mode="nearest")
        raised = raised * (self.weigh_raised(raised) + self.weigh_beside(beside))
        answer: Tensor = self.convs(torch.cat([raised, beside], dim=1))
        return answer


class MANet(Network):
    """An encoder, attention over positions at the bottom, attention over channels on the way up."""

    paper = "Fan, Wang, Li and Wang, MA-Net, IEEE Access 8, 2020, doi 10.1109/ACCESS.2020.3025372"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "resnet34",
        weights: str | None = None,
        widths: Sequence[int] = (256, 128, 64, 32, 16),
        reduction: int = 16,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            encoder: one of ``encoders.encoder_names()`` whose first feature is at half the image's size.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: feature channels of the way up, one for each doubling.
            reduction: what squeeze and excitation divides the channels by.

        Raises:
            UsageError: an encoder or a number of widths that does not fit.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = make_encoder(encoder, in_channels, weights=weights)
        *beside, below = self.encoder.channels
        if self.encoder.reductions[0] != 2 or len(widths) != len(beside) + 1:
            raise UsageError(
                f"MA-Net over {encoder!r} with {len(widths)} widths does not come out at the image's size.",
                expected="an encoder that begins at half that size, and a width for each of its features",
                remedy="Take a ResNet and five widths.",
            )
        self.stride = self.encoder.reductions[-1]
        self.bottom = PositionAttention(below)
        self.up = nn.ModuleList(
            FusionAttention(low, skip, out, reduction)
            for low, skip, out in zip((below, *widths), reversed(beside), widths, strict=False)
        )
        self.last = double_conv(widths[-2], widths[-1])
        self.head = nn.Conv2d(widths[-1], classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        *beside, x = (self.between(features) for features in self.encoder(self.check(image)))
        x = self.bottom(x)
        for up in self.up:
            x = up(x, beside.pop())
        logits: Tensor = self.head(self.last(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return logits

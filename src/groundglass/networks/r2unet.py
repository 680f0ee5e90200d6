"""R2U-Net (Alom et al., arXiv 1802.06955; J. Medical Imaging 2019): a U-Net of recurrent residual units.

| here | there |
|---|---|
| ``Recurrent`` | RCL: x^f + x^r, the input and the layer's last answer (equations 1 and 2) |
| ``steps`` | t = 2: one pass on the input alone, then t passes with feedback; all share their weights |
| ``RecurrentResidual`` | RRCNN: x_{l+1} = x_l + F(x_l), two recurrent layers in F (equation 3) |
| ``mix`` | (public code) a 1 x 1 convolution that fits the channels before the unit |

Differences: 64 to 1024 channels, batch norm inside the recurrent layer, and nearest doubling with a 3 x 3
convolution, as in the code that comparisons use (github.com/LeeJunHyun/Image_Segmentation, 39,091,393 weights); the
paper's own widths could not be checked. Batch statistics of a shared layer are of each pass's own. (There: one average
of all passes, though each sees something else, and what has been learnt well is answered badly in evaluation.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._layers import SharedNorm, conv_norm, up_conv
from groundglass.networks._network import Network


class Recurrent(nn.Module):
    """A convolution that sees its input and its own last answer."""

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = conv_norm(channels, channels)
        self.conv[1] = SharedNorm(channels, steps + 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        conv, norm, relu = self.conv
        answer: Tensor = relu(norm(conv(x), 0))
        for step in range(1, self.steps + 1):
            answer = relu(norm(conv(x + answer), step))
        return answer


class RecurrentResidual(nn.Module):
    """Two recurrent layers, and their input added to what they answer."""

    def __init__(self, in_channels: int, out_channels: int, steps: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(in_channels, out_channels, 1)
        self.layers = nn.Sequential(Recurrent(out_channels, steps), Recurrent(out_channels, steps))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        x = self.mix(x)
        answer: Tensor = x + self.layers(x)
        return answer


class R2UNet(Network):
    """Down with pooling, up with up-convolutions, recurrent residual units at each size."""

    paper = "Alom et al., R2U-Net, arXiv 1802.06955; J. Medical Imaging 6(1), 2019"
    changeable = True

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        steps: int = 2,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
            steps: passes with feedback, t; 0 or more.

        Raises:
            UsageError: a negative number of steps.
        """
        super().__init__()
        if steps < 0:
            raise UsageError(f"R2U-Net cannot take {steps} steps.", expected="0 or more", remedy="Take 2, the paper's.")
        self.in_channels, self.classes = in_channels, classes
        self.stride = 2 ** (len(widths) - 1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(RecurrentResidual(a, b, steps) for a, b in [(in_channels, widths[0]), *pairs])
        self.pool = nn.MaxPool2d(2)
        self.raise_ = nn.ModuleList(up_conv(b, a) for a, b in reversed(pairs))
        self.up = nn.ModuleList(RecurrentResidual(2 * a, a, steps) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        x = self.down[0](self.check(image))
        beside = []
        for down in self.down[1:]:
            beside.append(self.between(x))
            x = down(self.pool(x))
        x = self.between(x)
        for raise_, up in zip(self.raise_, self.up, strict=True):
            x = up(torch.cat([beside.pop(), raise_(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits

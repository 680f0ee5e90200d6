"""U-Net++ (Zhou, Siddiquee, Tajbakhsh and Liang, DLMIA 2018, arXiv 1807.10165), with batch norm.

| here | there |
|---|---|
| ``nodes["i_j"]`` | X^{i,j}: i halvings down the backbone, j along the skip pathway |
| ``double_conv`` | H, the convolution of a node |
| ``raise_["i_j"]`` | U, the up-sampling of X^{i+1,j-1} |
| ``widths`` | 32, 64, 128, 256, 512 filters (table 1) |
| ``forward_all``: ``depth_1`` to ``depth_4`` | the outputs at X^{0,1} to X^{0,4} |

Differences:
- batch norm after each convolution (ours) for the released code's dropout of 0.5, as in our U-Net; the paper
  gives neither. Without it, and with biases, these are the 9,041,601 weights that the authors count (9.04 M).
- U is a 2 x 2 transposed convolution: so is the released code's; equation 1 leaves it open.
- With deep supervision the answer is the mean of four logits (the paper's "accurate mode" averages four
  sigmoids; the mean of logits stays one distribution over classes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._network import Network
from groundglass.networks.unet import double_conv


class UNetPlusPlus(Network):
    """U-Nets of all depths nested in one another, with dense skip pathways between down and up."""

    paper = "Zhou, Siddiquee, Tajbakhsh and Liang, U-Net++, DLMIA 2018, arXiv 1807.10165"

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        deep_supervision: bool = False,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            widths: feature channels at each size, from the image's own to the smallest.
            deep_supervision: answer at every depth (``forward_all``) instead of the deepest alone.

        Raises:
            UsageError: fewer than two widths.
        """
        super().__init__()
        if len(widths) < 2:
            raise UsageError(
                f"{len(widths)} widths for U-Net++.", expected="two or more", remedy="Give one for each size."
            )
        self.in_channels, self.classes = in_channels, classes
        self.depth = len(widths) - 1
        self.stride = 2**self.depth
        self.deep_supervision = deep_supervision
        self.pool = nn.MaxPool2d(2)
        self.nodes, self.raise_ = nn.ModuleDict(), nn.ModuleDict()
        for i, width in enumerate(widths):
            self.nodes[f"{i}_0"] = double_conv(widths[i - 1] if i else in_channels, width)
            for j in range(1, len(widths) - i):
                self.raise_[f"{i}_{j}"] = nn.ConvTranspose2d(widths[i + 1], width, 2, stride=2)
                self.nodes[f"{i}_{j}"] = double_conv((j + 1) * width, width)
        answered = range(1, self.depth + 1) if deep_supervision else [self.depth]
        self.head = nn.ModuleDict({f"depth_{j}": nn.Conv2d(widths[0], classes, 1) for j in answered})

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]; the mean over depths if there are."""
        return torch.stack(list(self.forward_all(image).values())).mean(dim=0)

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at each depth that answers: ``depth_1``, ...; ``depth_4`` sees all."""
        x: dict[tuple[int, int], Tensor] = {}
        for j in range(self.depth + 1):
            for i in range(self.depth + 1 - j):  # equation 1
                if j:
                    beside = [x[i, k] for k in range(j)]
                    inputs = torch.cat([*beside, self.raise_[f"{i}_{j}"](x[i + 1, j - 1])], dim=1)
                else:
                    inputs = self.pool(x[i - 1, 0]) if i else self.check(image)
                x[i, j] = self.nodes[f"{i}_{j}"](inputs)
        return {name: head(x[0, int(name.removeprefix("depth_"))]) for name, head in self.head.items()}

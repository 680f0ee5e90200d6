"""Means over what a picture shows of its slice: the padding around it is nothing that anybody said something about."""

from __future__ import annotations

from torch import Tensor


def mean_of_shown(values: Tensor, shown: Tensor | None) -> Tensor:
    """The mean over all pixels that are shown, of all pictures together.

    Args:
        values: (B, H, W).
        shown: (B, H, W), bool; None: everywhere.

    Returns:
        A scalar; 0 with a gradient of 0 where nothing is shown.
    """
    return values.mean() if shown is None else (values * shown).sum() / shown.sum().clamp_min(1)


def means_of_shown(values: Tensor, shown: Tensor | None) -> Tensor:
    """The same of each picture by itself: (B,)."""
    if shown is None:
        return values.mean(dim=(1, 2))
    return (values * shown).sum(dim=(1, 2)) / shown.sum(dim=(1, 2)).clamp_min(1)

"""Whether a network that was trained on its predecessor's labels is to be kept: by agreement and confidence, no truth.

Balantrapu's thesis (DRSegUNet, 2021, section 5.5) saw its second level fall behind its first, and learnt it from
labels. Where there are none, two numbers are left (ours):

- **agreement** of a level: the Dice coefficient of infection between what it says and the labels that it was trained
  on, all slices' pixels together. That of the next level is measured against this one's labels.
- **confidence**: the mean of its largest probabilities where it or those labels say infection; elsewhere nearly every
  network is sure.

A level that says nothing has an agreement of 0, also with labels that say nothing: else one that has collapsed would
teach the next to agree with it perfectly. One that falls for noise agrees less than the level before did.
The converse does not hold: a level that copies its predecessor's faults is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import Region, inside


@dataclass(frozen=True)
class Consistency:
    """Of a level: with the labels it was trained on.

    Attributes:
        agreement: Dice of infection, 0 to 1; 0 where neither says any.
        confidence: mean largest probability where either says infection, 0 to 1; 0 where neither does.
    """

    agreement: float
    confidence: float


def consistency(
    slices: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]],
) -> Consistency:
    """Agreement and confidence of a level.

    Args:
        slices: of each the labels it was trained on, its own (both label sets, (H, W)), and its largest
            probabilities (H, W).
    """
    both = before = now = either = 0
    sure = 0.0
    for labels, said, largest in slices:
        taught, found = inside(labels, Region.INFECTION), inside(said, Region.INFECTION)
        both += int((taught & found).sum())
        before += int(taught.sum())
        now += int(found.sum())
        union = taught | found
        either += int(union.sum())
        sure += float(largest[union].sum(dtype=np.float64))
    if not either:
        return Consistency(0.0, 0.0)
    return Consistency(2 * both / (before + now), sure / either)


def is_kept(now: Consistency, before: Consistency | None) -> bool:
    """Whether neither agreement nor confidence falls; the first level has nothing before it."""
    return before is None or (now.agreement >= before.agreement and now.confidence >= before.confidence)

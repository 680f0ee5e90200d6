"""What a segmentation returns: one record for every model, classical or learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from groundglass.labels import Region
from groundglass.scan import Notice


@dataclass(frozen=True)
class ModelCard:
    """What a reader of the result has to know of the model.

    Attributes:
        name: as ``--model`` takes it.
        summary: one sentence: how it decides.
        trained_on: what it learnt from, a sentence; for a classical model, that it learnt from nothing.
        lung_from: where lung comes from, a sentence.
        sources: the references it stands on; of weights, their data and terms.
        digest: of the file of weights, SHA-256, 64 hex digits; empty for a classical model.
    """

    name: str
    summary: str
    trained_on: str
    lung_from: str
    sources: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def from_json(cls, table: Any) -> Self:
        """The card that a record holds.

        Raises:
            TypeError: it holds none, or one of other kinds.
        """
        card = cls(**{**table, "sources": tuple(table["sources"])})
        words = (card.name, card.summary, card.trained_on, card.lung_from, card.digest, *card.sources)
        if not all(isinstance(word, str) for word in words):
            raise TypeError(card)
        return card


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map and what belongs to it, on the scan's canonical grid ``[z, y, x]``.

    Attributes:
        codes: uint8, 0 background, 1 lung, 2 ground-glass opacity, 3 consolidation.
        sides: uint8, 0 outside the lungs, 1 the right lung, 2 the left; all of ``codes > 0`` has a side.
        model: what made it.
        notices: what a reader of the result has to know.
        lung_known: whether lung was found; where it was not, nothing is a share of it.
        cropped: whether the slices were taken for crops around the lungs.
        probabilities: of each region that the model tells, uint8 ``[z, y, x]``, 255 is certain; where asked for.
    """

    codes: NDArray[np.uint8]
    sides: NDArray[np.uint8]
    model: ModelCard
    notices: tuple[Notice, ...] = ()
    lung_known: bool = True
    cropped: bool = False
    probabilities: Mapping[Region, NDArray[np.uint8]] = field(default_factory=dict)

"""Batches as a pure function of seed and step, made ahead in a thread.

What a step sees depends on nothing but the seed and its number, so a resumed run sees what the uninterrupted
one would have, and there is no state to save.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundglass.batches import Labelled, Unlabelled

Plane = NDArray[np.float32]
Batch = TypeVar("Batch", Labelled, Unlabelled)


class Augment(Protocol):
    """Another look at a batch, its random numbers from the generator."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The new batch."""


_LABELLED, _UNLABELLED, _GUESSED = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Sample:
    """A slice of a pool; what one of its slices has, all have.

    Attributes:
        image: (H, W), [0, 1].
        label_set: (H, W).
        prior, soft: (K, H, W).
        shown: (H, W), where the image is no padding.
    """

    image: Plane
    label_set: NDArray[np.uint8] | None = None
    prior: Plane | None = None
    soft: Plane | None = None
    shown: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """Slices to draw from: ``load(i)`` for i below ``count``."""

    count: int
    load: Callable[[int], Sample]


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches by number.

    Attributes:
        labelled, unlabelled: the pools; no unlabelled pool, no unlabelled batches.
        sizes: slices of each kind in a batch of one process.
        seed: of the order and of the augmentation.
        augment: of a labelled batch, or None.
        augment_unlabelled: of an unlabelled one.
        rank, processes: of them all, this process takes every ``processes``-th slice.
        guessed: a second pool with labels of its own, and how many of a batch's labelled slices come from there.
    """

    labelled: Pool
    unlabelled: Pool | None
    sizes: tuple[int, int]
    seed: int
    augment: Augment | None = None
    augment_unlabelled: Augment | None = None
    rank: int = 0
    processes: int = 1
    guessed: tuple[Pool, int] | None = None

    def at(self, number: int) -> tuple[Labelled, Unlabelled | None]:
        """The batch of this number."""
        found = self._labelled(number)
        label_set = _stacked([sample.label_set for sample in found])
        if label_set is None:
            raise ValueError("a labelled pool gave slices without labels")
        prior, soft = _stacked([sample.prior for sample in found]), _stacked([sample.soft for sample in found])
        known = Labelled(_images(found), label_set, prior, soft, _stacked([sample.shown for sample in found]))
        labelled = self._augmented(known, self.augment, _LABELLED, number)
        if self.unlabelled is None:
            return labelled, None
        found = self._draw(self.unlabelled, _UNLABELLED, self.sizes[1], number)
        bare = Unlabelled(_images(found), shown=_stacked([sample.shown for sample in found]))
        return labelled, self._augmented(bare, self.augment_unlabelled, _UNLABELLED, number)

    def _labelled(self, number: int) -> list[Sample]:
        """Of both pools that have labels."""
        if self.guessed is None:
            return self._draw(self.labelled, _LABELLED, self.sizes[0], number)
        pool, size = self.guessed
        known = self._draw(self.labelled, _LABELLED, self.sizes[0] - size, number)
        return [*known, *self._draw(pool, _GUESSED, size, number)]

    def _draw(self, pool: Pool, kind: int, size: int, number: int) -> list[Sample]:
        first = (number * self.processes + self.rank) * size
        return [pool.load(_drawn(self.seed, kind, pool.count, first + n)) for n in range(size)]

    def _augmented(self, batch: Batch, augment: Augment | None, kind: int, number: int) -> Batch:
        if augment is None:
            return batch
        place = number * self.processes + self.rank  # as of one process that accumulates as many minibatches
        entropy = np.random.SeedSequence([self.seed, kind, place]).generate_state(1, np.uint64)
        return augment(batch, torch.Generator().manual_seed(int(entropy[0]) >> 1))


def _images(samples: Sequence[Sample]) -> Tensor:
    """(B, 1, H, W)."""
    return torch.from_numpy(np.stack([sample.image for sample in samples]))[:, None]


def _stacked(planes: Sequence[NDArray[Any] | None]) -> Tensor | None:
    """(B, ...), or None where the slices have none."""
    there = [plane for plane in planes if plane is not None]
    if there and len(there) < len(planes):
        raise ValueError("a pool gave slices of which some have what others lack")
    return torch.from_numpy(np.stack(there)) if there else None


def _drawn(seed: int, kind: int, count: int, place: int) -> int:
    """The slice at a place of the endless sequence: every slice once, in new order, again and again."""
    return _order(seed, kind, count, place // count)[place % count]


@lru_cache(maxsize=8)
def _order(seed: int, kind: int, count: int, turn: int) -> Sequence[int]:
    order: list[int] = np.random.default_rng([seed, kind, turn]).permutation(count).tolist()
    return order


class Ahead:
    """Iterates over batches from a number on, each made while the one before is used.

    ``waited`` is the time in seconds that was spent waiting for batches.
    """

    def __init__(self, batches: Batches, first: int, stop: int) -> None:
        self.batches, self.first, self.stop = batches, first, stop
        self.waited = 0.0

    def __iter__(self) -> Iterator[tuple[Labelled, Unlabelled | None]]:
        with ThreadPoolExecutor(1) as maker:
            coming = maker.submit(self.batches.at, self.first)
            for number in range(self.first, self.stop):
                began = time.perf_counter()
                batch = coming.result()
                self.waited += time.perf_counter() - began
                if number + 1 < self.stop:
                    coming = maker.submit(self.batches.at, number + 1)
                yield batch

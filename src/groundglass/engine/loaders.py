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
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundglass.batches import Labelled, Unlabelled

Plane = NDArray[np.float32]
# Image in [0, 1] and label sets or None, both (H, W); then, where all slices of a pool have one, prior and soft labels,
# (K, H, W).
Sample = (
    tuple[Plane, NDArray[np.uint8] | None]
    | tuple[Plane, NDArray[np.uint8], Plane]
    | tuple[Plane, NDArray[np.uint8], Plane | None, Plane]
)
Batch = TypeVar("Batch", Labelled, Unlabelled)


class Augment(Protocol):
    """Another look at a batch, its random numbers from the generator."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The new batch."""


_LABELLED, _UNLABELLED, _GUESSED = 0, 1, 2


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
        image, label_set, *more = self._labelled(number)
        if image is None or label_set is None:
            raise ValueError("a labelled pool gave slices without labels")
        labelled = self._augmented(Labelled(image, label_set, *more), self.augment, _LABELLED, number)
        if self.unlabelled is None:
            return labelled, None
        image, *_ = _stacked(self._draw(self.unlabelled, _UNLABELLED, self.sizes[1], number))
        if image is None:
            raise ValueError("a pool gave slices without pictures")
        return labelled, self._augmented(Unlabelled(image), self.augment_unlabelled, _UNLABELLED, number)

    def _labelled(self, number: int) -> list[Tensor | None]:
        """Of both pools that have labels."""
        if self.guessed is None:
            return _stacked(self._draw(self.labelled, _LABELLED, self.sizes[0], number))
        pool, size = self.guessed
        known = self._draw(self.labelled, _LABELLED, self.sizes[0] - size, number)
        return _stacked([*known, *self._draw(pool, _GUESSED, size, number)])

    def _draw(self, pool: Pool, kind: int, size: int, number: int) -> list[Sample]:
        first = (number * self.processes + self.rank) * size
        return [pool.load(_drawn(self.seed, kind, pool.count, first + n)) for n in range(size)]

    def _augmented(self, batch: Batch, augment: Augment | None, kind: int, number: int) -> Batch:
        if augment is None:
            return batch
        place = number * self.processes + self.rank  # as of one process that accumulates as many minibatches
        entropy = np.random.SeedSequence([self.seed, kind, place]).generate_state(1, np.uint64)
        return augment(batch, torch.Generator().manual_seed(int(entropy[0]) >> 1))


def _stacked(samples: Sequence[Sample]) -> list[Tensor | None]:
    """Images (B, 1, H, W), then label sets, priors, soft labels, as far as the samples go; None for none."""
    image, *known = zip(*samples, strict=True)
    more = [None if part[0] is None else torch.from_numpy(np.stack(part)) for part in known]
    return [torch.from_numpy(np.stack(image))[:, None], *more]


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

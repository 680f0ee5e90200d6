"""Trainings side by side, each in a process of its own: two on a thread each end before one after the other on two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any, Final, TypeVar

from groundglass.cli.tuning import tune_for_torch
from groundglass.errors import GroundglassError
from groundglass.workers import pool

LOOK_S: Final = 0.5  # how often progress is looked at
Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[[int], None]  # how many steps are done


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def apart(
    work: Callable[[Item, Tell], Result], items: Sequence[Item], jobs: int, show: Callable[[int], None]
) -> Iterator[tuple[Item, Result]]:
    """Each item with what its work came to, as they end. When this process is interrupted, theirs are ended at once.

    Args:
        work: a function of a module, or a partial of one; it tells how far it is. One job is done in this process.
        items: what is to be done.
        jobs: how many processes.
        show: is told how many steps of all items are done.

    Raises:
        GroundglassError: of the first item that raises one, or a process that was ended from outside.
    """
    if jobs == 1 or len(items) < 2:
        yield from _one_by_one(work, items, show)
        return
    steps = get_context("spawn").Array("q", len(items), lock=False)
    processes = pool(min(jobs, len(items)), _begin, steps)
    try:
        waiting: dict[Future[Result], Item] = {
            processes.submit(_work, work, number, item): item for number, item in enumerate(items)
        }
        while waiting:
            ended, _ = wait(waiting, LOOK_S, FIRST_COMPLETED)
            show(sum(steps))
            for future in ended:
                yield waiting.pop(future), future.result()
    except BaseException as error:
        for process in active_children():
            process.terminate()  # what it trains has its state on disk
        if isinstance(error, BrokenProcessPool):
            raise GroundglassError(
                "A process that trained was ended from outside, as systems do when memory runs out.",
                expected=f"room for {jobs} trainings at once",
                remedy="Take fewer jobs; the same command goes on where this one stopped.",
            ) from None
        raise
    finally:
        processes.shutdown(cancel_futures=True)


def _one_by_one(
    work: Callable[[Item, Tell], Result], items: Sequence[Item], show: Callable[[int], None]
) -> Iterator[tuple[Item, Result]]:
    done = [0] * len(items)
    for number, item in enumerate(items):

        def tell(steps: int, number: int = number) -> None:
            done[number] = steps
            show(sum(done))

        yield item, work(item, tell)


class _Steps:
    """Of each item, how many are done; shared by all processes."""

    done: Any


def _begin(steps: Any) -> None:
    tune_for_torch()
    _Steps.done = steps


def _work(work: Callable[[Item, Tell], Result], number: int, item: Item) -> Result:
    def tell(steps: int) -> None:
        _Steps.done[number] = steps

    return work(item, tell)

"""Cases prepared by several processes, told of in the reader's order.

Each process reads the data set's list for itself and is then told numbers: a loader may hold open files or a list of
half a million names, and neither should be passed about. What comes back is an `Outcome`, the rows of an index.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from groundglass.datasets._case import Cases
from groundglass.datasets._preparing_case import Job, Outcome, prepare_case
from groundglass.errors import GroundglassError, ReadError
from groundglass.workers import pool

AHEAD = 2  # cases a worker may be ahead: enough that none waits for a slow one, few enough to hold nothing


def outcomes(read: Callable[[], Cases], count: int, job: Job, workers: int) -> Generator[Outcome, None, None]:
    """Prepare all cases in ``workers`` processes; results in the reader's order.

    Args:
        read: gives the cases; pickled, so a function of a module or a partial of one.
        count: how many cases the caller has found.
        job: what is the same for every case.
        workers: how many processes.

    Raises:
        GroundglassError: of the first case that raises one, or a process that was ended from outside.
    """
    processes = pool(workers, _begin, read, count, job)
    waiting: deque[Future[Outcome]] = deque()
    try:
        for number in range(count):
            waiting.append(processes.submit(_work, number))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise GroundglassError(
            "A process that prepared cases was ended from outside, as systems do when memory runs out.",
            expected=f"room for {workers} cases at once",
            remedy="Take fewer workers; the same command goes on where this one stopped.",
        ) from None
    finally:
        processes.shutdown(cancel_futures=True)


class _Worker:
    """What a process keeps between cases."""

    read: Callable[[], Cases]
    count: int
    job: Job
    cases: Cases | None = None


def _begin(read: Callable[[], Cases], count: int, job: Job) -> None:
    _Worker.read, _Worker.count, _Worker.job = staticmethod(read), count, job


def _work(number: int) -> Outcome:
    if _Worker.cases is None:
        _Worker.cases = _Worker.read()
        if len(_Worker.cases) != _Worker.count:
            raise ReadError(
                "The data set changed while it was prepared.",
                expected="a folder that nobody writes to",
                remedy="Run the same command again.",
            )
    return prepare_case(_Worker.cases.loaders[number](), _Worker.job)

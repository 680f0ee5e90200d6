"""Libraries' warnings, counted instead of shown: their texts repeat header values, and there are hundreds."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

LOGGERS: Final = ("pydicom", "nibabel.global", "PIL", "nrrd")


@dataclass
class Count:
    """How many warnings were held back; final when the context ends."""

    number: int = 0


class _Counting(logging.Handler):
    def __init__(self, count: Count) -> None:
        super().__init__(logging.WARNING)
        self.count = count

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        self.count.number += 1


@contextmanager
def quiet() -> Iterator[Count]:
    """Hold back and count what libraries warn of and log, for this block only."""
    count = Count()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [_Counting(count)], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield count
            finally:
                count.number += len(caught)
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def c_stderr() -> Iterator[Callable[[], bytes]]:
    """Take what C libraries write to the process's stderr; what Python writes there keeps its place.

    Image codecs complain of damaged data there, and nowhere else.

    Yields:
        a function that returns what was written since its last call.
    """
    try:
        real = os.dup(2)
    except OSError:  # this process has none
        yield bytes
        return
    python, place = sys.stderr, 0
    with (
        os.fdopen(real, "w", buffering=1, errors="backslashreplace") as own,
        tempfile.TemporaryFile(buffering=0) as taken,
    ):

        def since() -> bytes:
            nonlocal place
            taken.seek(place)  # and on to the end by reading: the codecs write where this file stands
            said = taken.read()
            place += len(said)
            return said

        direct = _writes_to(python, 2)
        if direct:
            python.flush()
            sys.stderr = own
        os.dup2(taken.fileno(), 2)
        try:
            yield since
        finally:
            os.dup2(own.fileno(), 2)
            if direct:
                sys.stderr = python


def _writes_to(stream: object, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # None, a capture, closed
        return False

"""Processes beside this one: they leave interrupting to it, and end when it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process
from typing import Any


def pool(count: int, begin: Callable[..., None], *told: Any) -> ProcessPoolExecutor:
    """A pool of processes that are spawned: a fork of a process with threads may hang.

    Args:
        count: how many processes.
        begin: called once in each, before anything else.
        told: what it is called with.
    """
    return ProcessPoolExecutor(count, get_context("spawn"), _begin, (begin, *told))


def _begin(begin: Callable[..., None], *told: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*told)


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its children; they would wait for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

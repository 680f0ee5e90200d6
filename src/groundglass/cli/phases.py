"""Phases of a command: shown while they run, and timed for the page."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Phases:
    """The phases of one case: one at a time, each with its name, its progress and its seconds.

    On a terminal a bar; elsewhere (a log, a pipe) one line a phase on standard error.
    """

    def __init__(self, quiet: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._name: str | None = None
        self._began = 0.0
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.end()
        self._progress.stop()

    def begin(self, name: str) -> None:
        """End the phase before, if there is one, and begin this one."""
        self.end()
        self._name, self._began = name, time.perf_counter()
        self._task = self._progress.add_task(name, total=None)

    def advance(self, share: float) -> None:
        """How far the running phase is, 0 to 1."""
        if self._task is not None:
            self._progress.update(self._task, completed=share, total=1)

    def end(self) -> None:
        """End the running phase."""
        name, self._name = self._name, None
        if name is None:
            return
        took = time.perf_counter() - self._began
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.advance(1)
        if not self._console.is_terminal:
            self.tell(f"{name}: {took:.1f} s")

    def tell(self, text: str) -> None:
        """A line for the person at the terminal."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

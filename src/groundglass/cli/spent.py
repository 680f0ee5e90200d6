"""What trainings cost, written down as they go: each sitting of a stage, whether it ends or is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from groundglass import runs
from groundglass.engine.fit import Report
from groundglass.evaluation.costs import Sitting, add_sitting

SPENT_FILE: Final = "spent.csv"


def written_down(watch: runs.Watch, file: Path, name: Callable[[Path], tuple[str, str]]) -> runs.Watch:
    """A watch that also adds every sitting to a file.

    Args:
        watch: that shows progress.
        file: of sittings.
        name: a stage's folder -> what the stage is called there, and its phase.
    """

    @contextmanager
    def watched(title: str, steps: int, of_stage: Path) -> Iterator[Callable[[runs.Told], object]]:
        (stage, phase), done, began = name(of_stage), 0, time.perf_counter()
        with watch(title, steps, of_stage) as show:

            def tell(told: runs.Told) -> object:
                nonlocal done
                done += isinstance(told, Report)
                return show(told)

            try:
                yield tell
            finally:
                if done:
                    add_sitting(file, Sitting(stage, phase, steps, done, time.perf_counter() - began))

    return watched

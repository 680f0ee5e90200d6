"""What a step of each recipe costs here: ``python -m benchmarks.steps STORE RECIPE...``, best on one core.

Of each stage, in seconds: of the processor and of the clock, the mean of the steps after the first few, which choose
kernels and fill the allocator. Reading and augmentation count. Where a stage labels slices itself, of such a slice.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from groundglass.cli.ending import computing
from groundglass.errors import UsageError

STEPS, WARM_UP = 12, 4
LABELLED = 40  # slices that a stage labels itself


class Watch:
    """Notes when each step, and each slice that is labelled, ended."""

    ended: dict[tuple[str, str], list[tuple[float, float]]]

    def __init__(self, name: str, steps: int, folder: Path) -> None:
        """As ``groundglass.runs.train`` makes it."""
        del steps
        self.stage = f"{folder.name}: {name}"

    def __enter__(self) -> Callable[[object], None]:
        return self.tell

    def __exit__(self, *_: object) -> None:
        return None

    def tell(self, told: object) -> None:
        """The time of it."""
        what = {"Report": "a step", "Labelling": "a slice labelled"}[type(told).__name__]
        self.ended.setdefault((self.stage, what), []).append((time.process_time(), time.perf_counter()))


def main(words: list[str]) -> None:
    """Print the table."""
    from groundglass import recipe, runs
    from groundglass.store import open_store

    if len(words) < 2:
        raise UsageError(f"{len(words)} words.", expected="a store and recipes", remedy="Say STORE RECIPE...")
    store = open_store(Path(words[0]))
    print("| recipe | stage | of | of the processor, s | of the clock, s |\n|---|---|---|---:|---:|")
    for file in map(Path, words[1:]):
        table = recipe.load(file).model_dump()
        for stage in table["stage"]:
            stage["training"]["steps"], stage["rounds"] = STEPS, 1
            if stage["labels"]:
                stage["labels"]["count"] = LABELLED
        Watch.ended = {}
        with tempfile.TemporaryDirectory() as folder:
            runs.train(recipe.Recipe.parse(table), store, Path(folder) / "run", Watch)
        for (stage, what), ends in Watch.ended.items():
            first, last = ends[WARM_UP - 1], ends[-1]
            seconds = ((last[n] - first[n]) / (len(ends) - WARM_UP) for n in (0, 1))
            print(f"| {file.stem} | {stage} | {what} | {' | '.join(f'{one:.3f}' for one in seconds)} |", flush=True)


if __name__ == "__main__":
    with computing():
        main(sys.argv[1:])

"""``groundglass train``: a recipe to a checkpoint, and where slices were held out, how well it does on them."""

from __future__ import annotations

import csv
import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from groundglass import runs
from groundglass.cli.processes import launched
from groundglass.engine.checkpoint import remove_partial
from groundglass.engine.log import EVENTS_FILE, LOG_FILE, check_tensorboard, events, read_log
from groundglass.engine.processes import together
from groundglass.evaluation.overlap import CONVENTIONS, METRICS, Counts, average
from groundglass.io.atomic import write_file
from groundglass.labels import Region
from groundglass.models import MODEL_FILE, learnt_alike
from groundglass.pseudo_labels import Labelling
from groundglass.recipe import Recipe, load
from groundglass.store import open_store

SCORES_FILE: Final = "scores.csv"
MAY_HAVE_SEEN: Final = "learnt from slices of {}, perhaps from those that are held out here"


def run_train(
    recipe_file: Path, output: Path, store_path: Path | None, fold: int | None, tensorboard: bool, quiet: bool
) -> None:
    """Train all stages of a recipe, resuming where an earlier run stopped.

    Of several processes that torchrun or SLURM started as one run, the first writes and tells.

    Raises:
        GroundglassError: the recipe, the store or the state in the folder is not what it should be; TensorBoard is
            asked for and not installed.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of the precision at every start
    launch = launched()
    with together(launch):
        if tensorboard:
            check_tensorboard()
        recipe = _with_fold(load(recipe_file), fold)
        store = open_store(store_path or Path(recipe.data.store))
        if launch.rank == 0:
            remove_partial(output)
        silent, events_too = quiet or launch.rank > 0, tensorboard and launch.rank == 0
        method, dealt = runs.train(
            recipe,
            store,
            output,
            lambda name, steps, folder: _watch(silent, name, steps, folder if events_too else None),
            launch=launch,
        )
    if launch.rank == 0:
        if dealt.test:
            _tell_scores(output, runs.score(method, store, dealt.test, in_tiles=recipe.tiles))
            if learnt_alike(recipe, store):
                sys.stdout.write(f"The model that it starts from {MAY_HAVE_SEEN.format(store.dataset)}.\n")
        sys.stdout.write(f"The model: {output / MODEL_FILE}\n")


def _with_fold(recipe: Recipe, fold: int | None) -> Recipe:
    if fold is None:
        return recipe
    table = recipe.model_dump()
    table["data"] |= {"fold": fold, "folds": recipe.data.folds or 5}
    return Recipe.parse(table)


def _tell_scores(output: Path, counts: dict[tuple[str, Region], Counts]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["slice", "region", *METRICS, "both", "found_only", "true_only"])
    for (name, region), pixels in counts.items():
        values = ["" if (value := metric(pixels)) is None else round(value, 6) for metric in METRICS.values()]
        writer.writerow([name, region.key, *values, pixels.both, pixels.found_only, pixels.true_only])
    write_file(output / SCORES_FILE, text.getvalue().encode())
    for region in dict.fromkeys(region for _, region in counts):
        images = [pixels for (_, other), pixels in counts.items() if other is region]
        means = [f"{average('dice', images, convention) or 0:.3f} {convention}" for convention in CONVENTIONS]
        sys.stdout.write(f"{region.title}: Dice {', '.join(means)} ({len(images)} held-out slices, p > 0.5)\n")


@contextmanager
def _watch(quiet: bool, name: str, steps: int, folder: Path | None) -> Iterator[Callable[[runs.Told], None]]:
    """Progress, and in the folder of a stage its log as events, as often as the log is written."""
    with bar(quiet, name, steps) as show:

        def tell(told: runs.Told) -> None:
            show(told)
            if folder is not None:
                _write_events(folder)

        yield tell
    if folder is not None:
        _write_events(folder)  # of a stage that was done before


def _write_events(folder: Path) -> None:
    log, written = folder / LOG_FILE, folder / EVENTS_FILE
    if log.exists() and (not written.exists() or written.stat().st_mtime_ns <= log.stat().st_mtime_ns):
        write_file(written, events(read_log(log)))


class bar:  # noqa: N801 - used as a function
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, quiet: bool, name: str, steps: int) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, disable=quiet or not self._console.is_terminal)
        self._name, self._steps = name, steps

    def __enter__(self) -> Any:
        self._progress.start()
        self._task = self._progress.add_task(self._name, total=self._steps)
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _tell(self, told: runs.Told) -> None:
        if isinstance(told, Labelling):
            words = line = f"{self._name}: {told.done} of {told.of} slices labelled"
            self._progress.update(self._task, description=words)
            now_and_then = told.done % 200 == 0 or told.done == told.of
        else:
            losses = " ".join(f"{name} {value:.3f}" for name, value in told.losses.items())
            words = f"{self._name}: {losses}, {told.images_per_second:.1f} images/s, {told.waited_share:.0%} waiting"
            line = f"step {told.step} of {told.steps}: {words}"
            self._progress.update(self._task, completed=told.step, description=words)
            now_and_then = told.step % 50 == 0 or told.step == told.steps
        if now_and_then and not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

"""A trial of ``groundglass study reproduce``: a recipe trained with a seed and a fold, and all that it leaves.

FOLDER/stage-N/log.csv   of each training
FOLDER/levels.csv        where it labels slices itself
FOLDER/found.npz         label sets that it found in held-out slices, as the network sees them, by number
FOLDER/inpainting.png    what the coach erased and the network filled in, where the recipe has a stage of it
FOLDER/maps.csv, .png    what the method shows of itself on held-out slices, where it does
FOLDER/curves.json       probabilities of held-out slices by level, and where its priors lie
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from groundglass import runs
from groundglass.cli.explain_inpainting import METHOD, look
from groundglass.cli.reproduce_maps import read_maps, write_maps
from groundglass.cli.spent import SPENT_FILE, written_down
from groundglass.cli.train import bar
from groundglass.engine.log import LOG_FILE, read_log
from groundglass.errors import LabelError, ReadError
from groundglass.evaluation.costs import costs, read_sittings
from groundglass.evaluation.curves import Histogram
from groundglass.evaluation.metrics import examine
from groundglass.evaluation.metrics import value as value_of
from groundglass.evaluation.published import CLASSES, Paper
from groundglass.evaluation.trials import Row, Trial
from groundglass.inference.predict import answers, channels_of, decide
from groundglass.io.atomic import write_file
from groundglass.labels import Region, Tissue, check_label_sets, inside, outside
from groundglass.levels import LEVELS_FILE
from groundglass.recipe import Recipe
from groundglass.report.inpainting import sheet, table
from groundglass.report.reproduction import BINS, Run
from groundglass.store import Store

CURVES_FILE: Final = "curves.json"
FOUND_FILE: Final = "found.npz"
PRIORS: Final = "priors"
SHOWN: Final = 6  # slices of the picture of inpainting


def run_trial(
    trial: Trial, recipe: Recipe, paper: Paper, store: Store, output: Path, folder: Path, quiet: bool
) -> tuple[list[Row], list[Row]]:
    """Train a trial, going on where it stopped, and score it.

    Args:
        trial: which.
        recipe: with its seed and fold.
        paper: what is asked of it.
        store: of the data.
        output: folder of everything.
        folder: the trial's own.
        quiet: show no progress.

    Returns:
        rows of held-out slices, and of those that were trained on where the paper's tables count them.
    """
    entered: list[str] = []

    def name(of_stage: Path) -> tuple[str, str]:
        stage = of_stage.relative_to(output).as_posix()
        entered.append(stage)
        return stage, _phase(stage, recipe)

    watch = written_down(lambda title, steps, _: bar(quiet, title, steps), output / SPENT_FILE, name)
    method, dealt = runs.train(recipe, store, folder, watch, shared=output / PRIORS)
    mine = sorted({"/".join(stage.split("/")[:2]) for stage in entered})
    spent = costs(read_sittings(output / SPENT_FILE), mine)
    minutes = sum(cost.minutes for cost in spent.values())
    found = _Found(method.outputs, recipe.above)
    held_out: list[Row] = []
    for number, probability, whole in answers(store, method, dealt.test, in_tiles=recipe.tiles):
        found.add(number, probability, store.prepared_label_set(number))
        held_out += _rows(trial, minutes, store, number, whole, method.outputs, recipe.above, paper)
    trained: list[Row] = []
    counted = dealt.train if paper.trained_too else ()
    for number, _, whole in answers(store, method, counted, in_tiles=recipe.tiles):
        trained += _rows(trial, minutes, store, number, whole, method.outputs, recipe.above, paper)
    found.write(folder, mine)
    if not recipe.tiles:
        write_maps(method, store, found.sets, folder, f"{trial.recipe}, {store.dataset}")
    if any(stage.method == METHOD for stage in recipe.stage):
        step, shown = look(folder, store, SHOWN)
        write_file(folder / "inpainting.png", sheet(shown, f"step {step}, {store.dataset}"))
        write_file(folder / "inpainting.csv", table(shown).encode())
    return held_out, trained


def _phase(stage: str, recipe: Recipe) -> str:
    """What a stage is called among the costs: its method, on labels of its own or not; ``prior`` in one."""
    place = re.search(r"/stage-(\d+)", stage)
    if stage.startswith(f"{PRIORS}/") or place is None:
        return "prior"
    own = recipe.stage[int(place[1]) - 1]
    return f"{own.method}, own labels" if own.labels is not None else own.method


def _rows(
    trial: Trial,
    minutes: float,
    store: Store,
    number: int,
    whole: NDArray[np.float32],
    outputs: Sequence[int],
    above: float,
    paper: Paper,
) -> Iterator[Row]:
    """Of a slice with labels and its probabilities at native resolution, each class that the method tells.

    A pixel is of the class whose probability is largest, and above the recipe's limit.
    """
    truth = store.label_set(number)
    if truth is None:
        return
    info = store.slices[number]
    whole = _beyond_the_crop(whole, outputs)
    found = decide(whole, outputs, above)
    for name, tissues in CLASSES.items():
        channels = [place for place, group in enumerate(outputs) if not group & ~int(tissues.value)]
        if sum(outputs[place] for place in channels) != int(tissues.value):
            continue  # the method does not tell it from the rest
        true = inside(truth, tissues)
        known = true | outside(truth, tissues)
        scores = whole[channels].sum(axis=0).clip(0, 1)
        evidence = examine(inside(found, tissues), true, known, paper.metrics, info.spacing_mm, scores)
        values = {metric: value_of(metric, evidence) for metric in paper.examined}
        yield Row(trial, minutes, info.id, info.group, name, evidence.overlap, values)


def _beyond_the_crop(whole: NDArray[np.float32], outputs: Sequence[int]) -> NDArray[np.float32]:
    """The probabilities, where a slice was cropped those of background: nothing was looked for there."""
    background = [place for place, group in enumerate(outputs) if group & Tissue.BACKGROUND]
    whole, beyond = whole.copy(), ~whole.any(axis=0)
    for place in background:
        whole[place][beyond] = 1.0
    return whole


class _Found:
    """What the figures are drawn of, slice by slice."""

    def __init__(self, outputs: Sequence[int], above: float) -> None:
        self._outputs, self._above = outputs, above
        self._infection = channels_of(outputs).get(Region.INFECTION)
        self.sets: dict[int, NDArray[np.uint8]] = {}
        self._counts = np.zeros(BINS, np.int64)
        self._levels: Histogram | None = None

    def add(self, number: int, probability: NDArray[np.float32], truth: NDArray[np.uint8] | None) -> None:
        """A held-out slice and its label sets, as the network sees them."""
        self._counts += np.histogram(probability, BINS, (0, 1))[0]
        self.sets[number] = decide(probability, self._outputs, self._above)
        if truth is not None and self._infection:
            true = inside(truth, Region.INFECTION)
            scores = probability[self._infection].sum(axis=0).clip(0, 1)
            own = Histogram.of(scores, true, true | outside(truth, Region.INFECTION))
            self._levels = own if self._levels is None else self._levels + own

    def write(self, folder: Path, mine: Sequence[str]) -> None:
        """Into the folder of the trial; ``mine`` are those whose costs are its."""
        stream = io.BytesIO()
        np.savez_compressed(stream, **{str(number): sets for number, sets in self.sets.items()})  # type: ignore[arg-type]
        write_file(folder / FOUND_FILE, stream.getvalue())
        levels = self._levels
        told = {
            "probabilities": self._counts.tolist(),
            "infection": None if levels is None else [levels.inside.tolist(), levels.outside.tolist()],
            "folders": list(mine),
        }
        write_file(folder / CURVES_FILE, (json.dumps(told) + "\n").encode())


def read_run(trial: Trial, folder: Path, output: Path, recipe: Recipe) -> Run:
    """What a trial that is done left for the figures.

    Raises:
        ReadError: it is damaged.
    """
    try:
        told = json.loads((folder / CURVES_FILE).read_text(encoding="utf-8"))
        levels = folder / LEVELS_FILE
        return Run(
            trial=trial,
            costs=costs(read_sittings(output / SPENT_FILE), told["folders"]),
            logs=tuple(read_log(path / LOG_FILE) for path in sorted(folder.glob("stage-*"), key=_place)),
            levels=tuple(csv.DictReader(levels.read_text(encoding="utf-8").splitlines())) if levels.exists() else (),
            histogram=tuple(told["probabilities"]),
            infection=None if told["infection"] is None else Histogram(*map(np.array, told["infection"])),
            above=recipe.above,
            maps=read_maps(folder),
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise _damaged(folder) from None


def _place(stage: Path) -> list[int]:
    """Number of a stage, and of its round."""
    return [int(number) for number in re.findall(r"\d+", stage.name)]


def found(folder: Path, number: int) -> NDArray[np.uint8]:
    """Label sets that a trial found in a held-out slice, as the network sees it, uint8 (height, width).

    Raises:
        ReadError: there are none, or they are damaged.
    """
    try:
        with np.load(folder / FOUND_FILE) as sets:
            return check_label_sets(sets[str(number)])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, LabelError):
        raise _damaged(folder) from None


def _damaged(folder: Path) -> ReadError:
    return ReadError(
        f"What a trial left in {folder.name} is damaged.",
        expected="what an earlier call wrote",
        remedy="Remove that folder: the trial is run again.",
    )

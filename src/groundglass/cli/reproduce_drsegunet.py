"""``groundglass study reproduce drsegunet``: the recipes of the thesis's tables, on data that stand in for its own.

OUT/store                    the prepared data
OUT/runs/RECIPE-fold-0       log and scores of a training; what has scores is not run again
OUT/tables.md                the tables beside the thesis's
OUT/losses.svg               figures 22, 23 and 25
OUT/probabilities-*.svg      figures 20 and 21
"""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from groundglass import runs
from groundglass.cli.phases import Phases
from groundglass.cli.train import bar
from groundglass.datasets import covid_semiseg
from groundglass.datasets._case import Asked, Cases
from groundglass.datasets._phantoms import draw
from groundglass.datasets._preparing import prepare_into
from groundglass.engine.log import LOG_FILE, read_log
from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.inflation import BACKGROUND, Scored, means_of
from groundglass.evaluation.overlap import Counts, count
from groundglass.inference.predict import decide
from groundglass.io.atomic import make_folder, write_file
from groundglass.labels import NOT_LESION, Region, Tissue, inside, outside
from groundglass.levels import LEVELS_FILE
from groundglass.methods._method import Method
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import restore
from groundglass.pseudo_labels import predicted
from groundglass.recipe import Recipe, load
from groundglass.report.reproduction import BINS, Run, histogram, losses, tables
from groundglass.store import Store, open_store

SETS: Final = ("covid_semiseg", "phantom")
WINDOW_HU: Final = (-1000.0, 100.0)
SIZE, FAST_SIZE = 512, 128
FAST: Final = 10  # of the steps of a recipe, one in so many
FOLDS: Final = 5
PATIENTS: Final = 12  # phantoms
SCORES_FILE: Final = "scores.csv"
HISTOGRAM_FILE: Final = "histogram.json"
FIGURES_OF: Final = "table14"  # the final model
# What is scored, by name: in the thesis background and lung are classes beside the lesions.
CLASSES: Final[dict[str, Region | Tissue]] = {
    BACKGROUND: NOT_LESION,  # and lung: what the labels do not part
    **{region.key: region for region in (Region.GROUND_GLASS, Region.CONSOLIDATION, Region.INFECTION)},
}


@dataclass(frozen=True)
class Options:
    """What ``reproduce`` was called with, but the paper.

    Attributes:
        output: folder of everything.
        recipes: folder of the recipes.
        on: the data that stand in.
        root: where they lie, for what is not drawn.
        fast: 128 pixels, a tenth of the steps, one fold.
        folds: which are held out; all, or with ``fast`` the first, if empty.
        quiet: show no progress.
    """

    output: Path
    recipes: Path
    on: str = "covid_semiseg"
    root: Path | None = None
    fast: bool = False
    folds: Sequence[int] = ()
    quiet: bool = False


def reproduce(options: Options) -> None:
    """Run what has not been run, then write tables and figures.

    Raises:
        GroundglassError: recipes or data are not what they should be.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    folds = options.folds or ((0,) if options.fast else range(FOLDS))
    if max(folds) >= FOLDS:
        raise UsageError(f"There is no fold {max(folds)}.", expected=f"0 to {FOLDS - 1}", remedy="Choose one of these.")
    recipes = {path.stem: load(path) for path in sorted(options.recipes.glob("*.toml"))}
    if not recipes:
        raise UsageError(
            "There are no recipes where they are looked for.",
            expected="recipes/drsegunet of the repository",
            remedy="Go to its folder, or say where they are with --recipes.",
        )
    store = _store(options)
    made: list[Run] = []
    scored: dict[str, list[Scored]] = {name: [] for name in recipes}
    for name, recipe in recipes.items():
        for fold in folds:
            run, rows = _run(name, _fitted(recipe, fold, options.fast), store, fold, options)
            made.append(run)
            scored[name] += rows
            sys.stderr.write(f"{name}, fold {fold}: {run.minutes:.1f} min\n")
    heading = _heading(store, folds, options)
    text = tables(made, {name: means_of(rows) for name, rows in scored.items()}, heading)
    write_file(options.output / "tables.md", text.encode())
    write_file(options.output / "losses.svg", losses(made, heading).encode())
    for after, name in ((False, "probabilities-before.svg"), (True, "probabilities-after.svg")):
        shown = [one for one in made if one.recipe == FIGURES_OF and one.histogram]
        if shown:
            write_file(options.output / name, histogram(shown, heading, after=after).encode())
    sys.stdout.write(text)


def _heading(store: Store, folds: Sequence[int], options: Options) -> str:
    size = store.preparation.size[0]
    what = {"covid_semiseg": "COVID-SemiSeg's 50 labelled slices", "phantom": "phantoms, which say nothing of patients"}
    short = f", a {FAST}th of the steps" if options.fast else ""
    held = ", ".join(map(str, folds))
    return (
        f"on {what[options.on]} in place of the thesis's data, {size} pixels{short}, folds {held} of {FOLDS} by group"
    )


def _store(options: Options) -> Store:
    """The data, prepared as in section 4.2: -1000 to 100 HU, uncropped."""
    if options.on not in SETS:
        raise UsageError(
            f"There is no {options.on!r} to reproduce on.", expected=f"one of {', '.join(SETS)}", remedy="Choose one."
        )
    if options.on == "covid_semiseg" and options.root is None:
        raise UsageError(
            "The folder of the data was not said.",
            expected="--root with COVID-SemiSeg as its publisher packs it",
            remedy="Say it, or take --on phantom, which needs none.",
        )
    side = FAST_SIZE if options.fast else SIZE
    preparation = Preparation(WINDOW_HU, "none", size=(side, side))
    with Phases(options.quiet) as phases:
        phases.begin("preparing")
        cases: Cases = (
            draw(0, PATIENTS)
            if options.root is None or options.on == "phantom"
            else covid_semiseg.read(options.root, Asked())
        )
        preparation = Preparation(**{**vars(preparation), "intensity": cases.intensity})
        path = options.output / "store"
        prepare_into(path, options.on, cases, preparation, key=b"", progress=phases.advance)
    return open_store(path)


def _fitted(recipe: Recipe, fold: int, fast: bool) -> Recipe:
    """A recipe on a fold; with ``fast`` a tenth of its steps, and of the slices that it labels."""
    table = recipe.model_dump()
    table["data"] |= {"fold": fold, "folds": FOLDS}
    for stage in table["stage"] if fast else ():
        stage["training"]["steps"] = max(1, stage["training"]["steps"] // FAST)
    return Recipe.parse(table)


def _run(name: str, recipe: Recipe, store: Store, fold: int, options: Options) -> tuple[Run, list[Scored]]:
    """Train and score, or read what an earlier call left."""
    folder = options.output / "runs" / f"{name}-fold-{fold}"
    if not (folder / SCORES_FILE).exists():
        make_folder(folder)
        began = time.perf_counter()
        method, dealt = runs.train(recipe, store, folder, lambda title, steps, _: bar(options.quiet, title, steps))
        minutes = (time.perf_counter() - began) / 60
        rows = [
            *_score(method, store, dealt.test, recipe.above, True),
            *_score(method, store, dealt.train, recipe.above, False),
        ]
        write_file(folder / HISTOGRAM_FILE, (json.dumps(_histogram(method, store, dealt.test)) + "\n").encode())
        write_file(folder / SCORES_FILE, _csv(rows, recipe.digest, minutes).encode())
        for state in folder.rglob("state.safetensors"):
            state.unlink()
    return _read(name, fold, folder, recipe)


def _score(method: Method, store: Store, numbers: Sequence[int], above: float, held_out: bool) -> list[Scored]:
    """Pixels of each class at native resolution, by section 4.5: a pixel without a label is in none."""
    rows = []
    for number, probability in predicted(store, method, numbers):
        truth = store.label_set(number)
        if truth is None:
            continue
        found = decide(restore(probability, store.frame(number)), method.outputs, above)
        for name, tissues in CLASSES.items():
            true = inside(truth, tissues)
            rows.append(
                Scored(
                    store.slices[number].id,
                    held_out,
                    name,
                    count(inside(found, tissues), true, true | outside(truth, tissues)),
                )
            )
    return rows


def _histogram(method: Method, store: Store, numbers: Sequence[int]) -> list[int]:
    """All classes' probabilities of the held-out slices, in equal bins from 0 to 1."""
    counts = np.zeros(BINS, np.int64)
    for _, probability in predicted(store, method, numbers):
        counts += np.histogram(probability, BINS, (0, 1))[0]
    return [int(n) for n in counts]


def _csv(rows: Sequence[Scored], digest: str, minutes: float) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["recipe", "minutes", "slice", "held_out", "class", *Counts.__dataclass_fields__])
    for row in rows:
        writer.writerow([digest, f"{minutes:.2f}", row.slice, int(row.held_out), row.name, *vars(row.counts).values()])
    return stream.getvalue()


def _read(name: str, fold: int, folder: Path, recipe: Recipe) -> tuple[Run, list[Scored]]:
    try:
        lines = list(csv.DictReader((folder / SCORES_FILE).read_text(encoding="utf-8").splitlines()))
        rows = [
            Scored(
                line["slice"],
                line["held_out"] == "1",
                line["class"],
                Counts(*(int(line[key]) for key in Counts.__dataclass_fields__)),
            )
            for line in lines
        ]
        minutes, digest = float(lines[0]["minutes"]), lines[0]["recipe"]
        counts = json.loads((folder / HISTOGRAM_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, IndexError):
        raise ReadError(
            f"The scores of {folder.name} are damaged.",
            expected="what an earlier call wrote",
            remedy="Remove its folder.",
        ) from None
    if digest != recipe.digest:
        raise ReadError(
            f"The scores of {folder.name} are of another recipe.",
            expected="those of the recipe as it is now",
            remedy="Remove its folder, or choose another output.",
        )
    logs = [read_log(path / LOG_FILE) for path in sorted(folder.glob("stage-*")) if (path / LOG_FILE).exists()]
    levels = folder / LEVELS_FILE
    run = Run(
        recipe=name,
        fold=fold,
        minutes=minutes,
        losses=tuple(tuple(float(row["cross_entropy"]) for row in log) for log in logs),
        levels=tuple(csv.DictReader(levels.read_text(encoding="utf-8").splitlines())) if levels.exists() else (),
        histogram=tuple(counts),
        above=recipe.above,
    )
    return run, rows

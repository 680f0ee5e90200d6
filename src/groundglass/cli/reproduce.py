"""``groundglass study reproduce PAPER``: a paper's recipes on the data at hand, to its tables with our numbers beside.

OUT/store              the prepared data
OUT/runs/DIGEST-S-F    a trial: recipe (by its hash), seed and fold; its logs, its model and what it found
OUT/priors             priors that recipes share
OUT/results.csv        rows of held-out slices of all trials, only ever continued; a trial with rows is not run again
OUT/trained_on.csv     likewise of slices that were trained on, where the paper's tables count them
OUT/spent.csv          steps and seconds of every stage
OUT/tables.md          the tables; figures beside it
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from groundglass.cli.phases import Phases
from groundglass.cli.reproduce_trials import PRIORS, found, read_run, run_trial
from groundglass.cli.study import trial_of
from groundglass.datasets import covid_semiseg
from groundglass.datasets._case import Asked, Cases
from groundglass.datasets._phantoms import draw
from groundglass.datasets._preparing import prepare_into
from groundglass.engine.fit import STATE_FILE
from groundglass.errors import UsageError
from groundglass.evaluation.cells import tell
from groundglass.evaluation.published import Figure, Paper, Scale, read_paper
from groundglass.evaluation.trials import Row, Trial, nameless, read_rows, write_rows
from groundglass.io.atomic import make_folder, write_file
from groundglass.labels import Region
from groundglass.levels import FINISHED_FILE
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import Recipe, load
from groundglass.report.panels import Slice, panels
from groundglass.report.reproduction import Run, page
from groundglass.report.reproduction_figures import histogram, losses, roc_curves
from groundglass.store import Store, open_store

SETS: Final[Mapping[str, str]] = {
    "covid_semiseg": "COVID-SemiSeg's 50 labelled slices",
    "phantom": "phantoms, which say nothing of patients",
}
PATIENTS: Final = 12  # phantoms
SHOWN: Final = 4  # slices of a figure
RESULTS_FILE, TRAINED_FILE, TABLES_FILE = "results.csv", "trained_on.csv", "tables.md"


@dataclass(frozen=True)
class Options:
    """What ``reproduce`` was called with, but the paper.

    Attributes:
        output: folder of everything.
        recipes: folder of all recipes.
        on: the data that stand in.
        root: where they lie, for what is not drawn.
        scale: of the paper's file.
        folds: that are held out; the scale's if empty.
        seeds: how many; None: the scale's.
        only: names of recipes that are run; all if empty.
        size: side of the prepared pictures, in pixels; None: the scale's.
        share: of the steps of every stage; None: the scale's.
        quiet: show no progress.
    """

    output: Path
    recipes: Path
    on: str = "covid_semiseg"
    root: Path | None = None
    scale: Literal["full", "small", "fast"] = "full"
    folds: Sequence[int] = ()
    seeds: int | None = None
    only: Sequence[str] = ()
    size: int | None = None
    share: float | None = None
    quiet: bool = False


def reproduce(name: str, options: Options) -> None:
    """Run what has no rows yet, then write tables and figures.

    Raises:
        GroundglassError: the paper's file, a recipe or the data are not what they should be.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    paper = read_paper(options.recipes, name)
    scale = _scale(paper, options)
    recipes = {recipe: _scaled(_load(recipe, scale, options), scale) for recipe in _chosen(paper, options)}
    store = _store(paper, scale, options)
    data, heading = _told(paper, scale, store, options)
    sys.stderr.write(f"{paper.title}; {heading}.\n{_steps(recipes)}")
    trials = {
        trial: recipe
        for seed in range(max(scale.seeds_of(name) for name in recipes))
        for fold in scale.folds
        for recipe, trial in (
            trial_of(key, made, store, seed, (fold, paper.folds))
            for key, made in recipes.items()
            if seed < scale.seeds_of(key)
        )
    }
    rows = _Table(options.output / RESULTS_FILE), _Table(options.output / TRAINED_FILE)
    made = [_done(trial, recipe, paper, store, options, *rows) for trial, recipe in trials.items()]
    for state in (options.output / PRIORS).rglob(STATE_FILE):
        state.unlink()
    _write(paper, made, store, (data, heading), options)


def _scale(paper: Paper, options: Options) -> Scale:
    """The scale that is asked for, with the folds and seeds that are."""
    if options.scale not in paper.scales:
        raise UsageError(
            f"{paper.title} has no --{options.scale}.",
            expected=", ".join(f"--{name}" for name in paper.scales if name != "full") or "neither --small nor --fast",
            remedy="Choose one, or none for the paper's own size.",
        )
    scale = paper.scales[options.scale]
    folds = list(options.folds) or scale.folds or list(range(paper.folds))
    if max(folds) >= paper.folds:
        raise UsageError(
            f"There is no fold {max(folds)}.", expected=f"0 to {paper.folds - 1}", remedy="Choose one of these."
        )
    asked = {"seeds": options.seeds, "size": options.size, "share": options.share}
    told: dict[str, Any] = {key: said for key, said in asked.items() if said is not None}
    if options.seeds is not None:
        told["more_seeds"] = {}
    return scale.model_copy(update={"folds": folds, **told})


def _chosen(paper: Paper, options: Options) -> list[str]:
    strange = [name for name in options.only if name not in paper.recipes]
    if strange:
        raise UsageError(
            f"{paper.title} has no recipe {strange[0]!r}.",
            expected=f"one of {', '.join(paper.recipes)}",
            remedy="Take one of these.",
        )
    return [name for name in paper.recipes if name in options.only or not options.only]


def _load(name: str, scale: Scale, options: Options) -> Recipe:
    """The recipe of that name in the first of the scale's folders that has one."""
    places = [options.recipes / folder / f"{name}.toml" for folder in scale.recipes]
    return load(next((path for path in places if path.exists()), places[0]))


def _scaled(recipe: Recipe, scale: Scale) -> Recipe:
    """A share of the steps of every stage, the prior's too, and of the slices that it labels, 1 at least; other rates.

    A second module, as a discriminator, keeps its own rate.
    """
    table = recipe.model_dump()
    for stage in (*table["stage"], *(table["prior"]["stage"] if table["prior"] else ())):
        training = stage["training"]
        training["steps"] = _part(training["steps"], scale.share)
        for kind in ("rate", "encoder_rate"):
            training[kind] = training[kind] and training[kind] * scale.rate
        for kind in ("batch", "unlabelled_batch"):
            training[kind] = min(training[kind], scale.batch or training[kind])
        if stage["labels"] and stage["labels"]["count"]:
            stage["labels"]["count"] = _part(stage["labels"]["count"], scale.share)
    return Recipe.parse(table)


def _part(number: int, share: float) -> int:
    return max(1, round(number * share))


def _steps(recipes: Mapping[str, Recipe]) -> str:
    """A line a recipe, so that nobody takes a part for the whole."""
    lines = []
    for name, recipe in recipes.items():
        told = [
            f"{f'{stage.rounds} x ' if stage.rounds > 1 else ''}{stage.training.steps} {stage.method}"
            for stage in recipe.stage
        ]
        if recipe.prior is not None:
            steps = sum(stage.training.steps for stage in recipe.prior.stage)
            told.insert(0, f"{recipe.prior.folds + 1} x {steps} of the prior, shared")
        lines.append(f"{name}: steps {', '.join(told)}\n")
    return "".join(lines)


def _told(paper: Paper, scale: Scale, store: Store, options: Options) -> tuple[str, str]:
    """Which data, for every heading; and all that has to be known of them and of the training."""
    data = f"on {SETS[options.on]}, {store.preparation.size[0]} pixels"
    part = "" if scale.share == 1 else f", {scale.share:.1%} of the steps of every stage"
    if scale.rate != 1:
        part += f", {scale.rate:g} times the learning rate"
    if scale.batch is not None:
        part += f", no more than {scale.batch} slices of a kind a step"
    folders = " and ".join(f"recipes/{folder}" for folder in scale.recipes)
    more = "".join(f", to {count - 1} of {', '.join(names)}" for count, names in _in_counts(scale.more_seeds).items())
    return data, (
        f"{data}, in place of the {paper.whose}'s data; {folders}{part}, folds {', '.join(map(str, scale.folds))} of "
        f"{paper.folds} by group, seeds 0 to {scale.seeds - 1}{more}, convention {paper.convention}"
    )


def _in_counts(more_seeds: Mapping[str, int]) -> dict[int, list[str]]:
    """The recipes of each number of seeds."""
    told: dict[int, list[str]] = {}
    for name, count in more_seeds.items():
        told.setdefault(count, []).append(name)
    return told


def _store(paper: Paper, scale: Scale, options: Options) -> Store:
    """The data, prepared as the paper says."""
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
    with Phases(options.quiet) as phases:
        phases.begin("preparing")
        cases: Cases = (
            draw(0, PATIENTS)
            if options.root is None or options.on == "phantom"
            else covid_semiseg.read(options.root, Asked())
        )
        size = (scale.size, scale.size)
        preparation = Preparation(paper.window_hu, paper.crop, size=size, intensity=cases.intensity)
        make_folder(options.output)
        path = options.output / "store"
        prepare_into(path, options.on, cases, preparation, key=b"", progress=phases.advance)
    return open_store(path)


@dataclass(frozen=True, eq=False)
class Done:
    """A trial, what it left, and its rows of held-out slices and of those that were trained on."""

    folder: Path
    run: Run
    held_out: list[Row]
    trained: list[Row]


class _Table:
    """The rows of all trials, in a file."""

    def __init__(self, file: Path) -> None:
        self._file, self._rows = file, read_rows(file)

    def of(self, trial: Trial) -> list[Row]:
        """Those of a trial, whatever its recipe was called."""
        return [replace(row, trial=trial) for row in self._rows if nameless(row.trial) == nameless(trial)]

    def has(self, trial: Trial, paper: Paper) -> bool:
        """Whether a trial has rows with all that the tables ask for."""
        own = self.of(trial)
        return bool(own) and all(set(paper.examined) <= row.values.keys() for row in own)

    def put(self, trial: Trial, own: Sequence[Row]) -> None:
        """Put a trial's rows in place of those that it had; what another process has written since stays."""
        self._rows = [*(row for row in read_rows(self._file) if nameless(row.trial) != nameless(trial)), *own]
        write_rows(self._file, self._rows)


def _done(
    trial: Trial, recipe: Recipe, paper: Paper, store: Store, options: Options, results: _Table, trained: _Table
) -> Done:
    """A trial, trained and scored, or read from what an earlier call left."""
    output = options.output
    folder = output / "runs" / f"{trial.digest}-{trial.seed}-{trial.fold}"
    if not (folder.is_dir() and results.has(trial, paper) and (trained.has(trial, paper) or not paper.trained_too)):
        make_folder(folder)
        rows = run_trial(trial, recipe, paper, store, output, folder, options.quiet)
        for table, own in zip((trained, results), reversed(rows), strict=True):  # what says "done" comes last
            if own:
                table.put(trial, own)
        for file in (*folder.rglob(STATE_FILE), *folder.rglob(FINISHED_FILE)):
            file.unlink()
    run = read_run(trial, folder, output, recipe)
    minutes = sum(cost.minutes for cost in run.costs.values())
    told = f"{trial.recipe}, seed {trial.seed}, fold {trial.fold}: {minutes:.1f} min (runs/{folder.name})"
    sys.stderr.write(f"{told}\n")
    return Done(folder, run, results.of(trial), trained.of(trial))


def _write(paper: Paper, made: Sequence[Done], store: Store, told: tuple[str, str], options: Options) -> None:
    """Tables and figures of all trials."""
    held_out: dict[str, list[Row]] = {}
    trained: dict[str, list[Row]] = {}
    for done in made:
        held_out.setdefault(done.run.trial.recipe, []).extend(done.held_out)
        trained.setdefault(done.run.trial.recipe, []).extend(done.trained)
    text = page(
        paper,
        {table.title: tell(paper, table, held_out, trained) for table in paper.table},
        [done.run for done in made],
        *told,
    )
    write_file(options.output / TABLES_FILE, text.encode())
    for figure in paper.figure:
        for file, content in _drawn(figure, made, store, told[0]):
            write_file(options.output / file, content)
    sys.stdout.write(text)


def _drawn(figure: Figure, made: Sequence[Done], store: Store, data: str) -> list[tuple[str, bytes]]:
    """The files of a figure; none where nothing was run that it shows."""
    chosen = [done for done in made if done.run.trial.recipe in figure.recipes or not figure.recipes]
    runs = [done.run for done in chosen]
    if not runs:
        return []
    if figure.kind == "losses":
        return [(f"{figure.file}.svg", losses(runs, figure.title, data, figure.column).encode())]
    if figure.kind == "probabilities":
        return [
            (f"{figure.file}-{word}.svg", histogram(runs, figure.title, data, after=after).encode())
            for word, after in (("before", False), ("after", True))
        ]
    if figure.kind == "roc":
        return [(f"{figure.file}.svg", roc_curves(runs, figure.title, data).encode())]
    first = runs[0].trial
    beside = [done for done in chosen if (done.run.trial.seed, done.run.trial.fold) == (first.seed, first.fold)]
    names = [done.run.trial.recipe for done in beside]
    title = f"{figure.title}; seed {first.seed}, fold {first.fold}"
    return [(f"{figure.file}.png", panels(_slices(beside, store), names, title))]


def _slices(beside: Sequence[Done], store: Store) -> list[Slice]:
    """Held-out slices, evenly from the least to the most infected, and what each trial found in them."""
    rows = [row for row in beside[0].held_out if row.region == Region.INFECTION.key]
    ordered = sorted(rows, key=lambda row: row.counts.both + row.counts.true_only)
    places = sorted({round(place * (len(ordered) - 1) / (SHOWN - 1)) for place in range(SHOWN)})
    made = []
    for row in (ordered[place] for place in places):
        number = store.number(row.slice)
        truth = store.prepared_label_set(number)
        if truth is not None:
            top, left, bottom, right = store.frame(number).inner  # the rest is padding, of which nobody says anything
            within = slice(top, bottom), slice(left, right)
            sets = (truth, *(found(done.folder, number) for done in beside))
            made.append(Slice(row.slice, store.prepared(number)[within], tuple(one[within] for one in sets)))
    return made

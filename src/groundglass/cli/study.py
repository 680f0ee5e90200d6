"""``groundglass study crossval`` and ``budget``: recipes by folds, seeds and numbers of labels, to a table."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Final

import torch

from groundglass import runs
from groundglass.cli.apart import Tell, apart, cores
from groundglass.cli.phases import Phases
from groundglass.cli.spent import SPENT_FILE, written_down
from groundglass.cli.train import MAY_HAVE_SEEN, bar
from groundglass.errors import UsageError
from groundglass.evaluation.conventions import PER_IMAGE, Convention
from groundglass.evaluation.costs import costs, read_sittings
from groundglass.evaluation.failure import Poor, poorest
from groundglass.evaluation.labels_needed import labels_needed
from groundglass.evaluation.trials import ALL, Entry, Row, Trial, done, entries, nameless, read_rows, write_rows
from groundglass.io import OutputFolder
from groundglass.io.atomic import make_folder, write_file
from groundglass.models import learnt_alike
from groundglass.recipe import Recipe, load
from groundglass.report.study import curve, failures, markdown, needed, overview
from groundglass.splits import Split, as_json, make_folds, read_split
from groundglass.store import Store, open_store

RESULTS_FILE: Final = "results.csv"
METRIC: Final = "dice"
FAILURES: Final = 10  # slices of each recipe that are told
UNNAMED: Final = ("seed", "fold", "labels")  # a trial says them itself


@dataclass(frozen=True)
class Options:
    """What a study was called with, but its recipes.

    Attributes:
        store: of all recipes.
        output: folder for tables, and for what runs leave until they are done.
        seeds: how many, from 0.
        folds: which are held out; all if empty.
        labels: numbers of labelled slices, or ``all`` that a fold leaves; all if empty.
        split: a file of folds; made by group if None.
        results: the rows of all runs, continued.
        convention: of the averages.
        quiet: show no progress.
        jobs: how many trainings run at a time, each on its share of the cores.
        keep: leave the folders of runs, each with its model and last state, where they are.
        against: the recipe that the others are compared with; the first if None, of a study of numbers of labels the
            first by labels alone.
    """

    store: Path
    output: Path
    seeds: int = 3
    folds: Sequence[int] = ()
    labels: Sequence[str] = ()
    split: Path | None = None
    results: Path | None = None
    convention: str = "present"
    quiet: bool = False
    jobs: int = 1
    keep: bool = False
    against: str | None = None


def run_study(recipe_files: Sequence[Path], options: Options) -> None:
    """Train and test each recipe on each fold, seed and number of labels that has no row yet; then the tables.

    Raises:
        GroundglassError: recipes, store, split or results are not what they should be; a convention that takes more
            than each slice's counts; a study of numbers of labels without a supervised recipe, or of more labels than a
            fold leaves.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    recipes = _recipes(recipe_files, options)
    convention = _convention(options.convention)
    store = open_store(options.store)
    split = make_folds(store.slices, 5, runs.SPLIT_SEED) if options.split is None else read_split(options.split)
    results = options.results or options.output / RESULTS_FILE
    make_folder(options.output)
    write_file(options.output / "split.json", as_json(split).encode())
    trials = _trials(recipes, store, split, options)
    tested = {trial: split.fold(trial.fold, store.slices).test for _, trial in trials}
    rows = read_rows(results)
    have = done(rows, tested)
    left = [(recipe, trial) for recipe, trial in trials if trial not in have]
    for recipe, _ in left:
        runs.roles(recipe, store, split)  # what cannot be is said before anything is trained
    sys.stderr.write(f"{len(trials)} trainings, {len(trials) - len(left)} of them have results already.\n")
    for number, ((_, trial), made) in enumerate(_runs(left, split, options), 1):
        # read again: another process may have written since
        rows = [*read_rows(results), *made]
        write_rows(results, rows)
        sys.stderr.write(f"{number} of {len(left)}: {_words(trial, made)}\n")
    wanted = {nameless(trial): trial for _, trial in trials}
    named = [replace(row, trial=wanted[one]) for row in rows if (one := nameless(row.trial)) in wanted]
    whole = round(fmean(len(split.fold(fold, store.slices).train) for fold in {trial.fold for trial in tested}))
    alike = [name for name, recipe in recipes.items() if learnt_alike(recipe, store)]
    _write(_in_order(named, list(recipes)), convention, store, options, whole, alike)


def _convention(name: str) -> Convention:
    convention = Convention.parse(name)
    if not convention.is_of_counts:
        raise UsageError(
            f"A study under the convention {convention.name}.",
            expected=f"one of {', '.join(PER_IMAGE)}: results are counts of single slices",
            remedy="Choose one of these.",
        )
    return convention


def _recipes(files: Sequence[Path], options: Options) -> dict[str, Recipe]:
    recipes: dict[str, Recipe] = {}
    for file in files:
        if file.stem in recipes:
            raise UsageError(
                f"Two recipes are called {file.stem}.", expected="one of each name", remedy="Rename one of them."
            )
        recipe = load(file)
        if recipe.data.labels is not None:
            raise UsageError(
                f"{file.name} says data.labels = {recipe.data.labels}.",
                expected="no number of labels in the recipe: the study gives it to all of them",
                remedy=f"Leave it out, and say groundglass study budget --labels {recipe.data.labels}.",
            )
        recipes[file.stem] = recipe
    first = _first(recipes, options)
    return {first: recipes[first]} | recipes


def _first(recipes: dict[str, Recipe], options: Options) -> str:
    """The name of the recipe that the others are compared with."""
    if options.against is not None:
        if options.against not in recipes:
            raise UsageError(
                f"No recipe here is called {options.against}.",
                expected=f"one of {', '.join(recipes)}",
                remedy="Say --against with one of these, or add that recipe.",
            )
        return options.against
    if not options.labels:
        return next(iter(recipes))
    supervised = [name for name, recipe in recipes.items() if _is_supervised(recipe)]
    if not supervised:
        raise UsageError(
            "A study of numbers of labels without a supervised recipe.",
            expected="one among them: what unlabelled slices give is a difference",
            remedy="Add a recipe that learns from labels alone, first of such.",
        )
    return supervised[0]


def _is_supervised(recipe: Recipe) -> bool:
    """Whether it learns from people's labels alone: whatever the method, if it gets or takes no unlabelled slices."""
    own = any(stage.labels is not None for stage in recipe.stage)
    return not own and (not recipe.data.unlabelled or all(stage.method == "supervised" for stage in recipe.stage))


def _trials(recipes: dict[str, Recipe], store: Store, split: Split, options: Options) -> list[tuple[Recipe, Trial]]:
    """Every training of the study; seeds outermost, so that a study that is stopped has whole comparisons."""
    names: dict[str, str] = {}
    for name, recipe in recipes.items():
        if names.setdefault(_digest(recipe), name) != name:
            raise UsageError(
                f"{names[_digest(recipe)]} and {name} are the same training.",
                expected="recipes that differ in what decides the outcome",
                remedy="Leave one of them out.",
            )
    labels, folds = options.labels or [ALL], options.folds or range(split.folds)
    return [
        trial_of(name, recipe, store, seed, (fold, split.folds), amount)
        for seed, amount, fold, (name, recipe) in product(range(options.seeds), labels, folds, recipes.items())
    ]


def trial_of(
    name: str, recipe: Recipe, store: Store, seed: int, fold: tuple[int, int], labels: str = ALL
) -> tuple[Recipe, Trial]:
    """A recipe with a seed, a fold of so many, and a number of labels, and the trial that it is."""
    table = recipe.model_dump()
    table["seed"] = seed
    table["data"] |= {"fold": fold[0], "folds": fold[1], "labels": None if labels == ALL else int(labels)}
    return Recipe.parse(table), Trial(name, _digest(recipe), _data(store), seed, fold[0], labels)


def _digest(recipe: Recipe) -> str:
    """Of the recipe without what a trial says itself."""
    table = recipe.model_dump()
    table["seed"] = 0
    table["data"] |= {"fold": None, "folds": None, "labels": None}
    return Recipe.parse(table).digest[:16]


def _data(store: Store) -> str:
    """Of the slices and of how they were prepared: rows at one size are no rows at another."""
    return hashlib.sha256(f"{store.content} {json.dumps(store.preparation.as_json())}".encode()).hexdigest()[:16]


def _runs(
    trials: Sequence[tuple[Recipe, Trial]], split: Split, options: Options
) -> Iterator[tuple[tuple[Recipe, Trial], list[Row]]]:
    """Every trial with its rows, as they end."""
    if options.jobs == 1:
        for recipe, trial in trials:
            watch = lambda name, steps, _: bar(options.quiet, name, steps)  # noqa: E731
            yield (recipe, trial), _run(recipe, trial, split, options, watch)
        return
    with Phases(options.quiet) as phases:
        phases.begin(f"{len(trials)} trainings, {options.jobs} at a time")
        yield from apart(partial(_run_apart, split, options), trials, options.jobs, lambda _: None)


def _run_apart(split: Split, options: Options, made: tuple[Recipe, Trial], tell: Tell) -> list[Row]:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    torch.set_num_threads(max(1, cores() // options.jobs))
    return _run(*made, split, options, lambda *_: nullcontext(lambda report: tell(report.step)))


def _run(recipe: Recipe, trial: Trial, split: Split, options: Options, watch: runs.Watch) -> list[Row]:
    folder = options.output / "runs" / f"{trial.digest}-{trial.labels}-{trial.seed}-{trial.fold}"
    store, spent = open_store(options.store), folder / SPENT_FILE
    watch = written_down(watch, spent, lambda stage: (stage.relative_to(folder.parent).as_posix(), "training"))
    method, dealt = runs.train(recipe, store, folder, watch, split=split)
    minutes = sum(cost.minutes for cost in costs(read_sittings(spent), [folder.name]).values())
    counts = runs.score(method, store, dealt.test, in_tiles=recipe.tiles)
    if not options.keep:
        shutil.rmtree(folder)  # its rows are what is kept
    groups = {info.id: info.group for info in store.slices}
    return [Row(trial, minutes, name, groups[name], region.key, found) for (name, region), found in counts.items()]


def _in_order(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    return sorted(rows, key=lambda row: names.index(row.trial.recipe))


def _words(trial: Trial, rows: Sequence[Row]) -> str:
    made = entries(rows, METRIC, Convention("present"))
    scores = ", ".join(f"{entry.region} {entry.score.mean:.3f}" for entry in made if entry.score)
    return f"{trial.recipe}, seed {trial.seed}, fold {trial.fold}, {trial.labels} labels: Dice {scores}"


def _write(
    rows: Sequence[Row], convention: Convention, store: Store, options: Options, whole: int, alike: Sequence[str]
) -> None:
    table = entries(rows, METRIC, convention)
    title = heading = f"{store.dataset}, Dice, convention {convention.name}, p > 0.5, {options.seeds} seeds"
    if alike:
        heading += f". What {' and '.join(alike)} started from {MAY_HAVE_SEEN.format(store.dataset)}"
    text = markdown(table, heading)
    with OutputFolder(options.output) as output:
        output.path("table.md").write_text(text, encoding="utf-8", newline="\n")
        output.path("overview.md").write_text(overview(table, heading), encoding="utf-8", newline="\n")
        output.path("failures.md").write_text(failures(_poorest(table, rows), heading), encoding="utf-8", newline="\n")
        summary = {"heading": heading, "entries": [asdict(entry) for entry in table]}
        output.path("summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
        if len({entry.labels for entry in table}) > 1:
            output.path("curve.svg").write_text(curve(table, title), encoding="utf-8", newline="\n")
        if told := labels_needed(rows, METRIC, convention, whole):
            answer = needed(told, rows[0].trial.recipe)
            output.path("labels_needed.md").write_text(answer, encoding="utf-8", newline="\n")
            text += f"\n{answer}"
    sys.stdout.write(text)


def _poorest(table: Sequence[Entry], rows: Sequence[Row]) -> dict[tuple[str, str], list[Poor]]:
    """By number of labels and recipe, in the table's order."""
    return {
        (labels, recipe): poorest([r for r in rows if (r.trial.labels, r.trial.recipe) == (labels, recipe)], FAILURES)
        for labels, recipe in dict.fromkeys((entry.labels, entry.recipe) for entry in table)
    }

"""The demo's trainings: phantom patients in a store, two methods on the same few labels, and what came of it."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

import torch

from groundglass import __version__, runs
from groundglass.cli.apart import Tell, apart, cores
from groundglass.cli.phases import Phases
from groundglass.datasets._phantoms import draw
from groundglass.datasets._preparing import prepare_into
from groundglass.evaluation.overlap import METRICS, Counts, average
from groundglass.evaluation.statistics import Comparison, compare
from groundglass.io.atomic import write_file
from groundglass.labels import Region
from groundglass.models import MODEL_FILE
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import Recipe, load
from groundglass.report.demonstration import SHOWN, Demonstration, Trained
from groundglass.store import Store, open_store
from groundglass.store.writer import read_manifest

RECIPE: Final = Path(__file__).with_name("demo.toml")
BASELINE, OTHER = "supervised", "mean_teacher"
SEEDS: Final = (0, 1, 2)  # of trainings; each draws other labels, the same for both methods
PATIENTS: Final = 30
PREPARATION: Final = Preparation(size=(64, 96))  # lungs are wider than they are deep
SCORES_FILE: Final = "scores.csv"

Counted = Mapping[tuple[str, Region], Counts]  # (slice, region) -> pixels
Scores = Mapping[tuple[str, int], Counted]  # (method, seed) -> what was counted


def prepare(path: Path, seed: int, phases: Phases) -> Store:
    """The store of the phantom patients of a seed; one that is whole is taken as it is.

    Raises:
        UsageError: the folder holds another store.
        WriteError: it cannot be written.
    """
    dataset = f"phantoms of seed {seed}"
    made_of = {"dataset": dataset, "preparation": PREPARATION.as_json(), "complete": True}
    manifest = read_manifest(path) or {}
    version = manifest.get("provenance", {}).get("version")
    if version != __version__ or any(manifest.get(key) != value for key, value in made_of.items()):
        prepare_into(path, dataset, draw(seed, PATIENTS), PREPARATION, key=b"", progress=phases.advance)
    return open_store(path)


def recipe_of(method: str, seed: int) -> Recipe:
    """The demo's recipe for one training."""
    table = load(RECIPE).model_dump()
    table["seed"] = seed
    if method == BASELINE:
        table["stage"][0]["training"]["ema"] = table["stage"][0]["settings"]["ema"]
        table["stage"][0] |= {"method": BASELINE, "settings": {}}
        table["data"]["unlabelled"] = False
    return Recipe.parse(table)


def model_of(folder: Path) -> Path:
    """The model that segments what the page shows: the baseline's of the first seed."""
    return _run(folder, BASELINE, SEEDS[0]) / MODEL_FILE


def _run(folder: Path, method: str, seed: int) -> Path:
    return folder / f"{method}-{seed}"


def jobs() -> int:
    """How many trainings run at a time: as many as there are cores, if there are trainings for them."""
    return min(cores(), len(SEEDS) * len((BASELINE, OTHER)))


def train(store: Path, folder: Path, jobs: int, phases: Phases) -> Scores:
    """Train both methods with each seed, going on where an earlier run in the folder stopped; score held-out slices.

    Args:
        store: its folder.
        folder: a run is a folder in it.
        jobs: how many trainings run at a time, on one thread each.
        phases: are told how far the trainings are.
    """
    trainings = [(method, seed) for method in (BASELINE, OTHER) for seed in SEEDS]
    steps = {training: recipe_of(*training).stage[0].training.steps for training in trainings}
    work, total = partial(_train, store, folder), sum(steps.values())
    scores = {}
    for (method, seed), counted in apart(work, trainings, jobs, lambda done: phases.advance(done / total)):
        scores[method, seed] = counted
        phases.tell(f"{method} with seed {seed} is trained, {len(scores)} of {len(trainings)}")
    return {training: scores[training] for training in trainings}


def _train(store_folder: Path, folder: Path, training: tuple[str, int], tell: Tell) -> Counted:
    method, seed = training
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of the precision at every start
    store, threads = open_store(store_folder), torch.get_num_threads()
    torch.set_num_threads(1)  # pictures so small are faster so, and a busy neighbour costs a half, not five sixths
    try:
        trained, dealt = runs.train(
            recipe_of(method, seed),
            store,
            _run(folder, method, seed),
            lambda *_: nullcontext(lambda report: tell(report.step)),
        )
        return runs.score(trained, store, dealt.test)
    finally:
        torch.set_num_threads(threads)


def compared(scores: Scores, store: Store) -> Demonstration:
    """Both methods' Dice on the held-out slices, and its difference paired over patients."""
    held = {name for counts in scores.values() for name, _ in counts}
    recipe = recipe_of(OTHER, SEEDS[0])
    dealt = runs.roles(recipe, store)
    return Demonstration(
        baseline=Trained(BASELINE, {region: _spread(scores, BASELINE, region) for region in SHOWN}),
        other=Trained(OTHER, {region: _spread(scores, OTHER, region) for region in SHOWN}),
        difference={region: found for region in SHOWN if (found := _difference(scores, store, region))},
        seeds=len(SEEDS),
        labels=len(dealt.train),
        unlabelled=len(dealt.unlabelled),
        slices=len(held),
        steps=recipe.stage[0].training.steps,
        shown=f"the training of {BASELINE} with seed {SEEDS[0]}",
    )


def _spread(scores: Scores, method: str, region: Region) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over seeds of the mean Dice over the slices that have the region."""
    means = [_mean(scores[method, seed], region) for seed in SEEDS]
    known = [mean for mean in means if mean is not None]
    return fmean(known) if known else None, stdev(known) if len(known) > 1 else None


def _mean(counts: Counted, region: Region) -> float | None:
    return average("dice", [pixels for (_, other), pixels in counts.items() if other is region], "present")


def _difference(scores: Scores, store: Store, region: Region) -> Comparison | None:
    """Dice of the other method less the baseline's, on the slices that have the region; None where none has it."""
    patient = {info.id: info.group for info in store.slices}
    ours, theirs, patients, seeds = [], [], [], []
    for seed in SEEDS:
        for (name, other), pixels in scores[OTHER, seed].items():
            if other is region and pixels.both + pixels.true_only:
                ours.append(METRICS["dice"](pixels) or 0.0)
                theirs.append(METRICS["dice"](scores[BASELINE, seed][name, region]) or 0.0)
                patients.append(patient[name])
                seeds.append(seed)
    return compare(ours, theirs, patients, seeds=seeds) if ours else None


def write_scores(folder: Path, scores: Scores) -> None:
    """A row for each training, slice and region."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "seed", "slice", "region", "dice", "both", "found_only", "true_only"])
    for (method, seed), counts in scores.items():
        for (name, region), pixels in counts.items():
            dice = METRICS["dice"](pixels)
            cells = ("" if dice is None else round(dice, 6), pixels.both, pixels.found_only, pixels.true_only)
            writer.writerow([method, seed, name, region.key, *cells])
    write_file(folder / SCORES_FILE, text.getvalue().encode())

"""``groundglass train``: a recipe to a checkpoint, and where slices were held out, how well it does on them."""

from __future__ import annotations

import csv
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from groundglass import __version__
from groundglass.build import make_augmentation, make_method, make_network
from groundglass.engine import checkpoint
from groundglass.engine.fit import Report, fit
from groundglass.engine.loaders import Batches, Pool
from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.overlap import CONVENTIONS, METRICS, Counts, average, count
from groundglass.inference.predict import BATCH, predict_batch
from groundglass.inference.segmentation import ModelCard
from groundglass.io.atomic import make_folder, write_file
from groundglass.labels import Region, inside, outside
from groundglass.losses.groups import regions_of, tissue_groups
from groundglass.methods._method import Method
from groundglass.preprocess.slices import restore
from groundglass.provenance import Provenance, this_machine
from groundglass.recipe import Recipe, load
from groundglass.splits import make_folds
from groundglass.store import Store, open_store

MODEL_FILE: Final = "model.safetensors"
SCORES_FILE: Final = "scores.csv"
SPLIT_SEED: Final = 0  # folds are the same for every recipe and seed


def run_train(recipe_file: Path, output: Path, store_path: Path | None, fold: int | None, quiet: bool) -> None:
    """Train all stages of a recipe, resuming where an earlier run stopped.

    Raises:
        GroundglassError: the recipe, the store or the state in the folder is not what it should be.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of the precision at every start
    recipe = _with_fold(load(recipe_file), fold)
    store = open_store(store_path or Path(recipe.data.store))
    train, test, unlabelled = _parts(recipe, store)
    outputs = tissue_groups(value for number in train for value in store.slices[number].sets)
    if len(outputs) < 2:
        raise LabelError(
            "The labels tell no two tissues apart.", expected="labels of at least two kinds", remedy="Add labels."
        )
    make_folder(output)
    method: Method | None = None
    for number, stage in enumerate(recipe.stage):
        method = _method(recipe, number, outputs, method)
        batches = Batches(
            labelled=Pool(len(train), lambda i: _labelled(store, train[i])),
            unlabelled=Pool(len(unlabelled), lambda i: (store.prepared(unlabelled[i]), None)) if unlabelled else None,
            sizes=(stage.training.batch, stage.training.unlabelled_batch if unlabelled else 0),
            seed=recipe.seed,
            augment=make_augmentation(stage.training.augmentation),
        )
        folder = output / f"stage-{number + 1}"
        with _bar(quiet, stage.method, stage.training.steps) as tell:
            identity = f"{recipe.digest} {store.content} {__version__}"
            weights = fit(method, batches, stage.training, folder, identity=identity, on_step=tell)
        method.load_state_dict(weights)
    if method is None:
        raise ValueError("a recipe without a stage")
    _write_model(output, recipe, store, method, len(train), len(unlabelled))
    if test:
        _tell_scores(output, score(method.eval(), store, test))
    sys.stdout.write(f"The model: {output / MODEL_FILE}\n")


def _with_fold(recipe: Recipe, fold: int | None) -> Recipe:
    if fold is None:
        return recipe
    table = recipe.model_dump()
    table["data"] |= {"fold": fold, "folds": recipe.data.folds or 5}
    return Recipe.parse(table)


def _parts(recipe: Recipe, store: Store) -> tuple[list[int], list[int], list[int]]:
    """Numbers of the slices to train on, held out, and without labels."""
    if not store.labelled:
        raise UsageError(
            "The store has no labelled slice.", expected="at least one", remedy="Prepare data with labels."
        )
    if recipe.data.folds is None or recipe.data.fold is None:
        train, test, unlabelled = list(store.labelled), [], list(store.unlabelled)
    else:
        fold = make_folds(store.slices, recipe.data.folds, SPLIT_SEED).fold(recipe.data.fold, store.slices)
        train, test, unlabelled = (
            [store.number(name) for name in names] for names in (fold.train, fold.test, fold.unlabelled)
        )
    return train, test, unlabelled if recipe.data.unlabelled else []


def _labelled(store: Store, number: int) -> tuple[Any, Any]:
    return store.prepared(number), store.prepared_label_set(number)


def _method(recipe: Recipe, number: int, outputs: Sequence[int], before: Method | None) -> Method:
    """The method of a stage, its network fresh or handed on from the stage before."""
    stage = recipe.stage[number]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = make_network(recipe.network, len(outputs), pretrained=before is None)
    if stage.start_from is not None:
        tensors, record = checkpoint.read(Path(stage.start_from))
        prefix = record["predictor"]
        network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    elif before is not None:
        network.load_state_dict(before.predictor.state_dict())
    return make_method(stage.method, network, outputs, stage.settings, recipe.seed)


def _write_model(output: Path, recipe: Recipe, store: Store, method: Method, labelled: int, unlabelled: int) -> None:
    last = recipe.stage[-1]
    learnt = f"{labelled} labelled and {unlabelled} unlabelled slices" if unlabelled else f"{labelled} labelled slices"
    card = ModelCard(
        name=f"{last.method}, {recipe.network.name}",
        summary=f"A network ({recipe.network.name}) trained by {last.method.replace('_', ' ')}.",
        trained_on=f"{learnt} of {store.dataset}, prepared at {store.preparation.size[0]} pixels.",
        lung_from=(
            "The classical lung field and the lesions that touch it: the training labels do not tell lung from "
            "background."
        ),
    )
    provenance = Provenance(
        version=__version__,
        command="train",
        settings={},
        model=card.name,
        recipe=recipe.digest,
        seed=recipe.seed,
        data={"store": store.content},
        machine=this_machine(),
    )
    predictor = next(name for name, module in method.named_modules() if module is method.predictor)
    record = {
        "network": recipe.network.model_dump(),
        "method": last.method,
        "settings": last.settings,
        "predictor": f"{predictor}.",
        "outputs": list(method.outputs),
        "preparation": store.preparation.as_json(),
        "card": asdict(card),
        "recipe": recipe.model_dump(exclude={"data": {"store"}}),
        "provenance": provenance.as_json(),
    }
    checkpoint.write(output / MODEL_FILE, method.state_dict(), record)


def score(method: Method, store: Store, numbers: Sequence[int]) -> dict[tuple[str, Region], Counts]:
    """Counts of pixels of each slice and region at native resolution, a region being found where p > 0.5."""
    counts = {}
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        images = torch.from_numpy(np.stack([store.prepared(number) for number in part]))[:, None]
        for number, probability in zip(part, predict_batch(method, images).numpy(), strict=True):
            truth = store.label_set(number)
            if truth is None:
                continue
            whole = restore(probability, store.frame(number))
            for region in regions_of(method.outputs):
                channels = [place for place, group in enumerate(method.outputs) if not group & ~region.value]
                true = inside(truth, region)
                known = true | outside(truth, region)
                counts[store.slices[number].id, region] = count(whole[channels].sum(axis=0) > 0.5, true, known)
    return counts


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


class _bar:  # noqa: N801 - used as a function
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

    def _tell(self, report: Report) -> None:
        losses = " ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        words = f"{self._name}: {losses}, {report.images_per_second:.1f} images/s, {report.waited_share:.0%} waiting"
        self._progress.update(self._task, completed=report.step, description=words)
        if not self._console.is_terminal and (report.step % 50 == 0 or report.step == report.steps):
            self._console.print(f"step {report.step} of {report.steps}: {words}", markup=False, highlight=False)

"""A run: a recipe on a store, to a model, and where slices were held out, how well it does on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from groundglass import __version__
from groundglass.build import make_augmentation, make_method, make_network
from groundglass.engine import checkpoint, processes
from groundglass.engine.fit import Report, fit, precision_of
from groundglass.engine.loaders import Batches, Pool
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.evaluation.overlap import Counts, count
from groundglass.inference.predict import BATCH, channels_of, predict_batch
from groundglass.inference.segmentation import ModelCard
from groundglass.io.atomic import make_folder
from groundglass.labels import Region, inside, outside
from groundglass.losses.groups import tissue_groups
from groundglass.methods._method import Method
from groundglass.networks._network import Network
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import restore
from groundglass.provenance import Provenance, this_machine
from groundglass.recipe import Recipe
from groundglass.splits import Split, as_json, make_folds
from groundglass.store import Store

MODEL_FILE: Final = "model.safetensors"
SPLIT_SEED: Final = 0  # folds are the same for every recipe and seed
ALONE: Final = processes.Launch()
# Of a stage's name and steps: what is told of each of its steps while it runs.
Watch = Callable[[str, int], AbstractContextManager[Callable[[Report], object]]]


@dataclass(frozen=True)
class Roles:
    """Numbers of the slices of a store to train on, held out, and without labels."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    unlabelled: tuple[int, ...]


def roles(recipe: Recipe, store: Store, split: Split | None = None) -> Roles:
    """Who does what in a run: held out is the recipe's fold, labelled are as many slices as it says.

    Args:
        recipe: its data.
        store: what it draws from.
        split: the folds; made by group if None.

    Raises:
        UsageError: a store without labels, or with fewer than asked for.
        ReadError: the store is not the one that the split was made for.
    """
    if not store.labelled:
        raise UsageError(
            "The store has no labelled slice.", expected="at least one", remedy="Prepare data with labels."
        )
    data = recipe.data
    train, unlabelled = store.labelled, store.unlabelled
    test: tuple[int, ...] = ()
    if data.folds is not None and data.fold is not None:
        split = split or make_folds(store.slices, data.folds, SPLIT_SEED)
        fold = split.fold(data.fold, store.slices)
        train, test, unlabelled = (
            tuple(store.number(name) for name in names) for names in (fold.train, fold.test, fold.unlabelled)
        )
    if data.labels is not None:
        if data.labels > len(train):
            raise UsageError(
                f"{data.labels} labelled slices are asked for, {len(train)} can be trained on.",
                expected="no more than there are",
                remedy="Lower data.labels.",
            )
        drawn = [train[place] for place in np.random.default_rng(recipe.seed).permutation(len(train))]
        train, bared = tuple(sorted(drawn[: data.labels])), drawn[data.labels :]
        unlabelled = tuple(sorted((*unlabelled, *bared)))
    return Roles(train, test, unlabelled if data.unlabelled else ())


def train(
    recipe: Recipe,
    store: Store,
    output: Path,
    watch: Watch = lambda name, steps: nullcontext(lambda report: None),  # noqa: ARG005
    *,
    split: Split | None = None,
    launch: processes.Launch = ALONE,
) -> tuple[Method, Roles]:
    """Train all stages of a recipe, going on where an earlier run in the folder stopped, and write the model.

    Args:
        recipe: what to do.
        store: what to learn from.
        output: folder for the model, and one folder a stage.
        watch: told of every step.
        split: the folds; made by group if None.
        launch: which process of the run this is; each has its share of the batches, the first one writes.

    Returns:
        the method in eval mode, and which slices did what.

    Raises:
        GroundglassError: recipe, store or the state in the folder are not what they should be.
    """
    dealt = roles(recipe, store, split)
    outputs = tissue_groups(value for number in dealt.train for value in store.slices[number].sets)
    if len(outputs) < 2:
        raise LabelError(
            "The labels tell no two tissues apart.", expected="labels of at least two kinds", remedy="Add labels."
        )
    if launch.rank == 0:
        make_folder(output)
    method: Method | None = None
    for number, stage in enumerate(recipe.stage):
        method = _method(recipe, number, outputs, method, store.preparation)
        with watch(stage.method, stage.training.steps) as tell:
            weights = fit(
                method,
                _batches(recipe, number, store, dealt, launch),
                stage.training,
                output / f"stage-{number + 1}",
                identity=_identity(recipe, store, split, launch),
                fabric=processes.start(launch, precision_of(stage.training)),
                on_step=tell,
            )
        method.load_state_dict(weights)
    if method is None:
        raise ValueError("a recipe without a stage")
    if launch.rank == 0:
        _write_model(output, recipe, store, method, dealt, launch)
    return method.eval(), dealt


def _identity(recipe: Recipe, store: Store, split: Split | None, launch: processes.Launch) -> str:
    """Of all that decides what a run comes to."""
    parts = [recipe.digest, store.content, json.dumps(store.preparation.as_json()), __version__]
    if split is not None:
        parts.append(hashlib.sha256(as_json(split).encode()).hexdigest())
    if launch.count > 1:
        parts.append(f"{launch.count} processes")
    return " ".join(parts)


def _batches(recipe: Recipe, number: int, store: Store, dealt: Roles, launch: processes.Launch) -> Batches:
    training = recipe.stage[number].training
    bare = Pool(len(dealt.unlabelled), lambda i: (store.prepared(dealt.unlabelled[i]), None))
    return Batches(
        labelled=Pool(len(dealt.train), lambda i: _labelled(store, dealt.train[i])),
        unlabelled=bare if dealt.unlabelled else None,
        sizes=(training.batch, training.unlabelled_batch if dealt.unlabelled else 0),
        seed=recipe.seed,
        augment=make_augmentation(training.augmentation),
        rank=launch.rank,
        processes=launch.count,
    )


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
            for region, channels in channels_of(method.outputs).items():
                true = inside(truth, region)
                known = true | outside(truth, region)
                counts[store.slices[number].id, region] = count(whole[channels].sum(axis=0) > 0.5, true, known)
    return counts


def _labelled(store: Store, number: int) -> tuple[Any, Any]:
    return store.prepared(number), store.prepared_label_set(number)


def _method(
    recipe: Recipe, number: int, outputs: Sequence[int], before: Method | None, preparation: Preparation
) -> Method:
    """The method of a stage, its network fresh, a checkpoint's, or handed on from the stage before."""
    stage = recipe.stage[number]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = make_network(recipe.network, len(outputs), pretrained=before is None)
    if stage.start_from is not None:
        _load(network, Path(stage.start_from), preparation)
    elif before is not None:
        network.load_state_dict(before.predictor.state_dict())
    return make_method(stage.method, network, outputs, stage.settings, recipe.seed)


def _load(network: Network, path: Path, preparation: Preparation) -> None:
    """Give a network the weights of a model's checkpoint.

    Raises:
        ReadError: it is none, of another network or other classes, or made for another preparation.
    """
    tensors, record = checkpoint.read(path)
    try:
        made_for = Preparation.from_json({**record["preparation"], "intensity": preparation.intensity})
        prefix = record["predictor"]
        if made_for == preparation:
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            return
    except (KeyError, TypeError, ValueError, RuntimeError, UsageError):
        raise ReadError(
            f"{path.name}, which a stage starts from, does not fit: it is of another network or other classes.",
            expected="a model.safetensors of the recipe's network and of labels that tell the same tissues apart",
            remedy="Choose another, or change the recipe's network.",
        ) from None
    raise ReadError(
        f"{path.name}, which a stage starts from, was made for another preparation.",
        expected=f"{preparation.as_json()}",
        remedy="Prepare the data as its were, or train it again on this store.",
    )


def _write_model(
    output: Path, recipe: Recipe, store: Store, method: Method, dealt: Roles, launch: processes.Launch
) -> None:
    last = recipe.stage[-1]
    labelled, unlabelled = len(dealt.train), len(dealt.unlabelled)
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
        settings={} if launch.count == 1 else {"processes": launch.count},
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
        "recipe": recipe.model_dump(exclude={"data": {"store"}, "stage": {"__all__": {"start_from"}}}),  # no paths
        "provenance": provenance.as_json(),
    }
    checkpoint.write(output / MODEL_FILE, method.state_dict(), record)

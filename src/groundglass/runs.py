"""A run: a recipe on a store, to a model, and where slices were held out, how well it does on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from groundglass import __version__, priors
from groundglass.build import make_augmentation, make_method, make_network, method_of
from groundglass.engine import checkpoint
from groundglass.engine.fit import Report, fit
from groundglass.engine.loaders import Batches, Pool
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.evaluation.overlap import Counts, count
from groundglass.inference.predict import BATCH, channels_of, predict_batch
from groundglass.inference.segmentation import ModelCard
from groundglass.io.atomic import make_folder
from groundglass.labels import UNKNOWN, Region, inside, outside
from groundglass.losses.groups import tissue_groups
from groundglass.methods._method import Method
from groundglass.methods._prior import WithPrior
from groundglass.networks._network import Network
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import restore
from groundglass.provenance import Provenance, this_machine
from groundglass.recipe import Recipe
from groundglass.splits import Split, as_json, make_folds
from groundglass.store import Store

MODEL_FILE: Final = "model.safetensors"
SPLIT_SEED: Final = 0  # folds are the same for every recipe and seed
_STARTS: Final = {"__all__": {"start_from"}}
_PATHS: Final[Any] = {"data": {"store"}, "stage": _STARTS, "prior": {"stage": _STARTS}}  # what no model repeats
# Of a stage's name, steps and folder: what is told of each of its steps while it runs.
Watch = Callable[[str, int, Path], AbstractContextManager[Callable[[Report], object]]]


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
    watch: Watch = lambda name, steps, folder: nullcontext(lambda report: None),  # noqa: ARG005
    *,
    split: Split | None = None,
) -> tuple[Method, Roles]:
    """Train all stages of a recipe, going on where an earlier run in the folder stopped, and write the model.

    Args:
        recipe: what to do.
        store: what to learn from.
        output: folder for the model, and one folder a stage.
        watch: told of every step.
        split: the folds; made by group if None.

    Returns:
        the method in eval mode, and which slices did what.

    Raises:
        GroundglassError: recipe, store or the state in the folder are not what they should be.
    """
    dealt = roles(recipe, store, split)
    groups = tissue_groups(value for number in dealt.train for value in store.slices[number].sets)
    if len(groups) < 2:
        raise LabelError(
            "The labels tell no two tissues apart.", expected="labels of at least two kinds", remedy="Add labels."
        )
    _check_prior(recipe)
    make_folder(output)
    run = _Run(store, groups, _identity(recipe, store, split), watch)
    prior = _priors(recipe, dealt, run, output)
    method = _stages(recipe, dealt, run, output, prior)
    if prior is not None:
        method = WithPrior(method, prior.method)
    _write_model(output, recipe, store, method, dealt)
    return method.eval(), dealt


@dataclass(frozen=True, eq=False)
class _Run:
    """What all trainings of a run share; ``groups`` are the tissues that its labels tell apart."""

    store: Store
    groups: tuple[int, ...]
    identity: str
    watch: Watch


def _check_prior(recipe: Recipe) -> None:
    takes = [stage.method for stage in recipe.stage if method_of(stage.method).takes_prior]
    if bool(takes) != (recipe.prior is not None):
        raise UsageError(
            f"The method {takes[0]!r} takes a prior, and the recipe has none."
            if takes
            else "The recipe has a prior, and none of its methods takes one.",
            expected="a table [prior] for methods that take a prior, and for no other",
            remedy="Say in [prior] what network and stages make it." if takes else "Leave it out.",
        )


def _priors(recipe: Recipe, dealt: Roles, run: _Run, output: Path) -> priors.Priors | None:
    """What the network of the recipe's prior says of each training slice, and that network."""
    if recipe.prior is None:
        return None
    parts = recipe.prior.network, recipe.prior.stage
    alone = recipe.model_copy(update={"network": parts[0], "stage": parts[1], "prior": None})
    provenance = _provenance(recipe, run.store, f"{parts[1][-1].method}, {parts[0].name}")
    return priors.make_priors(
        run.store,
        dealt.train,
        dealt.unlabelled,
        recipe.prior.folds,
        lambda train, bare, folder: _stages(alone, Roles(tuple(train), (), tuple(bare)), run, folder),
        output,
        {"identity": run.identity, "provenance": provenance.as_json()},
    )


def _stages(recipe: Recipe, dealt: Roles, run: _Run, output: Path, prior: priors.Priors | None = None) -> Method:
    """The method of the last stage, trained."""
    make_folder(output)
    method: Method | None = None
    for number, stage in enumerate(recipe.stage):
        method = _method(recipe, number, run.groups, method, run.store.preparation)
        folder = output / f"stage-{number + 1}"
        with run.watch(stage.method, stage.training.steps, folder) as tell:
            weights = fit(
                method,
                _batches(recipe, number, run.store, dealt, prior),
                stage.training,
                folder,
                identity=run.identity,
                record=_described(recipe, number, method),
                on_step=tell,
            )
        method.load_state_dict(weights)
    if method is None:
        raise ValueError("a recipe without a stage")
    return method


def _identity(recipe: Recipe, store: Store, split: Split | None) -> str:
    """Of all that decides what a run comes to."""
    parts = [recipe.digest, store.content, json.dumps(store.preparation.as_json()), __version__]
    if split is not None:
        parts.append(hashlib.sha256(as_json(split).encode()).hexdigest())
    return " ".join(parts)


def _batches(recipe: Recipe, number: int, store: Store, dealt: Roles, prior: priors.Priors | None) -> Batches:
    training = recipe.stage[number].training
    bare = Pool(len(dealt.unlabelled), lambda i: (store.prepared(dealt.unlabelled[i]), None))
    return Batches(
        labelled=Pool(len(dealt.train), lambda i: _labelled(store, dealt.train[i], prior)),
        unlabelled=bare if dealt.unlabelled else None,
        sizes=(training.batch, training.unlabelled_batch if dealt.unlabelled else 0),
        seed=recipe.seed,
        augment=make_augmentation(training.augmentation),
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


def _labelled(store: Store, number: int, prior: priors.Priors | None) -> Any:
    sample = store.prepared(number), store.prepared_label_set(number)
    return sample if prior is None else (*sample, prior.of(number))


def _method(
    recipe: Recipe, number: int, groups: Sequence[int], before: Method | None, preparation: Preparation
) -> Method:
    """The method of a stage, its network fresh, a checkpoint's, or handed on from the stage before."""
    stage = recipe.stage[number]
    outputs = method_of(stage.method).outputs_for(groups)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = make_network(recipe.network, len(outputs), pretrained=before is None)
    if stage.start_from is not None:
        _load(network, outputs, Path(stage.start_from), preparation)
    elif before is not None:
        try:
            _hand_on(before.predictor.state_dict(), before.outputs, network, outputs)
        except (RuntimeError, ValueError):
            raise UsageError(
                f"Stage {number + 1} answers otherwise than the one before: its network has other channels.",
                expected="stages that answer the same, or a first one that tells nothing apart, such as inpainting",
                remedy="Put them into recipes of their own.",
            ) from None
    return make_method(stage.method, network, outputs, stage.settings, recipe.seed)


def _hand_on(weights: Mapping[str, Tensor], told: Sequence[int], network: Network, outputs: Sequence[int]) -> None:
    """Give a network the weights of one that was trained.

    All of them, but from one that told no tissues apart all but the last layers: there they stay fresh.

    Args:
        weights: of a network of the same kind.
        told: its outputs.
        network: changed in place.
        outputs: of this one.

    Raises:
        RuntimeError, ValueError: they do not fit.
    """
    own = network.state_dict()
    fresh: set[str] = set()
    if tuple(told) == (UNKNOWN,) and tuple(outputs) != (UNKNOWN,):
        fresh = {name for name in own if name.startswith(tuple(f"{head}." for head in network.heads))}
        if not fresh:
            raise ValueError("a network whose last layers are not known")
    taken = {name: value for name, value in weights.items() if name not in fresh}
    network.load_state_dict({**taken, **{name: own[name] for name in fresh}})


def _load(network: Network, outputs: Sequence[int], path: Path, preparation: Preparation) -> None:
    """Give a network the weights of a model's checkpoint.

    Raises:
        ReadError: it is none, of another network or other classes, or made for another preparation.
    """
    tensors, record = checkpoint.read(path)
    try:
        made_for = Preparation.from_json({**record["preparation"], "intensity": preparation.intensity})
        prefix = record["predictor"]
        if made_for == preparation:
            weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            _hand_on(weights, record["outputs"], network, outputs)
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


def _described(recipe: Recipe, number: int, method: Method) -> dict[str, Any]:
    """What `build.rebuilt` makes the method of a stage from."""
    stage = recipe.stage[number]
    return {
        "network": recipe.network.model_dump(),
        "method": stage.method,
        "settings": stage.settings,
        "outputs": list(method.outputs),
    }


def _provenance(recipe: Recipe, store: Store, model: str) -> Provenance:
    return Provenance(
        version=__version__,
        command="train",
        settings={},
        model=model,
        recipe=recipe.digest,
        seed=recipe.seed,
        data={"store": store.content},
        machine=this_machine(),
    )


def _write_model(output: Path, recipe: Recipe, store: Store, method: Method, dealt: Roles) -> None:
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
    predictor = next(name for name, module in method.named_modules() if module is method.predictor)
    record = {
        **_described(recipe, -1, method),
        "predictor": f"{predictor}.",
        "preparation": store.preparation.as_json(),
        "card": asdict(card),
        "recipe": recipe.model_dump(exclude=_PATHS),
        "provenance": _provenance(recipe, store, card.name).as_json(),
    }
    if recipe.prior is not None and isinstance(method, WithPrior):
        alone = recipe.model_copy(update={"network": recipe.prior.network, "stage": recipe.prior.stage})
        record["prior"] = _described(alone, -1, method.prior)
    checkpoint.write(output / MODEL_FILE, method.state_dict(), record)

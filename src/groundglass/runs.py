"""A run: a recipe on a store, to a model, and where slices were held out, how well it does on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from groundglass import __version__, priors, pseudo_labels
from groundglass.build import make_augmentation, make_method, make_network, method_of
from groundglass.engine import checkpoint, processes
from groundglass.engine.fit import Report, fit, precision_of
from groundglass.engine.loaders import Batches, Pool
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.evaluation.overlap import Counts, average, count
from groundglass.inference import kmeans
from groundglass.inference.predict import BATCH, channels_of, predict_batch
from groundglass.inference.segmentation import ModelCard
from groundglass.io.atomic import make_folder
from groundglass.labels import UNKNOWN, Region, inside, outside
from groundglass.levels import LEVELS_FILE, Level, measure, write_levels
from groundglass.losses.groups import tissue_groups
from groundglass.methods._method import Method
from groundglass.methods._prior import WithPrior
from groundglass.networks._network import Network
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import restore
from groundglass.provenance import Provenance, this_machine
from groundglass.pseudo_labels import PseudoLabels
from groundglass.recipe import Recipe, Stage
from groundglass.splits import Split, as_json, make_folds
from groundglass.store import Store

MODEL_FILE: Final = "model.safetensors"
LABELS_FOLDER: Final = "labels"  # of a stage that makes some
SPLIT_SEED: Final = 0  # folds are the same for every recipe and seed
_STARTS: Final = {"__all__": {"start_from"}}
_PATHS: Final[Any] = {"data": {"store"}, "stage": _STARTS, "prior": {"stage": _STARTS}}  # what no model repeats
ALONE: Final = processes.Launch()
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
    if not store.labelled and recipe.needs_labels:
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
    groups = _groups(recipe, store, dealt)
    _check_prior(recipe, launch)
    _check_labels(recipe, launch)
    if launch.rank == 0:
        make_folder(output)
    run = _Run(store, groups, _identity(recipe, store, split, launch), watch, launch)
    prior = _priors(recipe, dealt, run, output)
    method, last = _stages(recipe, dealt, run, output, prior)
    if prior is not None:
        method = WithPrior(method, prior.method)
    if launch.rank == 0:
        _write_model(output, recipe, store, method, dealt, last, launch)
    return method.eval(), dealt


def _groups(recipe: Recipe, store: Store, dealt: Roles) -> tuple[int, ...]:
    """The tissues that the labels tell apart: those of the store, and those that the run makes by itself.

    What a network labels tells nothing apart that its own labels did not.
    """
    occurring = {value for number in dealt.train for value in store.slices[number].sets}
    if any(stage.labels is not None and stage.labels.by == "kmeans" for stage in recipe.stage):
        occurring = (occurring if recipe.needs_labels else set()) | set(kmeans.SETS)
    groups = tissue_groups(occurring)
    if len(groups) < 2:
        raise LabelError(
            "The labels tell no two tissues apart.", expected="labels of at least two kinds", remedy="Add labels."
        )
    return groups


@dataclass(frozen=True, eq=False)
class _Run:
    """What all trainings of a run share; ``groups`` are the tissues that its labels tell apart."""

    store: Store
    groups: tuple[int, ...]
    identity: str
    watch: Watch
    launch: processes.Launch


def _check_prior(recipe: Recipe, launch: processes.Launch) -> None:
    takes = [stage.method for stage in recipe.stage if method_of(stage.method).takes_prior]
    if bool(takes) != (recipe.prior is not None):
        raise UsageError(
            f"The method {takes[0]!r} takes a prior, and the recipe has none."
            if takes
            else "The recipe has a prior, and none of its methods takes one.",
            expected="a table [prior] for methods that take a prior, and for no other",
            remedy="Say in [prior] what network and stages make it." if takes else "Leave it out.",
        )
    if takes and launch.count > 1:
        raise UsageError(
            f"A recipe with a prior in {launch.count} processes.", expected="one process", remedy="Start it as one."
        )


def _check_labels(recipe: Recipe, launch: processes.Launch) -> None:
    if launch.count > 1 and any(stage.labels is not None for stage in recipe.stage):
        raise UsageError(
            f"A recipe that labels slices itself in {launch.count} processes.",
            expected="one process",
            remedy="Start it as one.",
        )


def _priors(recipe: Recipe, dealt: Roles, run: _Run, output: Path) -> priors.Priors | None:
    """What the network of the recipe's prior says of each training slice, and that network."""
    if recipe.prior is None:
        return None
    parts = recipe.prior.network, recipe.prior.stage
    alone = recipe.model_copy(update={"network": parts[0], "stage": parts[1], "prior": None})
    provenance = _provenance(recipe, run.store, f"{parts[1][-1].method}, {parts[0].name}", run.launch)
    return priors.make_priors(
        run.store,
        dealt.train,
        dealt.unlabelled,
        recipe.prior.folds,
        lambda train, bare, folder: _stages(alone, Roles(tuple(train), (), tuple(bare)), run, folder)[0],
        output,
        {"identity": run.identity, "provenance": provenance.as_json()},
    )


def _stages(
    recipe: Recipe, dealt: Roles, run: _Run, output: Path, prior: priors.Priors | None = None
) -> tuple[Method, int]:
    """The method of the last stage that counts, trained, and that stage's number."""
    if run.launch.rank == 0:
        make_folder(output)
    standard = _standard(recipe, run.store, dealt)
    method: Method | None = None
    last = 0
    made: dict[int, PseudoLabels] = {}
    passed: list[Level] = []
    for number, turn in _rounds(recipe):
        stage = recipe.stage[number]
        if passed and not passed[-1].kept and passed[-1].stage == number + 1:
            continue  # another round would begin where the one that does not count did
        folder = output / (f"stage-{number + 1}" if stage.rounds == 1 else f"stage-{number + 1}-round-{turn}")
        after = _method(recipe, (number, turn), run.groups, method, run.store.preparation, standard)
        labels = None
        if stage.labels is not None:
            labels = pseudo_labels.of_round(
                recipe,
                (number, turn),
                after if method is None else method,
                run.store,
                dealt.unlabelled,
                run.identity,
                folder / LABELS_FOLDER,
                list(made),
            )
            if labels is None:
                continue
            made |= dict.fromkeys(labels.files, labels)
        with run.watch(stage.method, stage.training.steps, folder) as tell:
            weights = fit(
                after,
                _batches(recipe, number, run, dealt, prior, made),
                stage.training,
                folder,
                identity=_with_labels(run.identity, stage, made),
                record=_described(recipe, number, after),
                fabric=processes.start(run.launch, precision_of(stage.training)),
                on_step=tell,
            )
        after.load_state_dict(weights)
        if stage.labels is not None and labels is not None:
            judged = stage.labels.judge
            told = measure(run.store, after.eval(), labels, folder, stage.labels.confidence) if judged else None
            dice = _dice(after.eval(), run.store, dealt.test)
            passed.append(Level.after(passed, number + 1, turn, len(made), told, dice))
            write_levels(output / LEVELS_FILE, passed)
        if labels is None or passed[-1].kept:
            method, last = after, number
    if method is None:
        raise ValueError("a recipe without a stage")
    return method, last


def _rounds(recipe: Recipe) -> Iterator[tuple[int, int]]:
    """Number of the stage, from 0, and of its round, from 1."""
    for number, stage in enumerate(recipe.stage):
        yield from ((number, turn) for turn in range(1, stage.rounds + 1))


def _with_labels(identity: str, stage: Stage, made: Mapping[int, PseudoLabels]) -> str:
    """Of a run's identity and of the labels that a stage trains on."""
    if stage.labels is None:
        return identity
    return " ".join([identity, *dict.fromkeys(labels.digest for labels in made.values())])


def _dice(method: Method, store: Store, test: Sequence[int]) -> dict[Region, float]:
    """Dice (``present``) of each region on slices whose labels somebody made; nothing where there are none."""
    counts = score(method, store, test)
    scores = {
        region: average("dice", [pixels for (_, other), pixels in counts.items() if other is region], "present")
        for region in dict.fromkeys(region for _, region in counts)
    }
    return {region: value for region, value in scores.items() if value is not None}


def _standard(recipe: Recipe, store: Store, dealt: Roles) -> tuple[float, float] | None:
    """Mean and deviation of the pictures that are trained on, where the network wants them standardised."""
    if not recipe.network.standardise:
        return None
    numbers = dealt.train if recipe.needs_labels else dealt.unlabelled
    sums = np.zeros(3)
    for number in numbers:
        picture = store.prepared(number).astype(np.float64)
        sums += picture.size, picture.sum(), (picture**2).sum()
    mean = sums[1] / sums[0]
    deviation = float(np.sqrt(max(sums[2] / sums[0] - mean**2, 0.0)))
    if deviation == 0:
        raise UsageError(
            "The pictures to train on are all of one grey.", expected="a deviation", remedy="Prepare other data."
        )
    return float(mean), deviation


def _identity(recipe: Recipe, store: Store, split: Split | None, launch: processes.Launch) -> str:
    """Of all that decides what a run comes to."""
    parts = [recipe.digest, store.content, json.dumps(store.preparation.as_json()), __version__]
    if split is not None:
        parts.append(hashlib.sha256(as_json(split).encode()).hexdigest())
    if launch.count > 1:
        parts.append(f"{launch.count} processes")
    return " ".join(parts)


def _batches(
    recipe: Recipe,
    number: int,
    run: _Run,
    dealt: Roles,
    prior: priors.Priors | None,
    made: Mapping[int, PseudoLabels],
) -> Batches:
    store, launch = run.store, run.launch
    stage = recipe.stage[number]
    training = stage.training
    guessed = () if stage.labels is None else tuple(sorted(made))
    known = () if stage.labels is not None and stage.labels.instead else dealt.train
    bare = dealt.unlabelled if method_of(stage.method).takes_unlabelled else ()
    everything = (*known, *guessed)

    def load(place: int) -> Any:
        chosen = everything[place]
        if place >= len(known):
            return store.prepared(chosen), made[chosen].read(chosen)
        return _labelled(store, chosen, prior)

    return Batches(
        labelled=Pool(len(everything), load),
        unlabelled=Pool(len(bare), lambda i: (store.prepared(bare[i]), None)) if bare else None,
        sizes=(training.batch, training.unlabelled_batch if bare else 0),
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


def _labelled(store: Store, number: int, prior: priors.Priors | None) -> Any:
    sample = store.prepared(number), store.prepared_label_set(number)
    return sample if prior is None else (*sample, prior.of(number))


def _method(
    recipe: Recipe,
    place: tuple[int, int],
    groups: Sequence[int],
    before: Method | None,
    preparation: Preparation,
    standard: tuple[float, float] | None = None,
) -> Method:
    """The method of a stage's round, its network fresh, a checkpoint's, or handed on from the one before."""
    number, turn = place
    stage = recipe.stage[number]
    outputs = method_of(stage.method).outputs_for(groups)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = make_network(recipe.network, len(outputs), pretrained=before is None)
        network.standard = standard
        if stage.start_from is not None and turn == 1:
            _load(network, outputs, Path(stage.start_from), preparation)
        elif before is not None:
            _continue(before, network, outputs, number)
            network.standard = _network_of(before).standard
        network.freeze(stage.training.frozen)
        return make_method(stage.method, network, outputs, stage.settings, recipe.seed)  # it may draw weights too


def _continue(before: Method, network: Network, outputs: Sequence[int], number: int) -> None:
    """Give the network of a stage the weights of the stage before.

    Raises:
        UsageError: the two tell different tissues apart.
    """
    try:
        _hand_on(before.predictor.state_dict(), before.outputs, network, outputs)
    except (RuntimeError, ValueError):
        raise UsageError(
            f"Stage {number + 1} answers otherwise than the one before: its network has other channels.",
            expected="stages that answer the same, or a first one that tells nothing apart, such as inpainting",
            remedy="Put them into recipes of their own.",
        ) from None


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
            network.standard = tuple(record["standard"]) if record.get("standard") else None
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
        "standard": list(network.standard) if (network := _network_of(method)).standard else None,
    }


def _network_of(method: Method) -> Network:
    return next(module for module in method.modules() if isinstance(module, Network))


def _provenance(recipe: Recipe, store: Store, model: str, launch: processes.Launch) -> Provenance:
    return Provenance(
        version=__version__,
        command="train",
        settings={} if launch.count == 1 else {"processes": launch.count},
        model=model,
        recipe=recipe.digest,
        seed=recipe.seed,
        data={"store": store.content},
        machine=this_machine(),
    )


def _write_model(
    output: Path, recipe: Recipe, store: Store, method: Method, dealt: Roles, number: int, launch: processes.Launch
) -> None:
    last = recipe.stage[number]
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
        **_described(recipe, number, method),
        "above": recipe.above,
        "predictor": f"{predictor}.",
        "preparation": store.preparation.as_json(),
        "card": asdict(card),
        "recipe": recipe.model_dump(exclude=_PATHS),
        "provenance": _provenance(recipe, store, card.name, launch).as_json(),
    }
    if recipe.prior is not None and isinstance(method, WithPrior):
        alone = recipe.model_copy(update={"network": recipe.prior.network, "stage": recipe.prior.stage})
        record["prior"] = _described(alone, -1, method.prior)
    checkpoint.write(output / MODEL_FILE, method.state_dict(), record)

"""A run: a recipe on a store, to a model, and where slices were held out, how well it does on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from groundglass import __version__, handover, levels, priors, pseudo_labels
from groundglass.build import make_augmentation, make_method, make_network, method_of
from groundglass.default import file_of
from groundglass.engine import processes
from groundglass.engine.fit import STATE_FILE, Report, fit, precision_of
from groundglass.engine.loaders import Batches, Pool, Sample
from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.overlap import Counts, average, count
from groundglass.inference import kmeans
from groundglass.inference.predict import answers, channels_of
from groundglass.io.atomic import make_folder
from groundglass.labels import UNKNOWN, Region, inside, outside
from groundglass.levels import Finished, Level
from groundglass.losses.groups import tissue_groups
from groundglass.methods._method import Method
from groundglass.methods._prior import WithPrior
from groundglass.models import began_as, described, network_of, provenance_of, write_model
from groundglass.preprocess.preparation import Preparation
from groundglass.pseudo_labels import Labelling, PseudoLabels
from groundglass.recipe import Labels, Prior, Recipe, Stage, Training
from groundglass.splits import Split, as_json, make_folds
from groundglass.store import Store

LABELS_FOLDER: Final = "labels"  # of a stage that makes some
UNSEEN: Final = {  # of a training without unlabelled slices, which may say anything of them
    key: Training.model_fields[key].default for key in ("unlabelled_batch", "unlabelled_augmentation")
}
SPLIT_SEED: Final = 0  # folds are the same for every recipe and seed
ALONE: Final = processes.Launch()
Told = Report | Labelling  # of each step, and of each slice that a stage labels
# Of a stage's name, steps and folder: what is told while it runs.
Watch = Callable[[str, int, Path], AbstractContextManager[Callable[[Told], object]]]


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
    watch: Watch = lambda name, steps, folder: nullcontext(lambda told: None),  # noqa: ARG005
    *,
    split: Split | None = None,
    launch: processes.Launch = ALONE,
    shared: Path | None = None,
) -> tuple[Method, Roles]:
    """Train all stages of a recipe, going on where an earlier run in the folder stopped, and write the model.

    Args:
        recipe: what to do.
        store: what to learn from.
        output: folder for the model, and one folder a stage.
        watch: told of every step, and of every slice that a stage labels.
        split: the folds; made by group if None.
        launch: which process of the run this is; each has its share of the batches, the first one writes.
        shared: folder of priors, for runs whose priors are made alike; none: each makes its own, in ``output``.

    Returns:
        the method in eval mode, and which slices did what.

    Raises:
        GroundglassError: recipe, store or the state in the folder are not what they should be.
    """
    dealt = roles(recipe, store, split)
    groups = _groups(recipe, store, dealt)
    _check_prior(recipe, launch)
    _check_labels(recipe, launch)
    _check_training(recipe, store)
    _check_stages(recipe, groups, store.preparation)
    began = began_as(recipe)  # read before hours of training, not after
    if launch.rank == 0:
        make_folder(output)
    run = _Run(store, groups, _identity(recipe, store, split, launch), watch, launch)
    prior = None
    if recipe.prior is not None:
        alone = _alone(recipe, recipe.prior)
        decided = _identity(alone, store, split, launch), f"{recipe.prior.folds} folds", str(groups)
        for_priors = replace(run, identity=" ".join(decided))
        folder = output if shared is None else shared / hashlib.sha256(for_priors.identity.encode()).hexdigest()[:16]
        prior = _priors(alone, recipe.prior.folds, dealt, for_priors, folder)
    method, last = _stages(recipe, dealt, run, output, prior)
    if prior is not None:
        method = WithPrior(method, prior.method)
    if launch.rank == 0:
        write_model(output, recipe, store, method, last, launch, (len(dealt.train), len(dealt.unlabelled)), began)
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
    if recipe.prior is not None and any(stage.labels is not None for stage in recipe.stage):
        raise UsageError(
            "A recipe with a prior that labels slices itself, of which there is no prior.",
            expected="one or the other",
            remedy="Leave [prior] or stage.labels out.",
        )
    for stage in recipe.stage:
        if stage.labels is not None and stage.labels.soft and not method_of(stage.method).takes_soft:
            raise UsageError(
                f"The method {stage.method!r} learns from label sets alone, and its labels are soft.",
                expected="supervised, or labels that are not soft",
                remedy="Leave stage.labels.soft out.",
            )


def _check_training(recipe: Recipe, store: Store) -> None:
    size = store.preparation.size
    for stage in (*recipe.stage, *(recipe.prior.stage if recipe.prior else ())):
        if method_of(stage.method).is_average and stage.training.ema:
            raise UsageError(
                f"The method {stage.method!r} predicts by a moving average, and the training keeps another over it.",
                expected="training.ema = 0",
                remedy="Say so; how slowly its own moves is stage.settings.ema.",
            )
        if stage.training.crop is not None and stage.training.crop > min(size):
            raise UsageError(
                f"Squares of {stage.training.crop} pixels out of pictures of {size[0]} x {size[1]}.",
                expected="no larger than they are",
                remedy="Lower training.crop, or prepare larger pictures.",
            )


def _check_stages(recipe: Recipe, groups: Sequence[int], preparation: Preparation) -> None:
    """Make what each stage asks for, and drop it: what cannot be is told before anything is trained or written."""
    with torch.random.fork_rng(devices=()):
        for table in (recipe, recipe.prior) if recipe.prior else (recipe,):
            for stage in table.stage:
                outputs = method_of(stage.method).outputs_for(groups)
                network = make_network(table.network, len(outputs), pretrained=False)
                network.freeze(stage.training.frozen)
                if stage.start_from is not None:
                    handover.load(network, outputs, file_of(stage.start_from), preparation)
                make_method(stage.method, network, outputs, stage.settings)
                training = stage.training
                for name in (training.augmentation, training.unlabelled_augmentation or training.augmentation):
                    make_augmentation(name, training.crop)


def _alone(recipe: Recipe, prior: Prior) -> Recipe:
    """The recipe of a prior by itself: recipes that differ in what it does not look at have the same."""
    stages = [
        stage
        if method_of(stage.method).takes_unlabelled
        else stage.model_copy(update={"training": stage.training.model_copy(update=UNSEEN)})
        for stage in prior.stage
    ]
    looks = any(method_of(stage.method).takes_unlabelled for stage in stages)
    data = recipe.data.model_copy(update={"unlabelled": recipe.data.unlabelled and looks})
    told = {"data": data, "network": prior.network, "stage": stages, "prior": None, "above": 0.0, "tiles": False}
    return recipe.model_copy(update=told)


def _priors(alone: Recipe, folds: int, dealt: Roles, run: _Run, folder: Path) -> priors.Priors:
    """What the network of a prior says of each training slice, and that network."""
    provenance = provenance_of(alone, run.store, f"{alone.stage[-1].method}, {alone.network.name}", run.launch)
    return priors.make_priors(
        run.store,
        dealt.train,
        dealt.unlabelled if alone.data.unlabelled else (),
        folds,
        lambda train, bare, part: _stages(alone, Roles(tuple(train), (), tuple(bare)), run, part)[0],
        folder,
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
    ended: str | None = None  # digest of the weights so far, while ``method`` has not got them: they are gone
    for number, turn in _rounds(recipe):
        stage = recipe.stage[number]
        if passed and not passed[-1].kept and passed[-1].stage == number + 1:
            continue  # another round would begin where the one that does not count did
        folder = output / _folder(number, turn, stage)
        came_to = levels.finished(folder) if stage.labels is not None else None
        followed = came_to is not None and not (folder / STATE_FILE).exists()  # by rounds that were trained from it
        if ended is not None and came_to is None and not (folder / STATE_FILE).exists():
            raise levels.gone(folder)
        after = _method(recipe, (number, turn), run.groups, method, run.store.preparation, standard)
        labels = None
        name = stage.method if stage.rounds == 1 else f"{stage.method}, round {turn} of {stage.rounds}"
        with run.watch(name, stage.training.steps, folder) as tell:
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
                    ended,
                    tell,
                )
                if labels is None:
                    continue
                made |= dict.fromkeys(labels.files, labels)
            if not followed:
                weights = fit(
                    after,
                    _batches(recipe, (number, turn), run, dealt, prior, made),
                    stage.training,
                    folder,
                    identity=_with_labels(run.identity, stage, made),
                    record=described(recipe, number, after) | {"slices": _named(run.store, dealt)},
                    fabric=processes.start(run.launch, precision_of(stage.training)),
                    on_step=tell,
                )
                after.load_state_dict(weights)
        ended = came_to.weights if came_to is not None and followed else None
        if stage.labels is not None and labels is not None:
            came_to = came_to or _came_to(after.eval(), stage.labels, labels, run.store, dealt.test)
            passed.append(Level.after(passed, number + 1, turn, len(made), came_to.told, came_to.dice))
            levels.write_levels(output / levels.LEVELS_FILE, passed)
            before = range(1, turn if passed[-1].kept else 1)
            levels.finish(folder, came_to, [output / _folder(number, other, stage) for other in before])
        if ended is None and (labels is None or passed[-1].kept):
            method, last = after, number
    if ended is not None:
        raise levels.gone(folder)
    if method is None:
        raise ValueError("a recipe without a stage")
    return method, last


def _named(store: Store, dealt: Roles) -> dict[str, list[str]]:
    """Which slices do what, by their ids: a state may be looked at."""
    kinds = {"labelled": dealt.train, "unlabelled": dealt.unlabelled, "held out": dealt.test}
    return {kind: [store.slices[number].id for number in numbers] for kind, numbers in kinds.items()}


def _rounds(recipe: Recipe) -> Iterator[tuple[int, int]]:
    """Number of the stage, from 0, and of its round, from 1."""
    for number, stage in enumerate(recipe.stage):
        yield from ((number, turn) for turn in range(1, stage.rounds + 1))


def _folder(number: int, turn: int, stage: Stage) -> str:
    """Of a stage, or of one of its rounds."""
    return f"stage-{number + 1}" if stage.rounds == 1 else f"stage-{number + 1}-round-{turn}"


def _came_to(method: Method, wanted: Labels, labels: PseudoLabels, store: Store, test: Sequence[int]) -> Finished:
    """What a round came to."""
    told = levels.measure(store, method, labels, wanted.confidence) if wanted.judge else None
    return Finished(pseudo_labels.digest_of(method), told, _dice(method, store, test))


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


def _seed(recipe: Recipe, place: tuple[int, int]) -> int:
    """Of a stage (from 0) and its round (from 1): the first has the recipe's, and none repeats another's batches."""
    if place == (0, 1):
        return recipe.seed
    return int(np.random.SeedSequence([recipe.seed, *place]).generate_state(1)[0])


def _batches(
    recipe: Recipe,
    place: tuple[int, int],
    run: _Run,
    dealt: Roles,
    prior: priors.Priors | None,
    made: Mapping[int, PseudoLabels],
) -> Batches:
    store, launch = run.store, run.launch
    stage = recipe.stage[place[0]]
    training = stage.training
    guessed = () if stage.labels is None else tuple(sorted(made))
    known = () if stage.labels is not None and stage.labels.instead else dealt.train
    takes_unlabelled = method_of(stage.method).takes_unlabelled
    bare = dealt.unlabelled if takes_unlabelled and training.unlabelled_batch else ()
    everything = (*known, *guessed)
    share = None if stage.labels is None else stage.labels.share
    own = 0 if share is None else min(max(round(share * training.batch), 1), training.batch - 1)
    soft = method_of(stage.method).takes_soft and any(made[number].groups is not None for number in guessed)
    nothing = np.zeros((len(run.groups), *store.preparation.size), np.float32) if soft else None

    def look(chosen: int) -> Sample:
        shown = ~store.frame(chosen).padding if takes_unlabelled else None  # nobody else asks
        return Sample(store.prepared(chosen), shown=shown)

    def load(index: int) -> Sample:
        chosen = everything[index]
        if index < len(known):
            sets = store.prepared_label_set(chosen)
            said = None if prior is None else prior.of(chosen)
            return replace(look(chosen), label_set=sets, prior=said, soft=nothing)
        labels = made[chosen]
        if soft and labels.groups is not None:
            sets = np.full(store.preparation.size, UNKNOWN, np.uint8)
            return replace(look(chosen), label_set=sets, soft=labels.read_soft(chosen))
        return replace(look(chosen), label_set=labels.read(chosen), soft=nothing)

    return Batches(
        labelled=Pool(len(known) if own else len(everything), load),
        unlabelled=Pool(len(bare), lambda i: look(bare[i])) if bare else None,
        sizes=(training.batch, training.unlabelled_batch if bare else 0),
        seed=_seed(recipe, place),
        augment=make_augmentation(training.augmentation, training.crop),
        augment_unlabelled=make_augmentation(training.unlabelled_augmentation or training.augmentation, training.crop),
        rank=launch.rank,
        processes=launch.count,
        guessed=(Pool(len(guessed), lambda i: load(len(known) + i)), own) if own else None,
    )


def score(
    method: Method, store: Store, numbers: Sequence[int], *, in_tiles: bool = False
) -> dict[tuple[str, Region], Counts]:
    """Counts of pixels of each slice and region at native resolution, a region being found where p > 0.5."""
    counts = {}
    for number, _, whole in answers(store, method, numbers, in_tiles=in_tiles):
        truth = store.label_set(number)
        if truth is None:
            continue
        for region, channels in channels_of(method.outputs).items():
            true = inside(truth, region)
            known = true | outside(truth, region)
            counts[store.slices[number].id, region] = count(whole[channels].sum(axis=0) > 0.5, true, known)
    return counts


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
            handover.load(network, outputs, file_of(stage.start_from), preparation)
        elif before is not None:
            handover.go_on(before, network, outputs, number)
            network.standard = network_of(before).standard
        network.freeze(stage.training.frozen)
        return make_method(stage.method, network, outputs, stage.settings, _seed(recipe, place))  # it may draw weights

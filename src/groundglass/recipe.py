"""A recipe: data, network and one or more stages, as a TOML file says them and a checkpoint repeats them."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groundglass.errors import ReadError, UsageError

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Table):
    """What is learnt from.

    Attributes:
        store: folder of the prepared store; ``--store`` says it otherwise.
        folds: number of folds by group, or None: all labelled slices are trained on.
        fold: which of them is held out, from 0.
        labels: how many labelled slices keep their labels, drawn by the recipe's seed; the others count as unlabelled.
            None: all.
        unlabelled: whether the unlabelled slices are used.
    """

    store: str
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Annotated[int, Field(ge=0)] | None = None
    labels: Positive | None = None
    unlabelled: bool = True


class Network(_Table):
    """The network: a file of ``groundglass.networks``, its settings and its first weights.

    Attributes:
        name: of the file.
        weights: first ones of its encoder.
        settings: its own.
        standardise: pictures have mean 0 and deviation 1 over the training slices before it sees them.
    """

    name: str
    weights: str | None = None
    settings: dict[str, Any] = {}
    standardise: bool = False


class Amount(_Table):
    """How much is looked at.

    Attributes:
        steps: of the training.
        batch: labelled slices a step.
        unlabelled_batch: unlabelled ones; 0: none, whatever the recipe's data have.
    """

    steps: Positive
    batch: Positive = 8
    unlabelled_batch: Annotated[int, Field(ge=0)] = 8


class Optimizer(_Table):
    """What moves the weights of a module.

    Attributes:
        optimizer: ``adam`` puts weight decay into the gradient, ``adamw`` beside it.
        rate: learning rate; ``encoder_rate`` that of parameters under ``encoder``, by default the same.
        momentum: of ``sgd``.
        beta2: of the other two: how much of the squared gradients' average stays at each step.
        clip: largest norm of an update's gradient, or None.
        clamp: largest value of each number of it, either way, or None.
        lookahead: steps after which the weights are drawn back (``engine.lookahead``), 0 for never.
        lookahead_share: how far they then stay from where they were drawn back to last.
    """

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: Annotated[float, Field(gt=0)] = 2e-3
    encoder_rate: Annotated[float, Field(gt=0)] | None = None
    momentum: Share = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    clamp: Annotated[float, Field(gt=0)] | None = None
    lookahead: Annotated[int, Field(ge=0)] = 0
    lookahead_share: Share = 0.5


class Training(Optimizer, Amount):  # the order of keys is in every recipe's hash: `Amount` comes first
    """How the weights move.

    Attributes:
        modules: of a method that moves several modules, those that have an optimiser of other settings than these.
        schedule: ``cosine`` falls to 0.
        warmup: share of the steps in which the rate rises to its value, before that.
        accumulate: minibatches a step.
        ema: of the weights that are saved, 0 for none; at step t, from 0, no more than (t + 1) / (t + 10).
        augmentation: a file of ``groundglass.augment``, or ``none``.
        unlabelled_augmentation: the same for unlabelled slices; None: as the labelled ones.
        crop: side of the squares that augmentation cuts out of slices, in pixels; None: whole slices.
        frozen: parts of the network that stay as they are, such as ``stem`` or ``down.0``.
        precision: ``auto`` is bf16 where the machine has it.
        checkpoint_every: steps between checkpoints.
    """

    modules: dict[str, Optimizer] = {}
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.05
    accumulate: Positive = 1
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: str | None = "strong"
    unlabelled_augmentation: str | None = None
    crop: Positive | None = None
    frozen: list[str] = []
    precision: Literal["auto", "float32", "bf16"] = "auto"
    checkpoint_every: Positive = 200


class Labels(_Table):
    """Labels that a stage makes before it trains, of slices that nobody labelled, and trains on.

    They are those of this round and of all before. "Anybody's" are the labels in the store.

    Attributes:
        by: ``network``: the weights so far; ``kmeans``: clusters of grey values, which need no weights.
        count: how many slices more a round, drawn by the recipe's seed among those that have none yet; None: all.
        offsets: only slices so many places from the middle one of their volume, such as -3 and -2; empty: any.
        again: slices that have such labels already are labelled anew.
        confidence: a pixel whose largest probability is not above it is unknown; 0: the most probable group always.
        soft: they are the network's probabilities and not its answers; learnt from by cross-entropy.
        instead: they take the place of anybody's; else both are trained on.
        share: of the labelled slices of a step that have such labels, at least one of each kind; None: as it comes.
        views: the views whose probabilities a network's labels are the mean of: 1, 2, 4 or 8 symmetries.
        judge: the round counts only if neither agreement nor confidence falls (``groundglass.evaluation.consistency``).
    """

    by: Literal["network", "kmeans"] = "network"
    count: Positive | None = None
    offsets: list[int] = []
    again: bool = False
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    soft: bool = False
    instead: bool = False
    judge: bool = False
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    views: Literal[1, 2, 4, 8] = 1


class Stage(_Table):
    """One method for some steps.

    Attributes:
        method: a file of ``groundglass.methods``.
        settings: its own.
        training: how its weights move.
        start_from: a checkpoint, or ``default``: the one that comes with the package; the stage before by default.
        labels: labels that it makes itself; None: it trains on anybody's.
        rounds: how often it is repeated, each time from the weights of the round before.
    """

    method: str
    settings: dict[str, Any] = {}
    training: Training
    start_from: str | None = None
    labels: Labels | None = None
    rounds: Positive = 1


class Prior(_Table):
    """What makes the priors of a method that takes one: a recipe within the recipe, without data of its own.

    Attributes:
        folds: by group of the slices that are trained on; a slice's prior is of a training without its group.
    """

    folds: Annotated[int, Field(ge=2)] = 3
    network: Network
    stage: Annotated[list[Stage], Field(min_length=1)]


class Recipe(_Table):
    """One row of a table: what was run, what it costs, what came out.

    ``above``: in the label maps of the model a pixel has no label unless its largest probability is above it.
    ``tiles``: the model answers a slice in squares of the store's size, at the slice's own resolution, and not resized.
    """

    command: str = ""
    cost: str = ""
    expected: str = ""
    got: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    above: Annotated[float, Field(ge=0, lt=1)] = 0.0
    tiles: bool = False
    data: Data
    network: Network
    prior: Prior | None = None
    stage: Annotated[list[Stage], Field(min_length=1)]

    @classmethod
    def parse(cls, table: dict[str, Any]) -> Self:
        """The recipe that a table says.

        Raises:
            UsageError: a key that there is none of, one that is missing, a value that cannot be.
        """
        try:
            recipe = cls.model_validate(table)
        except ValidationError as error:
            raise _first_fault(error) from None
        data = recipe.data
        if (data.fold is None) != (data.folds is None) or (data.folds or 1) <= (data.fold or 0):
            raise UsageError(
                f"Fold {data.fold} of {data.folds} folds.",
                expected="both or neither, the fold below the number of folds",
                remedy="Correct data.fold or data.folds.",
            )
        _check_labels(recipe)
        return recipe

    @property
    def needs_labels(self) -> bool:
        """Whether some stage trains on labels that somebody made."""
        return any(stage.labels is None or not stage.labels.instead for stage in self.stage)

    @property
    def digest(self) -> str:
        """Hash of what decides the outcome: all but the words about it and where the store lies.

        What has its default is left out, so that a recipe keeps its hash and its results when recipes learn new words.
        """
        left_out: Any = {"command": True, "cost": True, "expected": True, "got": True, "data": {"store"}}
        decisive = self.model_dump_json(exclude=left_out, exclude_defaults=True)
        return hashlib.sha256(decisive.encode()).hexdigest()


def _check_labels(recipe: Recipe) -> None:
    first = recipe.stage[0]
    if first.labels is not None and first.labels.by == "network" and first.start_from is None:
        raise UsageError(
            "The first stage has its network label slices, and that has learnt nothing yet.",
            expected='a stage before it, or by = "kmeans"',
            remedy="Let a stage without labels of its own come first.",
        )
    if not recipe.data.unlabelled and any(stage.labels is not None for stage in recipe.stage):
        raise UsageError(
            "A stage labels slices, and the recipe uses no unlabelled ones.",
            expected="data.unlabelled = true",
            remedy="Say so, or leave stage.labels out.",
        )
    if recipe.prior is not None and any(stage.labels is not None for stage in recipe.prior.stage):
        raise UsageError(
            "A stage of the prior labels slices.",
            expected="priors that are learnt from labels that somebody made",
            remedy="Leave its stage.labels out.",
        )
    for number, stage in enumerate(recipe.stage, 1):
        if stage.labels is not None and stage.labels.soft and stage.labels.by == "kmeans":
            raise UsageError(
                f"Stage {number} wants soft labels of clusters, which have no probabilities.",
                expected='by = "network", or labels that are not soft',
                remedy="Leave soft out.",
            )
        if stage.labels is not None and stage.labels.share and (stage.labels.instead or stage.training.batch < 2):
            raise UsageError(
                f"Stage {number} shares its steps between two kinds of labels, and has room for one.",
                expected="a batch of two or more, and labels that take nobody's place",
                remedy="Leave share out.",
            )
        if stage.rounds > 1 and stage.labels is None:
            raise UsageError(
                f"Stage {number} has {stage.rounds} rounds and makes no labels, so that each is as the one before.",
                expected="stage.labels, or one round",
                remedy="Say what it labels, or raise its steps.",
            )


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: it or the one that it extends is not there, or says what cannot be.
        ReadError: it is no TOML.
    """
    table = _read(path)
    base = table.pop("extends", None)
    if base is None:
        return Recipe.parse(table)
    if not isinstance(base, str):
        raise UsageError(
            f"{path.name} extends {base!r}.", expected="the path of a recipe, from its own folder", remedy="Give one."
        )
    below = _read(path.parent / base)
    if "extends" in below:
        raise UsageError(
            f"{Path(base).name}, which {path.name} extends, extends another.",
            expected="a recipe that is whole by itself or lacks only what its extensions say",
            remedy="Let each extend the first.",
        )
    below.pop("got", None)  # that came of another recipe
    return Recipe.parse(_over(below, table))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"There is no recipe called {path.name}.", expected="a TOML file", remedy="Check its path."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        line = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it cannot be read"
        raise ReadError(
            f"{path.name} is no recipe: {line}.", expected="TOML", remedy="Compare it with one in recipes/."
        ) from None


def _over(below: Any, above: Any) -> Any:
    """What ``above`` says and, where it is silent, ``below``: tables key by key, lists of tables one by one."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _over(below.get(key), value) for key, value in above.items()}
    if _tables(below) and _tables(above):
        return [_over(*pair) for pair in zip_longest(below, above)]
    return below if above is None else above


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) for part in value)


def _first_fault(error: ValidationError) -> UsageError:
    faults = error.errors(include_url=False, include_context=False)
    # a misspelt key comes first: that another is missing only follows from it
    fault = min(faults, key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), _keys(), 1)
        return UsageError(
            f"A recipe has no key {place}.",
            expected=f"{near[0]}, perhaps" if near else "a key that it has",
            remedy="Correct its spelling.",
        )
    if fault["type"] == "missing":
        return UsageError(f"The recipe lacks {place}.", expected="that key", remedy="Add it.")
    return UsageError(
        f"{place} of the recipe cannot be {fault['input']!r}.",
        expected=fault["msg"].removeprefix("Input should be ").lower(),
        remedy="Correct it.",
    )


def _keys() -> list[str]:
    tables = Recipe, Data, Network, Prior, Stage, Labels, Training
    return ["extends", *(key for table in tables for key in table.model_fields)]

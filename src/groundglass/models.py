"""What a run comes to: a method with all that ``segment`` needs, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from groundglass import __version__
from groundglass.default import file_of
from groundglass.engine import checkpoint
from groundglass.engine.processes import Launch
from groundglass.inference.segmentation import ModelCard
from groundglass.labels import Tissue
from groundglass.methods._method import Method
from groundglass.methods._prior import WithPrior
from groundglass.networks._network import Network
from groundglass.provenance import Provenance, this_machine
from groundglass.recipe import Recipe
from groundglass.store import Store

MODEL_FILE: Final = "model.safetensors"
_STARTS: Final = {"__all__": {"start_from"}}
_WORDS: Final = ("command", "cost", "expected", "got")
_PATHS: Final[Any] = {"data": {"store"}, "stage": _STARTS, "prior": {"stage": _STARTS}}  # what no model repeats


def public(record: Mapping[str, Any]) -> dict[str, Any]:
    """A model's record without what is its author's own: paths of first weights, and words to readers of the recipe."""
    recipe = {name: part for name, part in record.get("recipe", {}).items() if name not in _WORDS}
    kept: dict[str, Any] = _without_paths({**record, "recipe": recipe})
    return kept


def _without_paths(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_paths(part) for part in value]
    if not isinstance(value, dict):
        return value
    own = value.get("weights") not in (None, "imagenet")
    return {name: None if own and name == "weights" else _without_paths(part) for name, part in value.items()}


def described(recipe: Recipe, number: int, method: Method) -> dict[str, Any]:
    """What `build.rebuilt` makes the method of a stage from."""
    stage = recipe.stage[number]
    return {
        "network": recipe.network.model_dump(),
        "method": stage.method,
        "settings": stage.settings,
        "outputs": list(method.outputs),
        "standard": list(network.standard) if (network := network_of(method)).standard else None,
    }


def began_as(recipe: Recipe) -> list[ModelCard]:
    """The cards of the models that stages start from: what those learnt from is in the weights, with its terms."""
    return [_card(file) for file in _starts(recipe)]


def learnt_alike(recipe: Recipe, store: Store) -> bool:
    """Whether a model that a stage starts from learnt from slices of this data set: held-out ones may be among them.

    Nothing is known of one whose file is gone, as it may be once there are results.
    """
    there = [file for file in _starts(recipe) if file.is_file()]
    return any(f" of {store.dataset}, prepared " in _card(file).trained_on for file in there)


def _starts(recipe: Recipe) -> list[Path]:
    stages = (*recipe.stage, *(recipe.prior.stage if recipe.prior else ()))
    return [file_of(stage.start_from) for stage in stages if stage.start_from]


def _card(file: Path) -> ModelCard:
    return ModelCard.from_json(checkpoint.read(file)[1]["card"])


def network_of(method: Method) -> Network:
    """The network of a method; of several, the first."""
    return next(module for module in method.modules() if isinstance(module, Network))


def provenance_of(recipe: Recipe, store: Store, model: str, launch: Launch) -> Provenance:
    """Where a file of a run comes from; ``model`` is what it is called."""
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


def write_model(
    output: Path,
    recipe: Recipe,
    store: Store,
    method: Method,
    number: int,
    launch: Launch,
    learnt_from: tuple[int, int],
    began: Sequence[ModelCard],
) -> None:
    """Write the model of a run into its folder.

    Args:
        output: the folder.
        recipe: of the run.
        store: that it learnt from.
        method: trained.
        number: of the stage that it is of, from 0.
        launch: how the run was started.
        learnt_from: numbers of labelled and of unlabelled slices.
        began: cards of the models that its stages started from.

    Raises:
        WriteError: it could not be written.
    """
    last = recipe.stage[number]
    labelled, unlabelled = learnt_from
    learnt = f"{labelled} labelled and {unlabelled} unlabelled slices" if unlabelled else f"{labelled} labelled slices"
    told = f"{learnt} of {store.dataset}, prepared at {store.preparation.size[0]} pixels."
    card = ModelCard(
        name=f"{last.method}, {recipe.network.name}",
        summary=f"A network ({recipe.network.name}), trained by the method {last.method}.",
        trained_on=" ".join([told, *(f"It began as a model of {card.trained_on}" for card in began)]),
        sources=tuple(dict.fromkeys(source for card in began for source in card.sources)),
        lung_from=(
            "The classical lung field and the lesions that touch it; in crops around the lungs, what the network calls "
            "lung too."
            if Tissue.LUNG in method.outputs
            else "The classical lung field and the lesions that touch it: the training labels do not tell lung from "
            "background."
        ),
    )
    predictor = next(name for name, module in method.named_modules() if module is method.predictor)
    record = {
        **described(recipe, number, method),
        "above": recipe.above,
        "tiles": recipe.tiles,
        "predictor": f"{predictor}.",
        "preparation": store.preparation.as_json(),
        "card": asdict(card),
        "recipe": recipe.model_dump(exclude=_PATHS),
        "provenance": provenance_of(recipe, store, card.name, launch).as_json(),
    }
    if recipe.prior is not None and isinstance(method, WithPrior):
        alone = recipe.model_copy(update={"network": recipe.prior.network, "stage": recipe.prior.stage})
        record["prior"] = described(alone, -1, method.prior)
    checkpoint.write(output / MODEL_FILE, method.state_dict(), public(record))

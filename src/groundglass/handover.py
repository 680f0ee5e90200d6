"""What the network of a stage starts from: the stage before, or a model's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from groundglass.engine import checkpoint
from groundglass.errors import ReadError, UsageError
from groundglass.inference.segmentation import ModelCard
from groundglass.labels import UNKNOWN, Tissue
from groundglass.methods._method import Method
from groundglass.networks._network import Network
from groundglass.networks.encoders._weights import difference
from groundglass.preprocess.preparation import Preparation


def go_on(before: Method, network: Network, outputs: Sequence[int], number: int) -> None:
    """Give the network of a stage the weights of the stage before.

    Raises:
        UsageError: the two tell different tissues apart.
    """
    try:
        hand_on(before.predictor.state_dict(), before.outputs, network, outputs)
    except MisfitError:
        raise UsageError(
            f"Stage {number + 1} answers otherwise than the one before: its network has other channels.",
            expected="stages that answer the same, or a first one that tells nothing apart, such as inpainting",
            remedy="Put them into recipes of their own.",
        ) from None


def load(network: Network, outputs: Sequence[int], path: Path, preparation: Preparation) -> None:
    """Give a network the weights of a model's checkpoint.

    Raises:
        UsageError: there is none.
        ReadError: it is none, of another network (the first name that differs is told) or other classes, or made for
            another preparation.
    """
    if not path.is_file():
        raise UsageError(
            f"There is no checkpoint {path.name} where a stage is to start from it.",
            expected="a model.safetensors that groundglass train wrote, or default",
            remedy="Correct the recipe's start_from, or train that model first.",
        )
    tensors, record = checkpoint.read(path)
    try:
        made_for = Preparation.from_json({**record["preparation"], "intensity": preparation.intensity})
        prefix = record["predictor"]
        ModelCard.from_json(record["card"])  # the card of what it becomes repeats it
        if made_for == preparation:
            weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            hand_on(weights, record["outputs"], network, outputs)
            network.standard = tuple(record["standard"]) if record.get("standard") else None
            return
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        misfit = isinstance(error, MisfitError)
        told = str(error) if misfit else "its record is damaged"
        lungs = misfit and int(Tissue.LUNG) in record["outputs"] and int(Tissue.LUNG) not in outputs
        raise ReadError(
            f"{path.name}, which a stage starts from, is of another network or other classes: {told}.",
            expected="a model.safetensors of the recipe's network and of labels that tell the same tissues apart",
            remedy=("Prepare the data with --lungs, choose" if lungs else "Choose")
            + " another, or change the recipe's network.",
        ) from None
    raise ReadError(
        f"{path.name}, which a stage starts from, was made for another preparation.",
        expected=f"{preparation.as_json()}",
        remedy="Prepare the data as its were, or train it again on this store.",
    )


class MisfitError(ValueError):
    """Weights of another network, or of one that tells other tissues apart; says what differs."""


def hand_on(weights: Mapping[str, Tensor], told: Sequence[int], network: Network, outputs: Sequence[int]) -> None:
    """Give a network the weights of one that was trained.

    All of them, but from one that told no tissues apart all but the last layers: there they stay fresh.

    Args:
        weights: of a network of the same kind.
        told: its outputs.
        network: changed in place.
        outputs: of this one.

    Raises:
        MisfitError: they do not fit.
    """
    own = network.state_dict()
    fresh: set[str] = set()
    if tuple(told) != tuple(outputs):
        if tuple(told) != (UNKNOWN,):
            raise MisfitError(f"it tells the sets {list(told)} apart, not {list(outputs)}")
        fresh = {name for name in own if name.startswith(tuple(f"{head}." for head in network.heads))}
        if not fresh:
            raise MisfitError("it tells nothing apart, and this network's last layers are not known")
    taken = {name: value for name, value in weights.items() if name not in fresh}
    kept = {name: value for name, value in own.items() if name not in fresh}
    if (found := difference(taken, kept)) is not None:
        raise MisfitError(f"it {found}")
    network.load_state_dict({**taken, **{name: own[name] for name in fresh}})

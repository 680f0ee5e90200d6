"""The one file that turns names in a recipe into objects."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from groundglass import lookup
from groundglass.default import DIGEST, MODEL
from groundglass.engine import checkpoint
from groundglass.engine.loaders import Augment
from groundglass.errors import ReadError, UsageError
from groundglass.inference.predict import Model
from groundglass.inference.segmentation import ModelCard
from groundglass.methods._method import Method
from groundglass.methods._prior import WithPrior
from groundglass.networks._network import Network
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import Network as NetworkRecipe


def make_network(recipe: NetworkRecipe, classes: int, *, pretrained: bool = True) -> Network:
    """The network of a recipe.

    Args:
        recipe: its name, settings and first weights.
        classes: output channels.
        pretrained: load the first weights; not where a checkpoint's follow anyway.

    Raises:
        UsageError: there is none of that name, or a setting that it has not.
    """
    kind = lookup.find("groundglass.networks", recipe.name)
    weights = {"weights": recipe.weights} if recipe.weights is not None and pretrained else {}
    if odd := recipe.settings.keys() & {"weights", "classes"}:
        raise UsageError(
            f"The network {recipe.name!r} has {min(odd)!r} among its settings.",
            expected="weights as network.weights, and as many classes as the labels tell apart",
            remedy="Leave it out of network.settings.",
        )
    try:
        network = kind(**{"in_channels": 1, "classes": classes} | weights | recipe.settings)
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError, OverflowError) as error:
        told = str(error) if isinstance(error, TypeError) else "a setting has a value that it cannot have"
        raise UsageError(
            f"The network {recipe.name!r} cannot be made: {told}.",
            expected="settings that it has",
            remedy="Compare the recipe with the network's docstring.",
        ) from None
    if not isinstance(network, Network):
        raise UsageError(f"{recipe.name!r} is no network.", expected="one of networks/", remedy="Choose another.")
    return network


def method_of(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        UsageError: there is none of that name.
    """
    kind = lookup.find("groundglass.methods", name)
    if not issubclass(kind, Method):
        raise UsageError(f"{name!r} is no method.", expected="one of methods/", remedy="Choose another.")
    return kind


def make_method(
    name: str, network: Network, outputs: Sequence[int], settings: Mapping[str, Any], seed: int = 0
) -> Method:
    """The method of a stage; one with randomness of its own takes the recipe's seed unless its settings say another.

    Raises:
        UsageError: there is none of that name, or a setting that it has not.
    """
    module = lookup.find_module("groundglass.methods", name)
    make: Callable[..., Method] = method_of(name)
    seeded = {"seed": seed} if any(field.name == "seed" for field in dataclasses.fields(module.Config)) else {}
    config = _filled(module.Config, {**seeded, **settings}, f"method {name!r}")
    return make(network, outputs, config)


def rebuilt(record: Mapping[str, Any]) -> Method:
    """A method as a checkpoint's record describes it, its weights yet to be loaded.

    Raises:
        KeyError, TypeError, ValueError: the record lacks something, or says what cannot be.
        UsageError: it names what there is not.
    """
    network = NetworkRecipe.model_validate(record["network"])
    outputs = tuple(int(group) for group in record["outputs"])
    made = make_network(network, len(outputs), pretrained=False)
    made.standard = _standard(record["standard"]) if record.get("standard") else None
    method = make_method(record["method"], made, outputs, record["settings"])
    return WithPrior(method, rebuilt(record["prior"])) if record.get("prior") else method


def _standard(told: Any) -> tuple[float, float]:
    """Mean and deviation of grey values, as a record has them."""
    mean, deviation = (float(number) for number in told)
    if not (isfinite(mean) and isfinite(deviation) and deviation > 0):
        raise ValueError(told)
    return mean, deviation


def make_augmentation(name: str | None, crop: int | None = None) -> Augment | None:
    """The augmentation of a training; ``none``, or None, for none.

    Args:
        name: a file of ``groundglass.augment``.
        crop: side of the squares that it cuts out of slices, in pixels; None: it leaves them whole.

    Raises:
        UsageError: there is none of that name, or a crop without an augmentation, which makes it.
    """
    if name not in (None, "none"):
        return _called(lookup.find("groundglass.augment", name)(crop=crop))
    if crop is not None:
        raise UsageError(
            "A crop without an augmentation.", expected="one, which makes it", remedy="Choose weak, or leave crop out."
        )
    return None


def _called(augment: Any) -> Augment:
    made: Augment = augment
    return made


def _filled(config: Any, settings: Mapping[str, Any], whose: str) -> Any:
    """A settings record with what a recipe says."""
    known = {field.name for field in dataclasses.fields(config)}
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise UsageError(
                f"The {whose} has no setting {key!r}.",
                expected=f"{near[0]}, perhaps" if near else f"one of {', '.join(sorted(known))}",
                remedy="Correct its spelling.",
            )
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return config(**plain)


def load_model(path: Path) -> Model:
    """A trained model from its checkpoint.

    Raises:
        UsageError: there is none.
        ReadError: it is no model of ours, or damaged.
    """
    if not path.is_file():
        raise UsageError(
            "There is no checkpoint of that name.", expected="a model.safetensors", remedy="Check its path."
        )
    tensors, record = checkpoint.read(path)
    try:
        method = rebuilt(record)
        method.load_state_dict(tensors)
        preparation = Preparation.from_json(record["preparation"])
        card = dataclasses.replace(ModelCard.from_json(record["card"]), digest=sha256(path.read_bytes()).hexdigest())
        above, tiles = float(record.get("above", 0.0)), bool(record.get("tiles", False))
        if not 0 <= above < 1:
            raise ValueError(above)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
        raise ReadError(
            "The checkpoint does not fit this version of groundglass: its weights or its record are of another kind.",
            expected="a model.safetensors that groundglass train wrote",
            remedy="Train it again, or use the version that wrote it.",
        ) from None
    whole = all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    if not whole or (path == MODEL and card.digest != DIGEST):
        raise ReadError(
            "The weights of the model are damaged.",
            expected="finite numbers" if not whole else "those that the package came with",
            remedy="Copy it again, or install the package again if it is the one that ships.",
        )
    return Model(method.eval(), preparation, card, above, tiles)

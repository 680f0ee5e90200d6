"""``groundglass explain networks``: what each network is, what it is made of and what it costs here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from groundglass.build import make_network
from groundglass.cli.network_cost import measure_apart
from groundglass.cli.phases import Phases
from groundglass.io.atomic import write_file
from groundglass.lookup import find, names
from groundglass.networks._count import multiply_adds, parameters
from groundglass.recipe import Network
from groundglass.report.networks import NetworkRow, markdown, text

PACKAGE: Final = "groundglass.networks"
CLASSES: Final = 4
ENCODERS: Final = ("resnet34", "resnext50_32x4d", "mobilenet_v2")  # its default, and those that papers compare with


def explain_networks(asked: Sequence[str], size: int, batch: int | None, output: Path | None, quiet: bool) -> None:
    """Print the table, and write it as Markdown if asked to.

    Args:
        asked: files of ``groundglass.networks``; all if empty.
        size: side of the images in pixels; a network whose stride does not divide it gets the next side that does.
        batch: images a step where memory and time are measured; None to leave that out.
        output: file for the Markdown.
        quiet: show no progress.

    Raises:
        UsageError: there is no network of a name.
        WriteError: the file cannot be written.
    """
    recipes = [recipe for name in (asked or names(PACKAGE)) for recipe in _forms(name)]
    rows = []
    with Phases(quiet or batch is None) as phases:
        for recipe in recipes:
            phases.begin(_called(recipe))
            rows.append(_row(recipe, size, batch))
    sys.stdout.write(text(rows, size, batch))
    if output is not None:
        write_file(output, markdown(rows, size, batch).encode())


def _forms(name: str) -> list[Network]:
    """A network as it comes; the U-Net over any encoder over some."""
    find(PACKAGE, name)  # refuses what is none
    if name != "unet_encoder":
        return [Network(name=name)]
    return [Network(name=name, settings={"encoder": encoder}) for encoder in ENCODERS]


def _called(recipe: Network) -> str:
    return ", ".join([recipe.name, *(str(value) for value in recipe.settings.values())])


def _row(recipe: Network, size: int, batch: int | None) -> NetworkRow:
    with torch.device("meta"):  # shapes alone: nothing is drawn, nothing is computed
        network = make_network(recipe, CLASSES)
        side = -(-size // network.stride) * network.stride
        counted = multiply_adds(network, (side, side))
    return NetworkRow(
        name=_called(recipe),
        paper=network.paper,
        parameters=parameters(network),
        side=side,
        multiply_adds=counted,
        cost=measure_apart(recipe.model_dump(), side, batch) if batch else None,
    )

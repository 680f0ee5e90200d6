"""``groundglass models``: what its command is called with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from groundglass.cli.ending import computing

models = typer.Typer(
    name="models",
    help="Trained models: export them to a file to give away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@models.command("export")
def _models_export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model.safetensors of groundglass train.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The new model.safetensors.")],
    half: Annotated[bool, typer.Option("--half", help="Keep weights in half precision: half the size.")] = False,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="What pages and measurements call it."),
    ] = None,
    source: Annotated[
        list[str],
        typer.Option(metavar="SENTENCE", help="Of its data and their terms, for the page; again for more."),
    ] = [],  # noqa: B006 - typer copies it
) -> None:
    """Write what predicts of a model, without paths of yours; says how far its answers are from the model's."""
    with computing():
        from groundglass.cli.models_export import run_export

        run_export(model, output, half, name, source)

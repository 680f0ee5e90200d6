"""``groundglass datasets``: what its commands are called with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from groundglass.cli.ending import ending
from groundglass.cli.options import Key, Quiet

datasets = typer.Typer(
    name="datasets",
    help="The public data sets: list, get, check, convert.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@datasets.command("list")
def _datasets_list(
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="[ROOT]", help="A folder of data sets: says which of them are in it."),
    ] = None,
) -> None:
    """List the data sets: what is in each, its size and terms, where to get it."""
    with ending():
        from groundglass.cli.datasets import run_list

        run_list(root)


@datasets.command("get")
def _datasets_get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that datasets list names.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="ROOT", help="It goes to ROOT/NAME.")],
    address: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--from", metavar="URL", help="Of an archive, in place of its publisher's; can be repeated."),
    ] = None,
    only: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="PATTERN", help="Fetch only files so called, such as 'ct_lesion_seg.zip' or 'CP-*'."),
    ] = None,
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Do not ask.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download and unpack a data set; one that was cut goes on where it was."""
    with ending():
        from groundglass.cli.datasets_get import Options, run_get

        run_get(name, output, Options(tuple(address or ()), only, accept_terms, quiet))


@datasets.command("check")
def _datasets_check(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which set it is; by default the layout tells.")],
    root: Annotated[Optional[Path], typer.Argument(metavar="ROOT", help="Its folder.")] = None,  # noqa: UP045
    sheet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Draw up to 64 slices with outlines (PNG). It shows patients."),
    ] = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Read a data set whole: counts, sizes, patients, classes, what cannot be read, what differs from its card."""
    with ending():
        from groundglass.cli.datasets import run_check

        run_check(None if root is None else name, Path(name) if root is None else root, sheet, key, quiet)


@datasets.command("convert")
def _datasets_convert(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, folder, or nnunet.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Its folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Where the new one goes.")],
    target: Annotated[str, typer.Option("--to", help="nnunet (raw layout, version 2) or folder (NIfTI and PNG).")],
    number: Annotated[int, typer.Option("--id", min=1, max=999, help="Of nnU-Net's data set.")] = 1,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Write a data set in nnU-Net's raw layout or as a plain folder, or bring nnU-Net's back."""
    with ending():
        from groundglass.cli.datasets import run_convert

        run_convert(name, root, output, target, number, key, quiet)

"""``groundglass explain``: what its commands are called with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from groundglass.cli.ending import computing, ending
from groundglass.cli.options import OUR_CODES, Cropped, Key, Orientation, Quiet, Series, TruthCodes, Window

explain = typer.Typer(name="explain", no_args_is_help=True, help="What models and methods show of themselves.")


@explain.command("inpainting")
def _explain_inpainting(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of groundglass train; it may still be running.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The prepared store whose slices are shown.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for picture and numbers.")],
    slices: Annotated[int, typer.Option(min=1, max=64, help="How many, evenly spread over the store.")] = 6,
) -> None:
    """What a coach erases of slices and a network fills in (PNG, CSV). It shows patients."""
    with computing():
        from groundglass.cli.explain_inpainting import run_inpainting

        run_inpainting(run, store, output, slices)


@explain.command("maps")
def _explain_maps(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="As segment takes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for pictures and page.")],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="A model.safetensors of groundglass train.")],
    number: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--slice", min=1, help="From the feet, from 1; by default the one with most lesion."),
    ] = None,
    truth: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="LABELS", help="A label map of the scan: is confidence low where the model errs?"),
    ] = None,
    truth_codes: TruthCodes = OUR_CODES,
    series: Series = None,
    window: Window = None,
    cropped: Cropped = False,
    orientation: Orientation = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """What a model shows of itself on a slice: reconstruction, confidence, edges, coarser answers. Pictures, a page."""
    with computing():
        from groundglass.cli.explain_maps import Options, explain_maps

        options = Options(
            number, series, window, cropped, orientation, key, quiet, model=model, truth=truth, truth_codes=truth_codes
        )
        explain_maps(scan, output, options)


@explain.command("networks")
def _explain_networks(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[NAME...]", help="Such as unet; all by default."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of the images, in pixels.")] = 352,
    batch: Annotated[int, typer.Option(min=2, help="Images a step, where it is measured.")] = 2,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Memory and images a second; takes minutes for all.")
    ] = True,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE.md", help="Write the table as Markdown, too."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """List the networks: paper, parameters, multiply-adds, memory of a training step, images a second here."""
    with ending():
        from groundglass.cli.explain_networks import explain_networks

        explain_networks(names or [], size, batch if measure else None, output, quiet)


@explain.command("samples")
def _explain_samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of groundglass train; it may still be running.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The prepared store whose slices are shown.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for picture and numbers.")],
    slices: Annotated[
        int, typer.Option(min=1, max=64, help="How many of each kind are measured; 8 are drawn at most.")
    ] = 4,
    samples: Annotated[int, typer.Option(min=0, max=64, help="How many that the method makes of nothing.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 0,
) -> None:
    """What svae, stitchnet or stichnet2020 makes of slices and of nothing, and whether its styles collapsed."""
    with computing():
        from groundglass.cli.explain_samples import run_samples

        run_samples(run, store, output, slices, samples, seed)


@explain.command("steps")
def _explain_steps(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="As segment takes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for pictures and page.")],
    number: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--slice", min=1, help="From the feet, from 1; by default the one with most ground glass."),
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="The thesis's steps, with what goes wrong in them.")
    ] = False,
    series: Series = None,
    window: Window = None,
    cropped: Cropped = False,
    orientation: Orientation = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """What the model kmeans does to a slice, step by step: pictures and a page."""
    with ending():
        from groundglass.cli.explain_steps import Options, explain_steps

        options = Options(number, series, window, cropped, orientation, key, quiet, as_published)
        explain_steps(scan, output, options)


@explain.command("styles")
def _explain_styles(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="As segment takes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for volumes and page.")],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="A model.safetensors by stitchnet or stichnet2020.")],
    number: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--slice", min=1, help="Of the page, from the feet, from 1; by default the one with most lesion."),
    ] = None,
    lesion: Annotated[str, typer.Option(metavar="NAME", help="Of the dial: ground_glass or consolidation.")] = (
        "ground_glass"
    ),
    dial: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Of each lung that is to be diseased.")
    ] = "0,25,50,75,100",
    series: Series = None,
    window: Window = None,
    cropped: Cropped = False,
    orientation: Orientation = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """A scan if all of it were one tissue, stitched again, and with more or less of a lesion: volumes, a page."""
    with computing():
        from groundglass.cli.explain_styles import Options, explain_styles

        options = Options(
            number, series, window, cropped, orientation, key, quiet, model=model, lesion=lesion, dial=dial
        )
        explain_styles(scan, output, options)

"""The command ``groundglass``: its own commands, and where the groups' come together."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from groundglass import __version__
from groundglass.cli import group_datasets, group_explain, group_models, group_study
from groundglass.cli.ending import computing, ending, heed_signals
from groundglass.cli.options import (
    OUR_CODES,
    Codes,
    Conventions,
    Cropped,
    Groups,
    Key,
    Kind,
    Metrics,
    Orientation,
    Quiet,
    Regions,
    Resize,
    Series,
    Threshold,
    TruthCodes,
    Window,
)

app = typer.Typer(
    name="groundglass",
    help="Outlines lung infection in chest CT: lung, ground-glass opacity and consolidation. "
    "For research; not a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"groundglass {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command("segment")
def _segment(
    scans: Annotated[
        list[str],
        typer.Argument(
            metavar="SCAN...",
            help="DICOM folder or zip, NIfTI, NRRD, PNG or JPG; several scans make a folder each, several pictures a "
            "label map each.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="What segments: threshold or kmeans (classical, no training), or a trained checkpoint. By default the "
            "model that comes with the package, or threshold where none does."
        ),
    ] = None,
    views: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Mirrored or turned views that a trained model averages: 1, 2, 4, 8. By default 1; 8 for pictures "
            "that get a label map alone."
        ),
    ] = None,
    series: Series = None,
    label_format: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--format", help="Of the label map: nifti, nrrd or png. By default nifti; png for pictures."),
    ] = None,
    window: Window = None,
    cropped: Cropped = False,
    orientation: Orientation = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", "--maps", help="Write the probabilities of a trained model too.")
    ] = False,
    codes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME|TABLE",
            help="Of pictures, a label map each, named as the picture, in the codes of a data set (covid_semiseg) or "
            "of a table (0=background|lung,1=ground_glass,2=consolidation).",
        ),
    ] = None,
    case_name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="What to call the case, instead of a keyed hash."),
    ] = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Segment scans: a label map on the input's own grid, measurements, an HTML page; of pictures label maps alone."""
    with ending():
        from groundglass.cli.segment import Options, segment_all
        from groundglass.cli.segment_pictures import VIEWS_OF_PICTURES, are_pictures, segment_pictures

        options = Options(
            model=model,
            series=series,
            label_format=label_format,
            window=window,
            case_name=case_name,
            key=key,
            cropped=cropped,
            orientation=orientation,
            probabilities=probabilities,
            codes=codes,
            quiet=quiet,
        )
        pictures = are_pictures(scans, options)
        if views is None:
            views = VIEWS_OF_PICTURES if pictures else options.views
        (segment_pictures if pictures else segment_all)(scans, output, replace(options, views=views))


@app.command("prepare")
def _prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="One that datasets list names, folder for your own, phantom for drawn patients."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Folder for the store.")],
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="ROOT", help="The folder that holds it, as its publisher packs it; none of phantoms."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of the prepared pictures, in pixels.")] = 288,
    fit: Annotated[
        str, typer.Option(help="letterbox keeps the proportions of a crop, stretch fills the picture.")
    ] = "letterbox",
    orientation: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="What turns pictures of your own until the front is up, such as transpose."),
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="BLACK,WHITE", help="Hounsfield units that become 0 and 1.")
    ] = "-1350,150",
    crop: Annotated[str, typer.Option(help="lungs: the box around them; none: whole slices.")] = "lungs",
    lungs: Annotated[
        bool,
        typer.Option(
            "--lungs", help="The classical lung field decides what labels leave open between background and lung."
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that prepare; the store is the same.")] = 1,
    patients: Annotated[int, typer.Option(min=1, help="Phantoms: how many; the first are the same of more.")] = 12,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Prepare a data set for training; a run that was stopped goes on where it was."""
    with ending():
        from groundglass.cli.prepare import Options, prepare

        prepare(
            dataset, root, output, Options(size, fit, orientation, key, quiet, workers, window, crop, lungs, patients)
        )


@app.command("evaluate")
def _evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Label maps or maps: a folder, or a file.")
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="True label maps, with the same names, or a store.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the scores.")],
    kind: Kind = "labels",
    codes: Codes = OUR_CODES,
    truth_codes: TruthCodes = OUR_CODES,
    region: Regions = [],  # noqa: B006 - typer copies it
    convention: Conventions = [],  # noqa: B006
    metric: Metrics = [],  # noqa: B006
    groups: Groups = None,
    threshold: Threshold = 0.5,
    resize: Resize = True,
    quiet: Quiet = False,
) -> None:
    """Score predictions: metrics under named conventions, with intervals."""
    with ending():
        from groundglass.cli.evaluate import Options, run_evaluate

        options = Options(kind, codes, truth_codes, region, convention, metric, groups, threshold, resize, quiet)
        run_evaluate(predictions, truth, output, options)


@app.command("train")
def _train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file: data, network, stages.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the run.")],
    store: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="STORE", help="The prepared store, instead of the one that the recipe names."),
    ] = None,
    fold: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Hold out this fold (of 5, or of as many as the recipe says) and score on it."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too, beside log.csv.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe to a checkpoint; a run that was stopped goes on where it was. Several processes: by torchrun."""
    with computing():
        from groundglass.cli.train import run_train

        run_train(recipe, output, store, fold, tensorboard, quiet)


@app.command("demo")
def _demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the phantom.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Needs no data: a phantom written as DICOM, segmented, beside its truth on a page."""
    with ending():
        from groundglass.cli.demo import run_demo

        run_demo(output, seed, quiet)


for group in (group_datasets.datasets, group_models.models, group_study.study, group_explain.explain):
    app.add_typer(group)


def main() -> None:
    """Run the command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
    heed_signals()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a folder's name may be none of the terminal's characters
    with ending():  # help and version too
        app()

"""The command ``groundglass``: what it is called with, and how it ends.

Errors are one line on standard error: exit code 2 for a command that cannot be right as it stands, 1 for an
input or output that cannot be read, used or written, 130 for an interruption.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from groundglass import __version__
from groundglass.errors import GroundglassError, OtherProcessError, UsageError

app = typer.Typer(
    name="groundglass",
    help="Outlines lung infection in chest CT: lung, ground-glass opacity and consolidation. "
    "For research; not a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


Series = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time
    typer.Option(metavar="N|UID", help="Which DICOM series, where there are several."),
]
Window = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="BLACK,WHITE", help="Hounsfield units of black and white, for 8-bit pictures."),
]
Cropped = Annotated[bool, typer.Option("--cropped", help="The pictures are crops around the lungs.")]
Orientation = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="NAME", help="What turns pictures until the front is up, such as transpose."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Key = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Key of the hash that cases are called by; by default one of your own."),
]


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
    with _ending():
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
        str, typer.Argument(metavar="DATASET", help="One that datasets list names, or folder for your own.")
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder that holds it, as its publisher packs it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Folder for the store.")],
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
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Prepare a data set for training; a run that was stopped goes on where it was."""
    with _ending():
        from groundglass.cli.prepare import Options, prepare

        prepare(dataset, root, output, Options(size, fit, orientation, key, quiet, workers, window, crop, lungs))


datasets = typer.Typer(
    name="datasets",
    help="The public data sets: list, get, check, convert.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(datasets)


@datasets.command("list")
def _datasets_list(
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="[ROOT]", help="A folder of data sets: says which of them are in it."),
    ] = None,
) -> None:
    """List the data sets: what is in each, its size and terms, where to get it."""
    with _ending():
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
    with _ending():
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
    with _ending():
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
    with _ending():
        from groundglass.cli.datasets import run_convert

        run_convert(name, root, output, target, number, key, quiet)


@app.command("evaluate")
def _evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Label maps or maps: a folder, or a file.")
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="True label maps, with the same names, or a store.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the scores.")],
    kind: Annotated[
        str, typer.Option("--prediction-kind", help="labels, or map: of one --region, bytes or 0 to 1.")
    ] = "labels",
    codes: Annotated[
        str, typer.Option("--prediction-codes", metavar="NAME|TABLE", help="What the predictions' codes mean.")
    ] = "0=background,1=lung,2=ground_glass,3=consolidation",
    truth_codes: Annotated[
        str,
        typer.Option(
            metavar="NAME|TABLE",
            help="The same for the truth, such as covid_semiseg, or 0=background|lung,1=ground_glass.",
        ),
    ] = "0=background,1=lung,2=ground_glass,3=consolidation",
    region: Annotated[
        list[str], typer.Option(help="What to score, again for more; all that the codes tell by default.")
    ] = [],  # noqa: B006 - typer copies it
    convention: Annotated[
        list[str], typer.Option(help="How images are averaged, again for more, such as present or curve+present.")
    ] = [],  # noqa: B006
    metric: Annotated[list[str], typer.Option(help="Such as dice or hausdorff_95, again for more.")] = [],  # noqa: B006
    groups: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="CSV", help="Image and patient, for intervals over patients."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Above which a map is the region.")] = 0.5,
    resize: Annotated[bool, typer.Option(help="Bring predictions of another size to the truth's.")] = True,
    quiet: Quiet = False,
) -> None:
    """Score predictions: metrics under named conventions, with intervals."""
    with _ending():
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
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        from groundglass.cli.train import run_train

        run_train(recipe, output, store, fold, tensorboard, quiet)


models = typer.Typer(
    name="models",
    help="Trained models: export them to a file to give away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(models)


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
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        from groundglass.cli.models_export import run_export

        run_export(model, output, half, name, source)


study = typer.Typer(no_args_is_help=True, help="Tables: cross-validation, label budgets, comparisons, leaks.")
app.add_typer(study, name="study")
Recipes = Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="TOML files; the first is compared with.")]
StoreOption = Annotated[Path, typer.Option(metavar="STORE", help="The prepared store.")]
StudyOutput = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for tables and rows.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many, from 0.")]
Folds = Annotated[list[int], typer.Option("--fold", min=0, help="Hold out this fold only, again for more.")]
SplitFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--split", metavar="FILE", help="Folds to use; made by group by default."),
]
Results = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="CSV", help="Rows of all runs, continued; OUT/results.csv by default."),
]
Jobs = Annotated[int, typer.Option(min=1, help="Trainings at a time, each on its share of the cores.")]
StudyConvention = Annotated[str, typer.Option("--convention", help="How slices are averaged.")]


@study.command("crossval")
def _crossval(
    recipes: Recipes,
    store: StoreOption,
    output: StudyOutput,
    seeds: Seeds = 3,
    folds: Folds = [],  # noqa: B006 - typer copies it
    split: SplitFile = None,
    results: Results = None,
    convention: StudyConvention = "present",
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Train and test recipes on folds by group and several seeds; the table, intervals and paired tests."""
    _study(recipes, store, output, seeds, folds, [], split, results, convention, quiet, jobs)


@study.command("budget")
def _budget(
    recipes: Recipes,
    store: StoreOption,
    output: StudyOutput,
    labels: Annotated[str, typer.Option(help="Numbers of labelled slices, such as 5,10,20,40.")] = "5,10,20,40",
    seeds: Seeds = 3,
    folds: Folds = [],  # noqa: B006
    split: SplitFile = None,
    results: Results = None,
    convention: StudyConvention = "present",
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """The same at several numbers of labels, compared with the supervised recipe: a table and a curve."""
    numbers = [int(part) for part in labels.split(",") if part.strip().isdecimal()]
    with _ending():
        if not numbers or len(numbers) != len(labels.split(",")) or min(numbers) < 1:
            raise UsageError(f"The labels {labels!r}.", expected="whole numbers, from 1", remedy="Such as 5,10,20,40")
    _study(recipes, store, output, seeds, folds, numbers, split, results, convention, quiet, jobs)


def _study(
    recipes: list[Path],
    store: Path,
    output: Path,
    seeds: int,
    folds: list[int],
    labels: list[int],
    split: Path | None,
    results: Path | None,
    convention: str,
    quiet: bool,
    jobs: int,
) -> None:
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        from groundglass.cli.processes import require_alone
        from groundglass.cli.study import Options, run_study

        require_alone("groundglass study")
        run_study(recipes, Options(store, output, seeds, folds, labels, split, results, convention, quiet, jobs))


@study.command("compare")
def _compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="A B... TRUTH", help="Folders of predictions, or NAME=FOLDER; the truth last."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for tables and page.")],
    kind: Annotated[str, typer.Option("--prediction-kind", help="labels, or map: of one --region.")] = "labels",
    codes: Annotated[
        str, typer.Option("--prediction-codes", metavar="NAME|TABLE", help="What the predictions' codes mean.")
    ] = "0=background,1=lung,2=ground_glass,3=consolidation",
    truth_codes: Annotated[
        str, typer.Option(metavar="NAME|TABLE", help="The same for the truth.")
    ] = "0=background,1=lung,2=ground_glass,3=consolidation",
    region: Annotated[list[str], typer.Option(help="What to score, again for more.")] = [],  # noqa: B006
    convention: Annotated[list[str], typer.Option(help="How images are averaged, again for more.")] = [],  # noqa: B006
    metric: Annotated[list[str], typer.Option(help="Such as dice, again for more.")] = [],  # noqa: B006
    groups: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="CSV", help="Image and patient, for tests over patients."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Above which a map is the region.")] = 0.5,
    resize: Annotated[bool, typer.Option(help="Bring predictions of another size to the truth's.")] = True,
    quiet: Quiet = False,
) -> None:
    """Compare methods by their predictions: tables with tests, plots, where they differ most."""
    with _ending():
        if len(predictions) < 3:
            raise UsageError(
                f"{len(predictions)} folders to compare.",
                expected="two or more of predictions, and the truth last",
                remedy="For one method use groundglass evaluate.",
            )
        from groundglass.cli.compare import run_compare
        from groundglass.cli.evaluate import Options

        options = Options(kind, codes, truth_codes, region, convention, metric, groups, threshold, resize, quiet)
        run_compare(predictions[:-1], predictions[-1], output, options)


@study.command("reproduce")
def _reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Such as ssinfnet: a file recipes/PAPER.tables.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for tables and runs.")],
    root: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="ROOT", help="The folder of the data, as its publisher packs it."),
    ] = None,
    on: Annotated[str, typer.Option(help="The data: covid_semiseg, or phantom, which needs no folder.")] = (
        "covid_semiseg"
    ),
    small: Annotated[bool, typer.Option("--small", help="Small pictures and short schedules, for two cores.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Smaller still, a part of the steps, one fold: minutes.")
    ] = False,
    folds: Folds = [],  # noqa: B006
    seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="So many, from 0; by default as many as the paper's file says."),
    ] = None,
    only: Annotated[list[str], typer.Option(metavar="RECIPE", help="This recipe only, again for more.")] = [],  # noqa: B006
    size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=16, help="Side of the pictures in pixels; by default as the paper's file says, as the next."),
    ] = None,
    share: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.0, max=1.0, help="Of the steps of every stage, and of the slices that it labels."),
    ] = None,
    recipes: Annotated[Path, typer.Option(metavar="FOLDER", help="Of all recipes.")] = Path("recipes"),
    quiet: Quiet = False,
) -> None:
    """A paper's tables: its recipes, run on what data there are, beside its numbers."""
    with _ending():
        if small and fast:
            raise UsageError("--small and --fast.", expected="one of them", remedy="Leave one out.")
        if share == 0:
            raise UsageError("A --share of 0.", expected="above 0, at most 1", remedy="Say how much is to be run.")
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        from groundglass.cli.reproduce import Options, reproduce

        scale: Literal["full", "small", "fast"] = "fast" if fast else "small" if small else "full"
        reproduce(paper, Options(output, recipes, on, root, scale, folds, seeds, only, size, share, quiet))


@study.command("audit")
def _audit(
    paths: Annotated[
        list[Path], typer.Argument(metavar="STORE SPLIT | TRAIN TEST [UNLABELLED]", help="Or two or three folders.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for findings and page.")],
    fold: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Of the split; all by default."),
    ] = None,
    provenance: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Record of a run: what was it selected on?"),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Call what is in folders by its file names.")] = False,
    quiet: Quiet = False,
) -> None:
    """What leaks between the sides of a split: patients, series, near-duplicates, labels. Exit code 1 on a leak."""
    with _ending():
        from groundglass.cli.audit import run_audit

        run_audit(paths, output, fold, provenance, quiet, names)


@study.command("associate")
def _associate(
    measurements: Annotated[
        Path, typer.Argument(metavar="MEASUREMENTS.csv", help="Of segment (put together), or any with a row a patient.")
    ],
    clinical: Annotated[Path, typer.Argument(metavar="CLINICAL.csv", help="A row a patient: age, sex, ...")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the table and the page.")],
    key: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="COLUMN", help="That names the patient in both; by default the first of each."),
    ] = None,
    burden: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="COLUMN", help="Of the measurements; percent_of_lung by default."),
    ] = None,
    covariate: Annotated[
        list[str], typer.Option(metavar="COLUMN", help="Of the clinical table, again for more; all by default.")
    ] = [],  # noqa: B006 - typer copies it
    order: Annotated[
        list[str], typer.Option(metavar="COLUMN=WORDS", help="Words from least to most: severity=mild,severe.")
    ] = [],  # noqa: B006
) -> None:
    """Lesion burden against age, sex, illnesses: rank correlations and a regression. Association, not cause."""
    with _ending():
        from groundglass.cli.associate import run_associate

        run_associate(measurements, clinical, output, key, burden, covariate, order)


explain = typer.Typer(no_args_is_help=True, help="What models and methods show of themselves.")
app.add_typer(explain, name="explain")


@explain.command("inpainting")
def _explain_inpainting(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of groundglass train; it may still be running.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The prepared store whose slices are shown.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for picture and numbers.")],
    slices: Annotated[int, typer.Option(min=1, max=64, help="How many, evenly spread over the store.")] = 6,
) -> None:
    """What a coach erases of slices and a network fills in (PNG, CSV). It shows patients."""
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
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
    truth_codes: Annotated[
        str, typer.Option(metavar="NAME|TABLE", help="What its codes mean.")
    ] = "0=background,1=lung,2=ground_glass,3=consolidation",
    series: Series = None,
    window: Window = None,
    cropped: Cropped = False,
    orientation: Orientation = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """What a model shows of itself on a slice: reconstruction, confidence, edges, coarser answers. Pictures, a page."""
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
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
    with _ending():
        from groundglass.cli.explain_networks import explain_networks

        explain_networks(names or [], size, batch if measure else None, output, quiet)


@explain.command("samples")
def _explain_samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of groundglass train; it may still be running.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The prepared store whose slices are shown.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for picture and numbers.")],
    slices: Annotated[int, typer.Option(min=1, max=64, help="How many of the labelled, and of the unlabelled.")] = 4,
    samples: Annotated[int, typer.Option(min=0, max=64, help="How many that the method makes of nothing.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 0,
) -> None:
    """What svae, stitchnet or stichnet2020 makes of slices and of nothing, and whether its styles collapsed."""
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
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
    with _ending():
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
    with _ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        from groundglass.cli.explain_styles import Options, explain_styles

        options = Options(
            number, series, window, cropped, orientation, key, quiet, model=model, lesion=lesion, dial=dial
        )
        explain_styles(scan, output, options)


@app.command("demo")
def _demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the phantom.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Needs no data: a phantom written as DICOM, segmented, beside its truth on a page."""
    with _ending():
        from groundglass.cli.demo import run_demo

        run_demo(output, seed, quiet)


def main() -> None:
    """Run the command."""
    app()


@contextmanager
def _ending() -> Iterator[None]:
    """Every way a command can end is one line and an exit code, never a traceback."""
    try:
        yield
        sys.stdout.flush()
    except OtherProcessError:
        time.sleep(0.5)  # launchers end all processes when one ends: let the other have its line out first
        raise SystemExit(1) from None
    except GroundglassError as error:
        _end(str(error), error.exit_code)
    except BrokenPipeError:  # whoever read the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        _end("Interrupted; what was not finished was not written.", 130)
    except MemoryError:
        _end("Out of memory. Expected room for the whole scan. Close other programs or use a larger machine.", 1)
    except Exception as error:  # a fault of ours: its message may hold a path or header text, so it is not shown
        place = _last_place_of_ours(error)
        _end(f"A fault in groundglass {__version__} ({type(error).__name__} in {place}). Please report it.", 1)


def _last_place_of_ours(error: BaseException) -> str:
    place, trace = "an unknown place", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("groundglass"):
            place = f"{module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _end(message: str, exit_code: int) -> None:
    sys.stderr.write(f"groundglass: {message}\n")
    raise SystemExit(exit_code)

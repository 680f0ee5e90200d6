"""``groundglass study``: what its commands are called with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from groundglass.cli.ending import computing, ending
from groundglass.cli.options import (
    OUR_CODES,
    Codes,
    Conventions,
    Groups,
    Kind,
    Metrics,
    Quiet,
    Regions,
    Resize,
    Threshold,
    TruthCodes,
)
from groundglass.errors import UsageError

study = typer.Typer(
    name="study", no_args_is_help=True, help="Tables: cross-validation, label budgets, comparisons, leaks."
)
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
Keep = Annotated[bool, typer.Option("--keep", help="Leave each run's folder, model and last state in OUT/runs.")]
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
    keep: Keep = False,
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="RECIPE", help="What the others are compared with; the first by default."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train and test recipes on folds by group and several seeds; the table, intervals and paired tests."""
    _study(recipes, store, output, seeds, folds, [], split, results, convention, quiet, jobs, keep, against)


@study.command("budget")
def _budget(
    recipes: Recipes,
    store: StoreOption,
    output: StudyOutput,
    labels: Annotated[
        str, typer.Option(help="Numbers of labelled slices, such as 5,10,20,all; all are what a fold leaves.")
    ] = "5,10,20,40",
    seeds: Seeds = 3,
    folds: Folds = [],  # noqa: B006
    split: SplitFile = None,
    results: Results = None,
    convention: StudyConvention = "present",
    jobs: Jobs = 1,
    keep: Keep = False,
    quiet: Quiet = False,
) -> None:
    """The same at several numbers of labels, compared with the first by labels alone: a table and a curve."""
    with ending():
        amounts = _amounts(labels)
    _study(recipes, store, output, seeds, folds, amounts, split, results, convention, quiet, jobs, keep)


def _amounts(labels: str) -> list[str]:
    parts = [part.strip() for part in labels.split(",")]
    if not all(part == "all" or (part.isdecimal() and int(part) > 0) for part in parts):
        raise UsageError(
            f"The labels {labels!r}.", expected="whole numbers, from 1, or all", remedy="Such as 5,10,20,all"
        )
    return list(dict.fromkeys(part if part == "all" else str(int(part)) for part in parts))


def _study(
    recipes: list[Path],
    store: Path,
    output: Path,
    seeds: int,
    folds: list[int],
    labels: list[str],
    split: Path | None,
    results: Path | None,
    convention: str,
    quiet: bool,
    jobs: int,
    keep: bool,
    against: str | None = None,
) -> None:
    with computing():
        from groundglass.cli.processes import require_alone
        from groundglass.cli.study import Options, run_study

        require_alone("groundglass study")
        options = Options(store, output, seeds, folds, labels, split, results, convention, quiet, jobs, keep, against)
        run_study(recipes, options)


@study.command("compare")
def _compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="A B... TRUTH", help="Folders of predictions, or NAME=FOLDER; the truth last."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for tables and page.")],
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
    """Compare methods by their predictions: tables with tests, plots, where they differ most."""
    with ending():
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
    with ending():
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
    with ending():
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
    with ending():
        from groundglass.cli.associate import run_associate

        run_associate(measurements, clinical, output, key, burden, covariate, order)

"""Results of trainings: a row for each held-out slice and region of each run, in a CSV that is only ever continued.

From the counts in it every convention and every test can be made anew, so a table is never begun again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Final

from groundglass.errors import ReadError, UsageError
from groundglass.evaluation.conventions import Convention, Scored, sample
from groundglass.evaluation.metrics import METRICS, Evidence
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.statistics import Comparison, Summary, compare, holm, summarise
from groundglass.io.atomic import write_file

ALL: Final = "all"


@dataclass(frozen=True)
class Trial:
    """One training and its test.

    Attributes:
        recipe: name of the recipe.
        digest: hash of what in it decides the outcome, seed, fold and labels left out.
        data: hash of the store's content and preparation.
        seed: of the training.
        fold: that was held out.
        labels: labelled slices that were trained on, or ``all``.
    """

    recipe: str
    digest: str
    data: str
    seed: int
    fold: int
    labels: str


@dataclass(frozen=True)
class Row:
    """What a trial came to on one slice and region.

    Attributes:
        trial: which.
        minutes: of the whole training.
        slice: a held-out one, unless the file is of others.
        group: of the slice.
        region: key of the region.
        counts: of its pixels.
        values: metrics that cannot be made of the counts, by name, None where one is 0/0; without those that were not
            measured.
    """

    trial: Trial
    minutes: float
    slice: str
    group: str
    region: str
    counts: Counts
    values: Mapping[str, float | None] = field(default_factory=dict)


_TRIAL: Final = tuple(one.name for one in fields(Trial))
_UNDEFINED: Final = "nan"  # 0/0; a blank cell was not measured
_COUNTS: Final = tuple(one.name for one in fields(Counts))
COLUMNS: Final = (*_TRIAL, "minutes", "slice", "group", "region", *_COUNTS)


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file; none where there is no file.

    Raises:
        ReadError: it is no results file.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            names = tuple(table.fieldnames or ())
            if names[: len(COLUMNS)] != COLUMNS or not METRICS.keys() >= set(names[len(COLUMNS) :]):
                raise ValueError("other columns")
            return [_row(cells) for cells in table]
    except (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError, csv.Error):
        raise ReadError(
            f"{path.name} is no table of results, or it is damaged.",
            expected=f"a CSV with the columns {', '.join(COLUMNS)}, and metrics after them",
            remedy="Choose another file, or restore it.",
        ) from None


def _row(cells: Mapping[str, str]) -> Row:
    trial = Trial(
        cells["recipe"], cells["digest"], cells["data"], int(cells["seed"]), int(cells["fold"]), cells["labels"]
    )
    counts = Counts(*(int(cells[name]) for name in _COUNTS))
    values = {
        name: None if cells[name] == _UNDEFINED else float(cells[name])
        for name in cells
        if name not in COLUMNS and cells[name]
    }
    return Row(trial, float(cells["minutes"]), cells["slice"], cells["group"], cells["region"], counts, values)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a results file, whole or not at all.

    Raises:
        WriteError: it could not be written; an older file is as it was.
    """
    rows = list(rows)
    metrics = list(dict.fromkeys(name for row in rows for name in row.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *metrics])
    for row in rows:
        told = (f"{row.minutes:.2f}", row.slice, row.group, row.region)
        more = ("" if name not in row.values else _cell(row.values[name]) for name in metrics)
        writer.writerow([*asdict(row.trial).values(), *told, *asdict(row.counts).values(), *more])
    write_file(path, text.getvalue().encode())


def _cell(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.6f}"


@dataclass(frozen=True)
class Entry:
    """A recipe at a number of labels: its scores, and how it compares with the first recipe.

    Attributes:
        recipe: its name.
        labels: the number of labels, or ``all``.
        region: key of the region.
        score: of the slices, each averaged over seeds; None where no slice has the region.
        seed_means: the mean of each seed.
        against_first: this recipe less the first one, paired over groups; None for the first itself.
        minutes: mean of a training.
        folds: that were held out.
        t_p: of ``against_first``'s paired t-test, corrected (Holm) over the region's recipes and numbers of labels.
        wilcoxon_p: of its signed-rank test, likewise.
    """

    recipe: str
    labels: str
    region: str
    score: Summary | None
    seed_means: Mapping[int, float]
    against_first: Comparison | None
    minutes: float
    folds: tuple[int, ...]
    t_p: float | None = None
    wilcoxon_p: float | None = None


def entries(rows: Sequence[Row], metric: str, convention: Convention) -> list[Entry]:
    """A table of recipes by labels and regions; the first recipe is what the others are compared with."""
    recipes, regions = list(dict.fromkeys(r.trial.recipe for r in rows)), list(dict.fromkeys(r.region for r in rows))
    made = []
    for labels in sorted({row.trial.labels for row in rows}, key=lambda labels: (labels == ALL, labels.zfill(9))):
        for region in regions:
            first: dict[tuple[str, int], tuple[str, float]] = {}
            for recipe in recipes:
                chosen = [r for r in rows if (r.trial.recipe, r.trial.labels, r.region) == (recipe, labels, region)]
                values = values_of(chosen, metric, convention)
                first = first if recipe != recipes[0] else values
                against = None if recipe == recipes[0] else _against(values, first)
                if chosen:
                    made.append(_entry(recipe, labels, region, chosen, values, against))
    return _corrected(made)


def _corrected(made: Sequence[Entry]) -> list[Entry]:
    """The entries with p-values corrected over each region."""
    corrected = list(made)
    for region in {entry.region for entry in made}:
        told = [(n, entry.against_first) for n, entry in enumerate(made) if entry.region == region]
        t_p = holm([None if one is None else one.t_p for _, one in told])
        wilcoxon_p = holm([None if one is None else one.wilcoxon_p for _, one in told])
        for (n, _), t, signed in zip(told, t_p, wilcoxon_p, strict=True):
            corrected[n] = replace(made[n], t_p=t, wilcoxon_p=signed)
    return corrected


def values_of(rows: Sequence[Row], metric: str, convention: Convention) -> dict[tuple[str, int], tuple[str, float]]:
    """(slice, seed) -> (group, value), of the slices that count; the mean over the folds that a slice has rows of."""
    groups: dict[str, str] = {}
    told: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        scored = Scored(row.slice, row.group, row.region, {"fixed": Evidence(row.counts, alone=row.values)})
        for value in sample(metric, [scored], [scored], convention).values:
            groups[row.slice] = row.group
            told.setdefault((row.slice, row.trial.seed), []).append(value)
    return {key: (groups[key[0]], fmean(values)) for key, values in told.items()}


def _against(
    values: Mapping[tuple[str, int], tuple[str, float]], first: Mapping[tuple[str, int], tuple[str, float]]
) -> Comparison | None:
    shared = [key for key in values if key in first]
    if not shared:
        return None
    return compare(
        [values[key][1] for key in shared],
        [first[key][1] for key in shared],
        [values[key][0] for key in shared],
        seeds=[seed for _, seed in shared],
    )


def _entry(
    recipe: str,
    labels: str,
    region: str,
    rows: Sequence[Row],
    values: Mapping[tuple[str, int], tuple[str, float]],
    against: Comparison | None,
) -> Entry:
    by_slice: dict[str, list[tuple[str, float]]] = {}
    by_seed: dict[int, list[float]] = {}
    for (name, seed), (group, value) in values.items():
        by_slice.setdefault(name, []).append((group, value))
        by_seed.setdefault(seed, []).append(value)
    means = [sum(value for _, value in told) / len(told) for told in by_slice.values()]
    groups = [told[0][0] for told in by_slice.values()]
    minutes = {row.trial: row.minutes for row in rows}
    return Entry(
        recipe=recipe,
        labels=labels,
        region=region,
        score=summarise(means, groups) if means else None,
        seed_means={seed: sum(told) / len(told) for seed, told in sorted(by_seed.items())},
        against_first=against,
        minutes=sum(minutes.values()) / len(minutes),
        folds=tuple(sorted({row.trial.fold for row in rows})),
    )


def done(rows: Iterable[Row], wanted: Mapping[Trial, Collection[str]]) -> set[Trial]:
    """Those of the trials that have rows, whatever their recipe is called.

    Args:
        rows: of a file.
        wanted: trial -> slices that it is to be tested on.

    Raises:
        UsageError: a trial's rows are of other slices: another split was used.
    """
    slices: dict[Trial, set[str]] = {}
    for row in rows:
        slices.setdefault(nameless(row.trial), set()).add(row.slice)
    have = {trial for trial in wanted if nameless(trial) in slices}
    for trial in have:
        if slices[nameless(trial)] != set(wanted[trial]):
            raise UsageError(
                f"The results of {trial.recipe} on fold {trial.fold} are of other slices than this split tests there.",
                expected="rows of the same split",
                remedy="Take the split that they were made with, or another file of results.",
            )
    return have


def nameless(trial: Trial) -> Trial:
    """The trial whatever its recipe is called."""
    return replace(trial, recipe="")

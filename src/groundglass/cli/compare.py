"""``groundglass study compare``: folders of predictions against one of truths, and against each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.cli.codes import codes_of
from groundglass.cli.evaluate import Options, score
from groundglass.errors import UsageError
from groundglass.evaluation.evaluator import NO_SIZE, OVERALL, Scores, Target
from groundglass.evaluation.metrics import METRICS
from groundglass.evaluation.pairs import Pair, Source, is_store, label_maps
from groundglass.evaluation.side_by_side import Cell, Table, amounts, most_different, place_of, tables
from groundglass.io import OutputFolder
from groundglass.io.files import shown
from groundglass.labels import UNKNOWN, Region
from groundglass.report.comparison import Content, Shown, differences_csv, latex, markdown, summary_json, table_csv
from groundglass.report.comparison_page import render
from groundglass.report.scores import number, unit_of

MOST_SHOWN: Final = 6


def run_compare(predictions: Sequence[Path], truth: Path, output: Path, options: Options) -> None:
    """Score each folder, compare all with the first, and write tables and a page.

    Args:
        predictions: two or more folders, each a path or ``name=path``.
        truth: of all of them.
        output: folder for table.md, table.csv, table.tex, differences.csv, summary.json and page.html.
        options: as of ``evaluate``.

    Raises:
        GroundglassError: fewer than two methods, two of one name, or whatever keeps one of them from being scored.
    """
    methods = methods_of(predictions)
    sources = _sources(methods, truth, options)
    content = _content({method: score(folder, truth, options) for method, folder in methods.items()}, sources, options)
    with OutputFolder(output) as results:
        for name, make in (
            ("table.md", markdown),
            ("table.csv", table_csv),
            ("table.tex", latex),
            ("differences.csv", differences_csv),
            ("summary.json", summary_json),
            ("page.html", render),
        ):
            results.path(name).write_text(make(content), encoding="utf-8", newline="\n")
    _tell(content)


def methods_of(predictions: Sequence[Path]) -> dict[str, Path]:
    """The methods by name: a folder's own, or what stands before ``=``.

    Raises:
        UsageError: fewer than two, or two of one name.
    """
    methods: dict[str, Path] = {}
    for given in predictions:
        name, _, rest = str(given).partition("=")
        named = bool(name and rest) and "/" not in name and not given.exists()
        folder = Path(rest) if named else given
        name = shown(name if named else folder.resolve().name)
        if name in methods:
            raise UsageError(
                f"Two methods are called {name}.", expected="a name for each", remedy="Name them: NAME=FOLDER."
            )
        methods[name] = folder
    if len(methods) < 2:
        raise UsageError(
            f"{len(methods)} folders of predictions.", expected="two or more", remedy="Use evaluate for a single one."
        )
    return methods


def _sources(methods: Mapping[str, Path], truth: Path, options: Options) -> dict[str, Source]:
    """Where each method's pairs come from; what has no partner is told here, before anything is scored."""
    codes, truth_codes = codes_of(options.codes), codes_of(options.truth_codes)
    sources = {
        method: Source(folder, truth, codes, truth_codes, options.kind == "map", None, options.resize)
        for method, folder in methods.items()
    }
    first = next(iter(methods))
    for method, source in sources.items():
        source.pairs()
        # of a store, predictions may be a part
        strange = sorted(label_maps(source.predictions).keys() ^ label_maps(methods[first]).keys())
        if strange and is_store(truth):
            raise UsageError(
                f"{shown(strange[0])} was predicted by only one of {first} and {method}.",
                expected="the same slices of each method",
                remedy="Add what is missing, or leave the others out.",
            )
    return sources


def _content(scores: Mapping[str, Scores], sources: Mapping[str, Source], options: Options) -> Content:
    one = next(iter(scores.values()))
    made = tables(scores)
    lead = next((target for target in one.setup.targets if target.key == Region.INFECTION.key), one.setup.targets[0])
    files = {scan.name for scan in one.scans}
    return Content(
        methods=tuple(scores),
        images=len({image.name for image in one.images}),
        units={metric: unit_of(metric, one) for metric in one.setup.metrics},
        tables=made,
        amounts=amounts(scores),
        lead=lead.key,
        shown=tuple(
            _read_again(image, *place_of(image, files), numbers, sources, lead, options.threshold)
            for image, numbers in most_different(scores, lead.key, MOST_SHOWN)
        ),
        shown_by=f"{METRICS[one.setup.metrics[0]].title} of {lead.title.lower()}",
        notes=_notes(scores, made),
    )


def _read_again(
    image: str,
    file: str,
    z: int,
    numbers: Mapping[str, float | None],
    sources: Mapping[str, Source],
    target: Target,
    threshold: float,
) -> Shown:
    """A slice of a file, its truth and each method's labels: no more than these is kept."""
    planes: dict[str, NDArray[np.uint8]] = {}
    for method, source in sources.items():
        pair = _pair(source, file)
        truth, step = pair.truth[z].copy(), (pair.spacing_mm or (1.0, 1.0, 1.0))[1:]
        planes[method] = _labels(pair, z, target, threshold)
    return Shown(shown(image), numbers, truth, planes, step)


def _pair(source: Source, file: str) -> Pair:
    found = label_maps(source.predictions)
    prediction = found[file] if file in found else next(iter(found.values()))  # one of another name, with one truth
    truth = source.truth if is_store(source.truth) else label_maps(source.truth)[file]
    alone = Source(prediction, truth, source.codes, source.truth_codes, source.maps, None, source.resize)
    return next(alone.pairs())


def _labels(pair: Pair, z: int, target: Target, threshold: float) -> NDArray[np.uint8]:
    """The label sets of a slice; of a map, what lies above the threshold."""
    if pair.labels is None:
        above = np.asarray(pair.scores)[z] > threshold
        return np.where(above, int(target.tissues), int(UNKNOWN & ~target.tissues)).astype(np.uint8)
    sets: NDArray[np.uint8] = pair.labels[z].copy()
    return sets


def _notes(scores: Mapping[str, Scores], made: Sequence[Table]) -> tuple[str, ...]:
    """What has to be known of the numbers: each note once, and none that another one contains."""
    notes = [note if note == NO_SIZE else f"{method}: {note}" for method, one in scores.items() for note in one.notes]
    columns = [column for table in made for column in table.columns]
    for cell in (cell for column in columns for cell in column.cells):
        notes += [cell.mean.note, cell.difference.note if cell.difference else ""]
    if any(table.region == OVERALL for table in made):
        notes.append("The mean over classes is a mean of n means, not of images: no interval, no test.")
    if any(column.number is None for column in columns):
        notes.append("Where n differs, means are of different images; differences are of those that both have.")
    unique = list(dict.fromkeys(note for note in notes if note))
    return tuple(note for note in unique if not any(note != other and note in other for other in unique))


def _tell(content: Content) -> None:
    """A line for each number, its difference from the first method behind it."""
    for table in content.tables:
        for column in table.columns:
            unit = f" {content.units[column.metric]}".rstrip()
            for cell in column.cells:
                what = f"{table.region} {column.metric}, {column.convention}"
                told = f"{cell.method} {number(cell.mean.mean)}{unit} (n = {cell.mean.n})"
                sys.stdout.write(f"{what}: {told}{_against(cell, content.methods[0])}\n")
    for note in content.notes:
        sys.stderr.write(f"note: {note}\n")


def _against(cell: Cell, first: str) -> str:
    if cell.difference is None:
        return ""
    p = "" if cell.t_p is None else f", corrected p = {cell.t_p:.2g}"
    return f"; {cell.difference.mean_difference:+.3f} against {first}{p}"

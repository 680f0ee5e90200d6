"""``groundglass evaluate``: label maps against true ones, under named conventions."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.overlap import CONVENTIONS, METRICS, Counts, average, count
from groundglass.io import OutputFolder
from groundglass.io.label_maps import read_label_map
from groundglass.labels import Region, Tissue, inside, outside, sets_from_codes

SUFFIXES: Final = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".png")
DEFAULT_CODES: Final = "0=background,1=lung,2=ground_glass,3=consolidation"
Table = Mapping[int, Tissue]


def run_evaluate(predictions: Path, truth: Path, output: Path, codes: str, truth_codes: str) -> None:
    """Score label maps that are matched by stem; write a row for each and region, and the means.

    Args:
        predictions: a folder of label maps, or one.
        truth: the same, with the same stems.
        output: folder for ``scores.csv`` and ``summary.json``.
        codes: what the predictions' codes mean, ``code=tissue|tissue,...``.
        truth_codes: what the truth's codes mean.

    Raises:
        GroundglassError: nothing to compare, partners missing, other shapes, unknown codes.
    """
    tables = _table(codes), _table(truth_codes)
    pairs = _pairs(_label_maps(predictions), _label_maps(truth))
    counts: dict[tuple[str, Region], Counts] = {}
    with OutputFolder(output) as results:
        for stem, (found, true) in pairs.items():
            for region, pixels in _compare(stem, read_label_map(found), read_label_map(true), tables).items():
                counts[stem, region] = pixels
        results.path("scores.csv").write_text(_scores(counts), encoding="utf-8", newline="\n")
        summary = _summary(counts)
        results.path("summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _tell(summary)


def _table(text: str) -> Table:
    """``0=background|lung,1=ground_glass`` as a table from code to tissues."""
    table: dict[int, Tissue] = {}
    for entry in text.split(","):
        code, _, names = entry.partition("=")
        try:
            tissue = Tissue(0)
            for name in names.split("|"):
                tissue |= Tissue[name.strip().upper().replace("-", "_")]
            table[int(code)] = tissue
        except (KeyError, ValueError):
            raise UsageError(
                f"{entry.strip()!r} says no code's meaning.",
                expected=f"CODE=TISSUE|TISSUE with {', '.join(t.name.lower() for t in Tissue if t.name)}",
                remedy=f"For instance: {DEFAULT_CODES}",
            ) from None
    return table


def _label_maps(path: Path) -> dict[str, Path]:
    """Label maps of a folder by their stems, or the one that is given."""
    if not path.exists():
        raise UsageError(
            f"There is nothing at {path.name}.", expected="a label map or a folder of them", remedy="Check the path."
        )
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    maps: dict[str, Path] = {}
    for file in files:
        stem = next((file.name.removesuffix(end) for end in SUFFIXES if file.name.endswith(end)), file.stem)
        if stem in maps:
            raise UsageError(
                f"Two label maps are called {stem}.", expected="one of each name", remedy="Remove one of them."
            )
        maps[stem] = file
    if not maps:
        raise UsageError(
            f"There is no label map in {path.name}.", expected=f"files that end in {', '.join(SUFFIXES)}",
            remedy="Check the folder.",
        )  # fmt: skip
    return maps


def _pairs(found: dict[str, Path], true: dict[str, Path]) -> dict[str, tuple[Path, Path]]:
    if len(found) == len(true) == 1:
        return {next(iter(true)): (next(iter(found.values())), next(iter(true.values())))}
    lonely = sorted(found.keys() ^ true.keys())
    if lonely:
        raise UsageError(
            f"{len(lonely)} label maps have no partner, the first is {lonely[0]}.",
            expected="the same stems in both folders",
            remedy="Add what is missing, or leave the others out.",
        )
    return {stem: (found[stem], true[stem]) for stem in sorted(true)}


def _compare(
    stem: str, found: NDArray[np.integer[Any]], true: NDArray[np.integer[Any]], tables: tuple[Table, Table]
) -> dict[Region, Counts]:
    """Counts for each region that the truth's codes can tell from the rest."""
    if found.shape != true.shape:
        raise LabelError(
            f"{stem}: the prediction has shape {found.shape}, the truth {true.shape}.",
            expected="the same grid",
            remedy="Resample one of them to the other's grid first.",
        )
    try:
        predicted, known = sets_from_codes(found, tables[0]), sets_from_codes(true, tables[1])
    except LabelError as error:
        raise LabelError(f"{stem}: {error.found}", expected=error.expected, remedy=error.remedy) from None
    regions = [region for region in Region if all(_tells(table, region) for table in tables)]
    return {
        region: count(inside(predicted, region), inside(known, region), inside(known, region) | outside(known, region))
        for region in regions
    }


def _tells(table: Table, region: Region) -> bool:
    """Whether some code lies within a region and some outside of it: else nothing can be said of it."""
    within = any(not tissue & ~region.value for tissue in table.values())
    return within and any(not tissue & region.value for tissue in table.values())


def _scores(counts: Mapping[tuple[str, Region], Counts]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "region", *METRICS, "both", "found_only", "true_only", "neither"])
    for (stem, region), pixels in counts.items():
        values = ["" if (value := metric(pixels)) is None else round(value, 6) for metric in METRICS.values()]
        writer.writerow([stem, region.key, *values, pixels.both, pixels.found_only, pixels.true_only, pixels.neither])
    return text.getvalue()


def _summary(counts: Mapping[tuple[str, Region], Counts]) -> dict[str, Any]:
    """Region -> metric -> convention -> mean and the number of images."""
    regions = list(dict.fromkeys(region for _, region in counts))
    images: dict[Region, Sequence[Counts]] = {
        region: [pixels for (_, other), pixels in counts.items() if other is region] for region in regions
    }
    return {
        region.key: {
            metric: {
                convention: {
                    "mean": average(metric, images[region], convention),
                    "n": sum(1 for c in images[region] if convention != "present" or c.both + c.true_only),
                }
                for convention in CONVENTIONS
            }
            for metric in METRICS
        }
        for region in regions
    }


def _tell(summary: Mapping[str, Any]) -> None:
    for region, metrics in summary.items():
        for convention in CONVENTIONS:
            values = {metric: metrics[metric][convention] for metric in METRICS}
            words = ", ".join(
                f"{metric} {'-' if value['mean'] is None else format(value['mean'], '.3f')}"
                for metric, value in values.items()
            )
            sys.stdout.write(f"{region} ({convention}, n = {values['dice']['n']}): {words}\n")

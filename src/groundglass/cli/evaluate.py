"""``groundglass evaluate``: predictions against truths, under named conventions."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from groundglass.cli.codes import codes_of
from groundglass.cli.phases import Phases
from groundglass.errors import UsageError
from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.evaluator import Mean, Scores, Setup, evaluate, summary_of, targets_of
from groundglass.evaluation.metrics import METRICS, value
from groundglass.evaluation.pairs import DEFAULT_CODES, Source, label_maps, read_groups, truth_table
from groundglass.io import OutputFolder
from groundglass.report.scores import markdown, number, unit_of

KINDS: Final = ("labels", "map")
DEFAULT_METRICS: Final = ("dice", "iou", "precision", "recall")
Summary = Mapping[str, Mapping[str, Mapping[str, Mean]]]


@dataclass(frozen=True)
class Options:
    """What ``evaluate`` was called with, but the folders."""

    kind: str = "labels"
    codes: str = DEFAULT_CODES
    truth_codes: str = DEFAULT_CODES
    regions: Sequence[str] = ()
    conventions: Sequence[str] = ()
    metrics: Sequence[str] = ()
    groups: Path | None = None
    threshold: float = 0.5
    resize: bool = True
    quiet: bool = False


def run_evaluate(predictions: Path, truth: Path, output: Path, options: Options) -> None:
    """Score predictions that are matched by stem; write a row for each image, region and metric, and the means.

    Raises:
        GroundglassError: the options cannot be right, nothing to compare, partners missing, other shapes, unknown
            codes.
    """
    scores = score(predictions, truth, options)
    summary = summary_of(scores)
    with OutputFolder(output) as results:
        results.path("scores.csv").write_text(_rows(scores), encoding="utf-8", newline="\n")
        results.path("summary.json").write_text(_json(summary), encoding="utf-8", newline="\n")
        results.path("table.md").write_text(markdown(scores, summary), encoding="utf-8", newline="\n")
    _tell(scores, summary)


def score(predictions: Path, truth: Path, options: Options) -> Scores:
    """The scores of a folder of predictions."""
    source, setup = _source(predictions, truth, options), _setup(options, truth)
    with Phases(options.quiet) as phases:
        phases.begin("scoring")
        count = len(label_maps(predictions))
        return evaluate(source.pairs(), setup, lambda done: phases.advance(done / count))


def _source(predictions: Path, truth: Path, options: Options) -> Source:
    if options.kind not in KINDS:
        raise UsageError(
            f"There is no kind of prediction {options.kind!r}.", expected=" or ".join(KINDS), remedy="Choose one."
        )
    return Source(
        predictions=predictions,
        truth=truth,
        codes=codes_of(options.codes),
        truth_codes=codes_of(options.truth_codes),
        maps=options.kind == "map",
        groups=None if options.groups is None else read_groups(options.groups),
        resize=options.resize,
    )


def _setup(options: Options, truth: Path) -> Setup:
    conventions = tuple(Convention.parse(text) for text in options.conventions or ("present",))
    for metric in options.metrics:
        if metric not in METRICS:
            raise UsageError(
                f"There is no metric {metric!r}.",
                expected=f"one of {', '.join(METRICS)}",
                remedy="Choose one of these.",
            )
    maps = options.kind == "map"
    if not maps and any(METRICS[metric].kind == "map" for metric in options.metrics):
        raise UsageError(
            "A metric of maps is asked for of label maps.", expected="--prediction-kind map", remedy="Give maps."
        )
    if not maps and any(convention.cut != "fixed" for convention in conventions):
        raise UsageError(
            "A convention for maps is asked for of label maps.", expected="--prediction-kind map", remedy="Give maps."
        )
    if maps and len(options.regions) != 1:
        raise UsageError(
            f"{len(options.regions)} regions for maps.", expected="one: a map is of one region",
            remedy="For instance: --region infection",
        )  # fmt: skip
    if not 0 <= options.threshold < 1:
        raise UsageError(f"A threshold of {options.threshold:g}.", expected="0 to below 1", remedy="For instance: 0.5")
    asked = tuple(dict.fromkeys(options.regions))
    tables = [truth_table(truth, codes_of(options.truth_codes))]
    if not maps:
        tables.append(codes_of(options.codes))
    targets = targets_of(tables, asked)
    if any(convention.background for convention in conventions) and not maps and not asked:
        targets += targets_of(tables, ("background",))
    return Setup(targets, tuple(dict.fromkeys(options.metrics)) or DEFAULT_METRICS, conventions, options.threshold)


def _rows(scores: Scores) -> str:
    """A row for each image, region, way of cutting and metric; no value where it is 0/0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "group", "region", "cut", "metric", "value", "in_truth", "in_prediction"])
    for image in scores.images:
        for cut, evidence in image.evidence.items():
            for metric in scores.setup.metrics:
                found = value(metric, evidence)
                cell = "" if found is None else f"{found:.6g}"
                told = [image.name, image.group, image.region, cut, metric, cell]
                writer.writerow([*told, int(evidence.present), int(evidence.found)])
    return text.getvalue()


def _json(summary: Summary) -> str:
    """Region -> metric -> convention -> {mean, ci_low, ci_high, sd, n, note}."""
    plain: dict[str, Any] = {
        region: {
            metric: {convention: asdict(mean) for convention, mean in conventions.items()}
            for metric, conventions in metrics.items()
        }
        for region, metrics in summary.items()
    }
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _tell(scores: Scores, summary: Summary) -> None:
    """Each number that was asked for, and beside it how far the other conventions lie."""
    asked = [convention.name for convention in scores.setup.conventions]
    for region, metrics in summary.items():
        for metric, means in metrics.items():
            unit = unit_of(metric, scores)
            for name in asked:
                sys.stdout.write(f"{region} {metric}: {_words(means[name], unit)}, {name}{_others(means, name)}\n")
    for note in dict.fromkeys([*scores.notes, *(mean.note for mean in _all(summary) if mean.note)]):
        sys.stderr.write(f"note: {note}\n")


def _all(summary: Summary) -> list[Mean]:
    return [mean for metrics in summary.values() for means in metrics.values() for mean in means.values()]


def _words(mean: Mean, unit: str) -> str:
    between = "" if mean.ci_low is None or mean.ci_high is None else f" [{number(mean.ci_low)}, {number(mean.ci_high)}]"
    return f"{number(mean.mean)}{' ' + unit if unit else ''}{between} (n = {mean.n})"


def _others(means: Mapping[str, Mean], asked: str) -> str:
    others = [(mean.mean, name) for name, mean in means.items() if name != asked and mean.mean is not None]
    if not others:
        return ""
    low, high = min(others), max(others)
    if low[0] == high[0]:
        return f"; other conventions {number(low[0])}"
    return f"; other conventions {number(low[0])} ({low[1]}) to {number(high[0])} ({high[1]})"

"""Pairs of predictions and truths to scores of each image, and these to a summary under named conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import UsageError
from groundglass.evaluation.conventions import RULES, Convention, Cut, Scored, sample
from groundglass.evaluation.curves import adaptive_threshold, stretch
from groundglass.evaluation.metrics import METRICS, Evidence, examine, examine_curve
from groundglass.evaluation.pairs import Pair, Table
from groundglass.evaluation.statistics import Summary, summarise
from groundglass.labels import UNKNOWN, Region, Tissue, inside, outside

OVERALL: Final = "overall"
NO_SIZE: Final = "Pictures have no pixel size: what is in mm is in pixels for them, and they have no volume."
CLASSES: Final = (Region.GROUND_GLASS, Region.CONSOLIDATION)


@dataclass(frozen=True)
class Target:
    """What is scored: a set of tissues with a name."""

    key: str
    title: str
    tissues: Tissue


@dataclass(frozen=True)
class Setup:
    """What is asked.

    Attributes:
        targets: the regions.
        metrics: by name.
        conventions: the ones asked for; the others are computed beside them.
        threshold: above which a map is the region.
    """

    targets: tuple[Target, ...]
    metrics: tuple[str, ...]
    conventions: tuple[Convention, ...]
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class Scores:
    """What an evaluation found.

    Attributes:
        setup: what was asked.
        images: one for each image (slice) and region.
        scans: one for each file and region, in three dimensions.
        notes: what has to be known of the numbers.
    """

    setup: Setup
    images: tuple[Scored, ...]
    scans: tuple[Scored, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Mean:
    """A number with how sure it is; ``mean`` is None where there is nothing to average."""

    mean: float | None
    n: int
    sd: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    note: str = ""


def targets_of(tables: Sequence[Table], asked: Sequence[str]) -> tuple[Target, ...]:
    """The regions that all tables of codes tell from the rest, or those of them that are asked for.

    Where both lesion classes are told, what is neither is a target too: ``background``.

    Raises:
        UsageError: none, or one is asked for that there is none of, or that the codes do not tell.
    """
    known = {region.key: Target(region.key, region.title, Tissue(region.value)) for region in Region}
    rest = UNKNOWN
    for region in CLASSES:
        rest &= ~region.value
    known["background"] = Target("background", "Background and healthy lung", rest)
    told = {key: target for key, target in known.items() if all(_tells(table, target.tissues) for table in tables)}
    for key in asked:
        if key not in told:
            raise UsageError(
                f"The region {key!r} is none that the codes tell from the rest.",
                expected=f"one of {', '.join(told)}",
                remedy="Choose one of these, or correct the tables of codes.",
            )
    chosen = tuple(told[key] for key in asked) or tuple(t for key, t in told.items() if key != "background")
    if not chosen:
        raise UsageError(
            "The codes tell no region from the rest.",
            expected="codes for a region and for what is outside of it",
            remedy="Correct the tables of codes.",
        )
    return chosen


def _tells(table: Table, tissues: Tissue) -> bool:
    """Whether some code lies within a region and some outside of it: else nothing can be said of it."""
    return any(not tissue & ~tissues for tissue in table.values()) and any(
        not tissue & tissues for tissue in table.values()
    )


def evaluate(pairs: Iterable[Pair], setup: Setup, on_pair: Callable[[int], object] = int) -> Scores:
    """Score pairs, one at a time; only counts and sums are kept.

    Args:
        pairs: what to compare.
        setup: what is asked.
        on_pair: called with the number of pairs that are done.
    """
    images: list[Scored] = []
    scans: list[Scored] = []
    notes: dict[str, None] = {}
    for number, pair in enumerate(pairs, 1):
        if pair.resized:
            notes["Some predictions had another size and were resized to the truth's."] = None
        if pair.spacing_mm is None and any(METRICS[name].kind in ("surface", "volume") for name in setup.metrics):
            notes[NO_SIZE] = None
        cuts = _cuts(pair, setup)
        for target in setup.targets:
            images += _slices(pair, target, setup, cuts)
            scans.append(_scan(pair, target, setup, cuts, images[-len(pair.truth) :]))
        on_pair(number)
    return Scores(setup, tuple(images), tuple(scans), tuple(notes))


def _cuts(pair: Pair, setup: Setup) -> tuple[Cut, ...]:
    if pair.scores is None:
        return ("fixed",)
    asked: list[Cut] = ["fixed", *(convention.cut for convention in setup.conventions)]
    return tuple(dict.fromkeys(asked))


def _slices(pair: Pair, target: Target, setup: Setup, cuts: Sequence[Cut]) -> list[Scored]:
    many = len(pair.truth) > 1
    scored = []
    for z in range(len(pair.truth)):
        evidence = {cut: _evidence(pair, target, setup, cut, z) for cut in cuts}
        scored.append(Scored(f"{pair.name}#{z + 1}" if many else pair.name, pair.group, target.key, evidence))
    return scored


def _scan(pair: Pair, target: Target, setup: Setup, cuts: Sequence[Cut], slices: Sequence[Scored]) -> Scored:
    """The file as a whole: distances and lesions are measured anew in three dimensions if asked for."""
    if len(slices) == 1 or not any(convention.rule == "volume" for convention in setup.conventions):
        pooled = slices[0].evidence if len(slices) == 1 else {}
        return Scored(pair.name, pair.group, target.key, pooled)
    evidence: dict[Cut, Evidence] = {cut: _evidence(pair, target, setup, cut) for cut in cuts if cut != "curve"}
    return Scored(pair.name, pair.group, target.key, evidence)


def _evidence(pair: Pair, target: Target, setup: Setup, cut: Cut, z: int | None = None) -> Evidence:
    """Of one slice, or of all of them as one body."""
    place = slice(None) if z is None else z
    true = inside(pair.truth[place], target.tissues)
    known = true | outside(pair.truth[place], target.tissues)
    if pair.labels is not None:
        return examine(inside(pair.labels[place], target.tissues), true, known, setup.metrics, pair.spacing_mm)
    if pair.scores is None:
        raise ValueError("a pair without a prediction")
    scores: NDArray[np.float32] = pair.scores[place]
    if cut == "curve":
        return examine_curve(scores, true, known)
    if cut == "fixed":
        found = scores > setup.threshold
    else:
        found = stretch(scores, known) >= (adaptive_threshold(scores, known) or 0.0)
    return examine(found, true, known, setup.metrics, pair.spacing_mm, scores)


def conventions_beside(asked: Sequence[Convention]) -> tuple[Convention, ...]:
    """The conventions asked for, then all other rules with the first one's cut."""
    first = asked[0]
    rules = [rule for rule in RULES if first.cut != "curve" or rule not in ("pooled", "patient", "volume")]
    others = [Convention(rule, first.cut, first.background) for rule in rules if rule != "volume"]
    return tuple(dict.fromkeys([*asked, *others]))


def summary_of(scores: Scores) -> dict[str, dict[str, dict[str, Mean]]]:
    """Region -> metric -> convention -> mean; intervals for the conventions that were asked for.

    Where both lesion classes were scored there is an ``overall`` region too: the mean over the classes, with
    background where the convention says so.
    """
    setup = scores.setup
    table: dict[str, dict[str, dict[str, Mean]]] = {}
    for target in setup.targets:
        images, scans = ([one for one in part if one.region == target.key] for part in (scores.images, scores.scans))
        table[target.key] = {
            metric: {
                convention.name: _mean(metric, images, scans, convention, convention in setup.conventions)
                for convention in conventions_beside(setup.conventions)
            }
            for metric in setup.metrics
        }
    if all(region.key in table for region in CLASSES):
        table[OVERALL] = {metric: _overall(metric, table, setup) for metric in setup.metrics}
    return table


def _mean(metric: str, images: Sequence[Scored], scans: Sequence[Scored], convention: Convention, sure: bool) -> Mean:
    drawn = sample(metric, images, scans, convention)
    if not drawn.values:
        return Mean(None, 0)
    if not sure or convention.rule == "pooled":
        return Mean(drawn.mean, len(drawn.values))
    # slices of one file belong together whatever is said of groups
    known = any(image.group != image.name for image in images)
    summary: Summary = summarise(drawn.values, drawn.groups if known or convention.rule == "patient" else None)
    return Mean(summary.mean, summary.n, summary.sd, summary.ci_low, summary.ci_high, summary.note)


def _overall(metric: str, table: Mapping[str, Any], setup: Setup) -> dict[str, Mean]:
    means: dict[str, Mean] = {}
    for convention in conventions_beside(setup.conventions):
        keys = [region.key for region in CLASSES]
        if convention.background:
            keys.append("background")
        parts = [table[key][metric][convention.name].mean for key in keys if key in table]
        numbers = [part for part in parts if part is not None]
        whole = len(numbers) == len(keys)
        means[convention.name] = Mean(sum(numbers) / len(numbers) if whole else None, len(numbers))
    return means

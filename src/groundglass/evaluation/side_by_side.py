"""Methods side by side: the same images scored for each, every method compared with the first.

Pairs are groups (patients where given, else files), never slices; p-values are corrected over a region's table. What a
convention averages is paired by name, so a metric that has no number for some image of a method is compared on the
images that both have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from groundglass.evaluation.conventions import PER_IMAGE, Convention, Scored, sample
from groundglass.evaluation.evaluator import OVERALL, Mean, Scores, summary_of
from groundglass.evaluation.metrics import METRICS
from groundglass.evaluation.statistics import Comparison, compare, holm

SHOWN_DIGITS: Final = 3  # of a mean in a table: what looks the same is the same
Items = Mapping[str, tuple[float, str]]  # name -> number and group
Summary = Mapping[str, Mapping[str, Mapping[str, Mean]]]  # region -> metric -> convention, see summary_of


@dataclass(frozen=True)
class Cell:
    """A method's number, and how it differs from the first method's.

    Attributes:
        method: its name.
        mean: under the column's convention.
        best: whether no other method shows a better one, and one a worse.
        values: that the mean is of.
        difference: less the first method; None for itself, and where no item has a number of both.
        t_p: of the paired t-test, corrected over the table; None where nothing was tested.
        wilcoxon_p: of the signed-rank test, likewise.
    """

    method: str
    mean: Mean
    best: bool
    values: tuple[float, ...]
    difference: Comparison | None = None
    t_p: float | None = None
    wilcoxon_p: float | None = None


@dataclass(frozen=True)
class Column:
    """A metric under a convention, by name, and a cell for each method."""

    metric: str
    convention: str
    cells: tuple[Cell, ...]

    @property
    def number(self) -> int | None:
        """How many values each mean is of; None where methods differ in it."""
        numbers = {cell.mean.n for cell in self.cells}
        return numbers.pop() if len(numbers) == 1 else None


@dataclass(frozen=True)
class Table:
    """What was scored in a region: its key, its title, and a column for each metric and convention."""

    region: str
    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Amounts:
    """How much of a region each method found, and how much there is: one of each a file, in a unit."""

    title: str
    unit: str
    of_method: Mapping[str, tuple[Sequence[float], Sequence[float]]]


def tables(scores: Mapping[str, Scores]) -> tuple[Table, ...]:
    """A table for each region, and one for the mean over classes where both were scored.

    Args:
        scores: of each method, of the same images under the same setup; the others are compared with the first.
    """
    summaries = {method: summary_of(scored) for method, scored in scores.items()}
    first = next(iter(scores))
    titles = {**{target.key: target.title for target in scores[first].setup.targets}, OVERALL: "Mean over classes"}
    return tuple(_table(region, titles[region], scores, summaries) for region in summaries[first])


def _table(region: str, title: str, scores: Mapping[str, Scores], summaries: Mapping[str, Summary]) -> Table:
    first, *others = scores
    setup = scores[first].setup
    asked = [(metric, convention) for metric in setup.metrics for convention in setup.conventions]
    drawn = {(*one, method): items(scores[method], region, *one) for one in asked for method in scores}
    told = {(*one, method): difference(drawn[*one, method], drawn[*one, first]) for one in asked for method in others}
    t_p = dict(zip(told, holm([None if one is None else one.t_p for one in told.values()]), strict=True))
    signed = dict(zip(told, holm([None if one is None else one.wilcoxon_p for one in told.values()]), strict=True))
    columns = []
    for metric, convention in asked:
        means = {method: summaries[method][region][metric][convention.name] for method in scores}
        best = best_of(metric, {method: mean.mean for method, mean in means.items()})
        cells = []
        for method, mean in means.items():
            key = metric, convention, method
            values = tuple(value for value, _ in drawn[key].values())
            cells.append(Cell(method, mean, method in best, values, told.get(key), t_p.get(key), signed.get(key)))
        columns.append(Column(metric, convention.name, tuple(cells)))
    return Table(region, title, tuple(columns))


def items(scores: Scores, region: str, metric: str, convention: Convention) -> Items:
    """What a convention averages, by name: images, scans, groups, or all as one."""
    images, scans = ([one for one in part if one.region == region] for part in (scores.images, scores.scans))
    units: dict[str, tuple[list[Scored], list[Scored]]] = {}
    if convention.rule == "volume":
        units = {scan.name: ([], [scan]) for scan in scans}
    elif convention.rule in PER_IMAGE:
        units = {image.name: ([image], []) for image in images}
    else:
        for image in images:
            units.setdefault(image.group if convention.rule == "patient" else "all", ([], []))[0].append(image)
    drawn = {name: sample(metric, *unit, convention) for name, unit in units.items()}
    return {name: (one.values[0], one.groups[0]) for name, one in drawn.items() if one.values}


def difference(method: Items, first: Items) -> Comparison | None:
    """A method less the first, over what both have a number for; None if there is nothing."""
    both = [name for name in method if name in first]
    if not both:
        return None
    found, other = ([part[name][0] for name in both] for part in (method, first))
    return compare(found, other, [method[name][1] for name in both])


def best_of(metric: str, means: Mapping[str, float | None]) -> set[str]:
    """The methods that show the best number; none where all show the same."""
    better = METRICS[metric].better
    ranks = {method: round(mean, SHOWN_DIGITS) for method, mean in means.items() if mean is not None}
    if better != "low":
        ranks = {method: abs(rank) if better == "zero" else -rank for method, rank in ranks.items()}
    best = {method for method, rank in ranks.items() if rank == min(ranks.values())}
    return best if len(best) < len(ranks) else set()


def amounts(scores: Mapping[str, Scores]) -> tuple[Amounts, ...]:
    """Found and true in each file and region: mL where all files tell the size of a voxel, else % of known pixels."""
    setup = next(iter(scores.values())).setup
    return tuple(_amounts(target.key, target.title, scores) for target in setup.targets)


def _amounts(region: str, title: str, scores: Mapping[str, Scores]) -> Amounts:
    files = {method: _by_file(scored, region) for method, scored in scores.items()}
    images = [image for parts in files.values() for part in parts for image in part]
    sized = all(image.evidence["fixed"].volumes_ml is not None for image in images)
    pairs = {method: [(_volumes if sized else _percent)(part) for part in parts] for method, parts in files.items()}
    return Amounts(
        title,
        "mL" if sized else "% of the pixels",
        {method: ([found for found, _ in told], [true for _, true in told]) for method, told in pairs.items()},
    )


def _volumes(images: Sequence[Scored]) -> tuple[float, float]:
    volumes = [image.evidence["fixed"].volumes_ml or (0.0, 0.0) for image in images]
    return sum(found for found, _ in volumes), sum(true for _, true in volumes)


def _percent(images: Sequence[Scored]) -> tuple[float, float]:
    counts = [image.evidence["fixed"].overlap for image in images]
    known = sum(one.both + one.found_only + one.true_only + one.neither for one in counts)
    found, true = sum(one.both + one.found_only for one in counts), sum(one.both + one.true_only for one in counts)
    return (100 * found / known, 100 * true / known) if known else (0.0, 0.0)


def _by_file(scores: Scores, region: str) -> list[list[Scored]]:
    names = {scan.name for scan in scores.scans}
    files: dict[str, list[Scored]] = {}
    for image in scores.images:
        if image.region == region:
            files.setdefault(place_of(image.name, names)[0], []).append(image)
    return list(files.values())


def place_of(image: str, files: Collection[str]) -> tuple[str, int]:
    """The file of an image, and which of its slices it is, from 0."""
    if image in files:
        return image, 0
    file, _, number = image.rpartition("#")
    return file, int(number) - 1


def most_different(
    scores: Mapping[str, Scores], region: str, number: int
) -> tuple[tuple[str, Mapping[str, float | None]], ...]:
    """The images whose numbers of the first metric lie furthest apart, furthest first, with each method's number.

    A share is 1 where a region is rightly empty, so that one who found what is not there is seen too. Maps count as
    they are drawn: cut at the threshold.
    """
    setup = next(iter(scores.values())).setup
    metric = setup.metrics[0]
    rule = Convention("empty-one" if METRICS[metric].is_share else "present")
    drawn = {method: items(scored, region, metric, rule) for method, scored in scores.items()}
    values: dict[str, list[float]] = {}
    for told in drawn.values():
        for image, (value, _) in told.items():
            values.setdefault(image, []).append(value)
    apart = {image: max(them) - min(them) for image, them in values.items()}
    chosen = sorted((image for image in apart if apart[image] > 0), key=lambda image: -apart[image])[:number]
    return tuple(
        (image, {method: told[image][0] if image in told else None for method, told in drawn.items()})
        for image in chosen
    )

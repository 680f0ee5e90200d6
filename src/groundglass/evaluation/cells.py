"""A cell of a table: a recipe's metric on a region, or its mean over several, and how it differs from another recipe's.

| in SSInfNet | here |
|---|---|
| eq. 12, mean over images, those of 0/0 left out | ``cell`` under the convention ``defined`` |
| eq. 13, 1.96 standard errors (in StitchNet: the population's standard deviation) | ``margin`` |
| "overall": mean over background, ground glass and consolidation, the errors' mean beside it | several regions |
| t-test, Wilcoxon | ``difference``, paired over groups (ours), never over slices |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, pstdev, stdev

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.published import Measured, Paper, Row, Spread, Table
from groundglass.evaluation.statistics import Comparison, compare
from groundglass.evaluation.trials import Row as Scored
from groundglass.evaluation.trials import values_of


@dataclass(frozen=True)
class Cell:
    """A number.

    Attributes:
        mean: over regions, of the mean over slices, each averaged over seeds.
        margin: mean over regions of 1.96 standard errors over slices, or of their deviation; None where a region has
            one slice only.
        seeds: sample standard deviation, over seeds, of a seed's own mean; None of one seed.
    """

    mean: float
    margin: float | None
    seeds: float | None


@dataclass(frozen=True)
class Told:
    """A row with our numbers.

    Attributes:
        row: as printed.
        cells: a cell a column; None where the recipe has none.
        differences: from the recipe that the row is compared with, likewise.
        slices: that were scored for the first column, and their groups.
    """

    row: Row
    cells: tuple[Cell | None, ...]
    differences: tuple[Comparison | None, ...]
    slices: tuple[int, int]


def tell(
    paper: Paper, table: Table, held_out: Mapping[str, Sequence[Scored]], trained: Mapping[str, Sequence[Scored]]
) -> list[Told]:
    """The rows of a table with our numbers.

    Args:
        paper: of the table.
        table: which.
        held_out: name of a recipe -> rows of its trials.
        trained: likewise, of slices that were trained on.
    """
    convention = Convention.parse(paper.convention)
    columns = paper.measured_of(table)

    def rows_of(recipe: str | None, column: Measured) -> list[Scored]:
        name = recipe or ""
        kinds = {"held_out": (held_out,), "trained": (trained,), "both": (held_out, trained)}
        return [row for kind in kinds[column.slices or table.slices] for row in kind.get(name, ())]

    def against(row: Row, column: Measured) -> Comparison | None:
        if row.against is None or row.recipe is None:
            return None
        return difference(rows_of(row.recipe, column), rows_of(row.against, column), column, convention)

    return [
        Told(
            row,
            tuple(cell(rows_of(row.recipe, column), column, convention, paper.spread) for column in columns),
            tuple(against(row, column) for column in columns),
            _slices(rows_of(row.recipe, columns[0]), columns[0], convention),
        )
        for row in table.row
    ]


def _slices(rows: Sequence[Scored], column: Measured, convention: Convention) -> tuple[int, int]:
    """Slices, and their groups, that count for any of the column's regions under the convention."""
    names, groups = set[str](), set[str]()
    for region in column.regions:
        values = values_of([row for row in rows if row.region == region], column.metric, convention)
        names |= {name for name, _ in values}
        groups |= {group for group, _ in values.values()}
    return len(names), len(groups)


def cell(rows: Sequence[Scored], column: Measured, convention: Convention, spread: Spread = "errors") -> Cell | None:
    """The number of a recipe in a column; None where no slice counts for one of its regions."""
    told = [_region(rows, region, column.metric, convention, spread) for region in column.regions]
    known = [one for one in told if one is not None]
    if len(known) < len(told):  # a mean over the others would be another number
        return None
    margins = [one.margin for one in known if one.margin is not None]
    return Cell(
        mean=fmean(one.mean for one in known),
        margin=fmean(margins) if len(margins) == len(known) else None,
        seeds=_over_seeds(rows, column, convention),
    )


def _region(rows: Sequence[Scored], region: str, metric: str, convention: Convention, spread: Spread) -> Cell | None:
    values = values_of([row for row in rows if row.region == region], metric, convention)
    by_slice: dict[str, list[float]] = {}
    for (name, _), (_, value) in values.items():
        by_slice.setdefault(name, []).append(value)
    if not by_slice:
        return None
    means = [fmean(told) for told in by_slice.values()]
    if len(means) < 2:
        return Cell(fmean(means), None, None)
    return Cell(fmean(means), pstdev(means) if spread == "deviation" else 1.96 * stdev(means) / sqrt(len(means)), None)


def _over_seeds(rows: Sequence[Scored], column: Measured, convention: Convention) -> float | None:
    seeds = sorted({row.trial.seed for row in rows})
    if len(seeds) < 2:
        return None
    own = [cell([row for row in rows if row.trial.seed == seed], column, convention) for seed in seeds]
    means = [one.mean for one in own if one is not None]
    return stdev(means) if len(means) == len(seeds) else None


def difference(
    rows: Sequence[Scored], others: Sequence[Scored], column: Measured, convention: Convention
) -> Comparison | None:
    """The first rows less the others, a pair a group: means over its regions, of slices and seeds that both have.

    A group that has not every region is compared on those it has. None where nothing is in both.
    """
    ours: dict[str, list[tuple[float, float]]] = {}
    for region in column.regions:
        own, theirs = (
            values_of([row for row in part if row.region == region], column.metric, convention)
            for part in (rows, others)
        )
        by_group: dict[str, dict[int, list[tuple[float, float]]]] = {}
        for key, (group, value) in own.items():
            if key in theirs:
                by_group.setdefault(group, {}).setdefault(key[1], []).append((value, theirs[key][1]))
        for group, seeds in by_group.items():
            means = [(fmean(a for a, _ in pairs), fmean(b for _, b in pairs)) for pairs in seeds.values()]
            ours.setdefault(group, []).append((fmean(a for a, _ in means), fmean(b for _, b in means)))
    if not ours:
        return None
    groups = sorted(ours)
    first, second = ([fmean(pair[side] for pair in ours[group]) for group in groups] for side in (0, 1))
    return compare(first, second, groups)

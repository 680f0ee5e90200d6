"""How many labels a recipe needs to be as good as another is by all of them: where its curve first reaches that score.

Between numbers of labels that were trained on, scores lie on straight lines over the logarithm of the number. The
interval is of the percentile bootstrap (B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7,
1979), groups drawn, both recipes' alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.conventions import Convention
from groundglass.evaluation.statistics import CONFIDENCE
from groundglass.evaluation.trials import Row, values_of

RESAMPLES: Final = 1999
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Needed:
    """What a recipe needs.

    Attributes:
        recipe: its name.
        region: key of the region.
        most: labels of the first recipe.
        goal: its mean score by that many, on slices that all numbers of both were tested on.
        numbers: of labels that the recipe was trained on, ascending.
        labels: with which it reaches the goal; the smallest of ``numbers`` stands for fewer, too; infinite: with none.
        low: of the 95 % interval, likewise.
        high: likewise.
        slices: that the scores are means over.
        groups: of these.
    """

    recipe: str
    region: str
    most: int
    goal: float
    numbers: tuple[int, ...]
    labels: float
    low: float
    high: float
    slices: int
    groups: int


def labels_needed(
    rows: Sequence[Row],
    metric: str,
    convention: Convention,
    everything: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Needed]:
    """Of each recipe but the first and each region, how many labels it needs.

    Args:
        rows: of trials; those of the first recipe come first.
        metric: that is larger where it is better.
        convention: of the averages.
        everything: the number of labels that ``all`` stands for.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        of each pair with at least two numbers of labels, and a slice that all were tested on.
    """
    cells: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        number = int(row.trial.labels) if row.trial.labels.isdigit() else everything
        cells.setdefault((row.region, row.trial.recipe), {}).setdefault(number, []).append(row)
    regions, names = ({key[place]: None for key in cells} for place in (0, 1))
    first, *others = names
    made = []
    for region, recipe in product(regions, others):
        against, own = cells.get((region, first)), cells.get((region, recipe), {})
        if against is None or len(own) < 2:
            continue
        most = max(against)
        best = _by_slice(against[most], metric, convention)
        curve = {number: _by_slice(own[number], metric, convention) for number in sorted(own)}
        made += _needed(recipe, region, most, best, curve, resamples, seed)
    return made


def reaches(numbers: Sequence[int], scores: Floats, goal: Floats) -> Floats:
    """Where curves first reach their goals.

    Args:
        numbers: of labels, N of them, ascending.
        scores: (R, N).
        goal: (R,).

    Returns:
        (R,): numbers of labels, the first of ``numbers`` for what is reached there already, infinite for what never is.
    """
    found = np.where(scores[:, 0] >= goal, float(numbers[0]), math.inf)
    for place in range(1, len(numbers)):
        below, above = scores[:, place - 1], scores[:, place]
        risen = (above >= goal) & np.isinf(found)
        part = np.divide(goal - below, above - below, out=np.zeros_like(goal), where=risen & (above > below))
        low, high = math.log(numbers[place - 1]), math.log(numbers[place])
        found = np.where(risen, np.exp(low + part * (high - low)), found)
    return found


def _by_slice(rows: Sequence[Row], metric: str, convention: Convention) -> dict[str, tuple[str, float]]:
    """Slice -> group and score, the mean over seeds."""
    seeds: dict[str, list[tuple[str, float]]] = {}
    for (name, _), told in values_of(rows, metric, convention).items():
        seeds.setdefault(name, []).append(told)
    return {name: (told[0][0], fmean(value for _, value in told)) for name, told in seeds.items()}


def _needed(
    recipe: str,
    region: str,
    most: int,
    best: Mapping[str, tuple[str, float]],
    curve: Mapping[int, Mapping[str, tuple[str, float]]],
    resamples: int,
    seed: int,
) -> list[Needed]:
    """What a recipe needs in a region; nothing where it and the first have no slice in common."""
    shared = sorted(set(best).intersection(*curve.values()))
    if not shared:
        return []
    names, place = np.unique([best[name][0] for name in shared], return_inverse=True)
    values = np.array([[told[name][1] for name in shared] for told in (best, *curve.values())])
    sums = np.stack([np.bincount(place, one) for one in values])  # (1 + N, groups)
    counts = np.bincount(place)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    weights = np.concatenate([np.ones((1, len(names))), drawn])  # the first is what was found
    means = (weights @ sums.T) / (weights @ counts)[:, None]
    found = reaches(tuple(curve), means[:, 1:], means[:, 0])
    tail = (1 - CONFIDENCE) / 2
    made = Needed(
        recipe=recipe,
        region=region,
        most=most,
        goal=float(means[0, 0]),
        numbers=tuple(curve),
        labels=float(found[0]),
        low=float(np.quantile(found[1:], tail, method="lower")),
        high=float(np.quantile(found[1:], 1 - tail, method="higher")),
        slices=len(shared),
        groups=len(names),
    )
    return [made]

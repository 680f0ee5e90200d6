"""Where a label map differs most from the truth, and how; and the slices that a study's trainings did worst on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.overlap import METRICS, Counts
from groundglass.evaluation.trials import Row
from groundglass.labels import NAME_OF_CODE, Region


@dataclass(frozen=True)
class Failure:
    """The slice with the most wrong infection; all volumes are of that slice.

    Attributes:
        index: of the slice, from 0.
        true_ml: its infection.
        missed_ml: what of that was called no infection.
        overcalled_ml: what was called infection and is none.
        haze_as_solid_ml: ground glass that was called consolidation.
        solid_as_haze_ml: consolidation that was called ground glass.
    """

    index: int
    true_ml: float
    missed_ml: float
    overcalled_ml: float
    haze_as_solid_ml: float
    solid_as_haze_ml: float


def worst_slice(codes: NDArray[np.uint8], truth: NDArray[np.uint8], voxel_ml: float) -> Failure | None:
    """The slice where most infection is wrong: missed, overcalled, or of the wrong kind.

    Args:
        codes: uint8 ``[z, y, x]``, 0 background, 1 lung, 2 ground-glass opacity, 3 consolidation.
        truth: the same.
        voxel_ml: volume of a voxel.

    Returns:
        None where nothing is wrong; whether a voxel without infection is lung does not matter.
    """
    n = len(NAME_OF_CODE)
    pairs = [np.bincount((true * n + found).ravel(), minlength=n * n) for true, found in zip(truth, codes, strict=True)]
    table = np.stack(pairs).reshape(-1, n, n)  # [slice, true code, found code], voxels
    missed = table[:, 2:, :2].sum(axis=(1, 2))
    overcalled = table[:, :2, 2:].sum(axis=(1, 2))
    wrong = missed + overcalled + table[:, 2, 3] + table[:, 3, 2]
    worst = int(wrong.argmax())
    if not wrong[worst]:
        return None
    voxels = (table[worst, 2:].sum(), missed[worst], overcalled[worst], table[worst, 2, 3], table[worst, 3, 2])
    return Failure(worst, *(float(count) * voxel_ml for count in voxels))


@dataclass(frozen=True)
class Poor:
    """A held-out slice, and what went wrong with it.

    Attributes:
        slice: its name.
        group: its group.
        infected: true infection, a share of the slice's known pixels.
        dice: of each region by key, None where it is neither there nor found.
        missed: infection that was not found, a share of the true one.
        overcalled: what was found and is none, as many times the true infection.
        of_other_kind: infection that was found, but not as the kind that it is: as the other one or, where rows are of
            thresholds, surely as neither; a share of the true one. None where a row of either kind is missing.
    """

    slice: str
    group: str
    infected: float
    dice: Mapping[str, float | None]
    missed: float
    overcalled: float
    of_other_kind: float | None


def poorest(rows: Sequence[Row], number: int) -> list[Poor]:
    """The slices with infection whose infection Dice is lowest, lowest first; pixels of all seeds are counted together.

    Args:
        rows: of one recipe and number of labels.
        number: how many slices at most.
    """
    counts: dict[tuple[str, str], dict[str, list[Counts]]] = {}
    for row in rows:
        counts.setdefault((row.slice, row.group), {}).setdefault(row.region, []).append(row.counts)
    told = (_poor(*place, {key: reduce(add, each) for key, each in found.items()}) for place, found in counts.items())
    infection = Region.INFECTION.key
    return sorted((one for one in told if one is not None), key=lambda one: one.dice[infection] or 0.0)[:number]


def _poor(name: str, group: str, counts: Mapping[str, Counts]) -> Poor | None:
    infection = counts.get(Region.INFECTION.key)
    true = 0 if infection is None else infection.both + infection.true_only
    if infection is None or not true:
        return None
    kinds = [counts.get(region.key) for region in (Region.GROUND_GLASS, Region.CONSOLIDATION)]
    right = [one.both for one in kinds if one is not None]
    return Poor(
        slice=name,
        group=group,
        infected=true / (true + infection.found_only + infection.neither),
        dice={key: METRICS["dice"](one) for key, one in counts.items()},
        missed=infection.true_only / true,
        overcalled=infection.found_only / true,
        of_other_kind=(infection.both - sum(right)) / true if len(right) == len(kinds) else None,
    )

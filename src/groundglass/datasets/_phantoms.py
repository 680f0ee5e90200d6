"""Phantom patients as a data set, for the demo: drawn, not read. They say nothing about patients.

Labels are those of the field: {background or lung}, {ground glass}, {consolidation}, no lung mask. As there, only
slices that plainly show the disease have any.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Case, Cases
from groundglass.labels import NOT_LESION, Region, Tissue, region_of_codes, sets_from_codes
from groundglass.phantom import PLAIN, phantom

TISSUES: Final[Mapping[int, Tissue]] = {
    0: NOT_LESION,
    1: NOT_LESION,
    2: Tissue.GROUND_GLASS,
    3: Tissue.CONSOLIDATION,
}
SHAPE: Final = (16, 128, 128)  # (z, y, x) of a patient
SEVERITY: Final = (0.08, 0.4)  # share of the lung that is lesion
PLAINLY: Final = 0.03  # infected area of a slice with labels, as a share of the lung in the patient's widest slice


def draw(seed: int, patients: int, shape: tuple[int, int, int] = SHAPE) -> Cases:
    """Patients 1 to ``patients`` of a seed, each a scan over its whole lung, drawn when its turn comes."""
    return Cases(tuple(partial(_patient, seed, number, shape) for number in range(1, patients + 1)), public=True)


def _patient(seed: int, number: int, shape: tuple[int, int, int]) -> Case:
    rng = np.random.default_rng([seed, number])  # never number 0: [7, 0] would be the patient of seed 7 itself
    made = phantom(rng, shape=shape, severity=rng.uniform(*SEVERITY), looks=PLAIN)
    name = f"patient-{number:02d}"
    return Case(name, made.scan, _labels(made.codes), (name,) * len(made.codes))


def _labels(codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8] | None, ...]:
    """Label sets of the slices that plainly show the disease, None for the others."""
    infected = region_of_codes(codes, Region.INFECTION).sum(axis=(1, 2))
    enough = PLAINLY * region_of_codes(codes, Region.LUNG_FIELD).sum(axis=(1, 2)).max()
    return tuple(
        sets_from_codes(plane, TISSUES) if area >= enough else None for plane, area in zip(codes, infected, strict=True)
    )

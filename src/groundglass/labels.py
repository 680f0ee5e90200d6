"""A label is a set: per pixel, the tissues it may be.

One ``uint8`` with a bit for each tissue serves full labels, lesion masks without lungs, infection as one
class, and no label at all. Losses on such sets: Fidon et al., "Label-set loss functions for partial
supervision", MICCAI 2021 (arXiv 2107.03846).

Files that users see hold plain codes, never bits: 0 background, 1 lung, 2 ground-glass opacity,
3 consolidation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntFlag
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError


class Tissue(IntFlag):
    """The tissues told apart, one bit each."""

    BACKGROUND = 1
    LUNG = 2
    GROUND_GLASS = 4
    CONSOLIDATION = 8


NOT_LESION: Final = Tissue.BACKGROUND | Tissue.LUNG
UNKNOWN: Final = NOT_LESION | Tissue.GROUND_GLASS | Tissue.CONSOLIDATION


class Region(Enum):
    """What is measured: each a set of tissues."""

    LUNG_FIELD = Tissue.LUNG | Tissue.GROUND_GLASS | Tissue.CONSOLIDATION
    INFECTION = Tissue.GROUND_GLASS | Tissue.CONSOLIDATION
    GROUND_GLASS = Tissue.GROUND_GLASS
    CONSOLIDATION = Tissue.CONSOLIDATION

    @property
    def key(self) -> str:
        """The region's name in files: ``lung_field``, ``infection``, ..."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """The region's name for people."""
        return {"LUNG_FIELD": "Lung", "GROUND_GLASS": "Ground-glass opacity"}.get(self.name, self.name.capitalize())


TISSUE_OF_CODE: Final[Mapping[int, Tissue]] = {
    0: Tissue.BACKGROUND,
    1: Tissue.LUNG,
    2: Tissue.GROUND_GLASS,
    3: Tissue.CONSOLIDATION,
}
CODE_OF_TISSUE: Final[Mapping[Tissue, int]] = {tissue: code for code, tissue in TISSUE_OF_CODE.items()}
NAME_OF_CODE: Final[Mapping[int, str]] = {0: "background", 1: "lung", 2: "ground-glass opacity", 3: "consolidation"}

# Okabe and Ito's palette: told apart by all common kinds of colour vision, and from grey.
COLOUR_OF_CODE: Final[Mapping[int, tuple[int, int, int]]] = {
    0: (0, 0, 0),
    1: (86, 180, 233),
    2: (230, 159, 0),
    3: (204, 121, 167),
}


def check_label_sets(sets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``sets`` if every element is a label set (1 to 15).

    Raises:
        LabelError: another type than uint8, the empty set (0), or a bit that is no tissue (above 15).
    """
    if sets.dtype != np.uint8:
        raise LabelError(
            f"Label sets of type {sets.dtype}.", expected="uint8", remedy="Convert codes with groundglass.labels."
        )
    if sets.size and (sets.min() == 0 or sets.max() > UNKNOWN):
        bad = 0 if sets.min() == 0 else int(sets.max())
        raise LabelError(
            f"{bad} is no label set.",
            expected="1 to 15, one bit a tissue",
            remedy="Use 15 where nothing is known.",
        )
    return sets


_COUNTED: Final = 2**16


def sets_from_codes(codes: NDArray[np.integer], tissues: Mapping[int, Tissue] = TISSUE_OF_CODE) -> NDArray[np.uint8]:
    """Label sets of a map of codes, by a table from code to tissues.

    Args:
        codes: any shape, any integer type.
        tissues: the label set that each code means.

    Raises:
        LabelError: a code that the table lacks, or a table entry that is no label set.
    """
    if not np.issubdtype(codes.dtype, np.integer):
        raise LabelError(
            f"Label codes of type {codes.dtype}.", expected="integers", remedy="Round them first if they are codes."
        )
    small = bool(codes.size) and codes.min() >= 0 and codes.max() < _COUNTED
    # counting is ten times as fast as sorting
    present = np.flatnonzero(np.bincount(codes.ravel())) if small else np.unique(codes)
    missing = sorted(int(code) for code in present if int(code) not in tissues)
    if missing:
        raise LabelError(
            f"Label code {missing[0]} is not in the table.",
            expected=f"one of {sorted(tissues)}",
            remedy="Add it to the table of codes.",
        )
    sets = np.zeros(codes.shape, np.uint8)
    for code in present:
        sets[codes == code] = int(tissues[int(code)])
    return check_label_sets(sets)


def codes_from_sets(sets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Plain codes (0 to 3) of label sets that each hold one tissue.

    Raises:
        LabelError: a set of several tissues has no plain code.
    """
    check_label_sets(sets)
    table = np.full(16, 255, np.uint8)
    for tissue, code in CODE_OF_TISSUE.items():
        table[int(tissue)] = code
    codes = table[sets]
    if codes.size and codes.max() == 255:
        raise LabelError(
            f"The label set {int(sets[codes == 255][0])} holds several tissues.",
            expected="one tissue a pixel",
            remedy="Only a full labelling can be written as codes.",
        )
    return codes


def inside(sets: NDArray[np.uint8], region: Region | Tissue) -> NDArray[np.bool_]:
    """Pixels that are in the region: the set lies within it."""
    within: NDArray[np.bool_] = (sets & np.uint8(UNKNOWN & ~int(region.value))) == 0
    return within


def outside(sets: NDArray[np.uint8], region: Region | Tissue) -> NDArray[np.bool_]:
    """Pixels that are not in the region: the set and it are disjoint. What is neither in nor out is unknown."""
    disjoint: NDArray[np.bool_] = (sets & np.uint8(int(region.value))) == 0
    return disjoint


def region_of_codes(codes: NDArray[np.uint8], region: Region) -> NDArray[np.bool_]:
    """Pixels of a label map (codes 0 to 3) that are in the region."""
    table = np.array([bool(region.value & tissue) for tissue in TISSUE_OF_CODE.values()])
    mask: NDArray[np.bool_] = table[codes]
    return mask

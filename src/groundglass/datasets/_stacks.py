"""Slices that lie in one file and belong to no volume: each becomes a scan of a single slice.

MedSeg publishes its sets as stacks, in NIfTI and as NumPy arrays. Of arrays a slice is read from the disk when its turn
comes; a packed NIfTI file has to be unpacked whole for its first slice, and is kept while the others are read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Case
from groundglass.datasets._volumes import Files, to_codes
from groundglass.errors import LabelError, ReadError
from groundglass.io.volume import to_scan
from groundglass.labels import UNKNOWN, Tissue
from groundglass.preprocess.orient import Orientation, orient
from groundglass.scan import Notice

GROUPS: Final = "groups.csv"
_SPACE: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_LESION_CHANNELS: Final = (Tissue.GROUND_GLASS, Tissue.CONSOLIDATION)
_OTHER_CHANNELS: Final = (Tissue.LUNG, Tissue.BACKGROUND)
ORIENTATION_UNKNOWN: Final = Notice(
    "How the slices of the arrays lie is not known, they are taken as they are: look at some, and give --orientation "
    "where the front is not up or the patient's right not on the left."
)


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in Hounsfield units and their label sets, by number from 0, (y, x), in radiological orientation.

    Attributes:
        count: of slices.
        plane: the HU of a slice, any number type.
        sets: the label sets of a slice, uint8, or None for one without.
    """

    count: int
    plane: Callable[[int], NDArray[Any]]
    sets: Callable[[int], NDArray[np.uint8] | None]


def slice_case(stack: Stack, number: int, name: str, group: str) -> Case:
    """A slice as a case: a scan of one slice, whose pixels have no size.

    Raises:
        ScanError: no Hounsfield units.
        LabelError: (of labels) another shape, or an unknown code.
    """
    plane = stack.plane(number)
    scan = to_scan(plane.T[:, :, None], _SPACE, format="memory", header=None)
    sets = stack.sets(number)
    return Case(
        name=name,
        images=replace(scan, source=replace(scan.source, spacing_known=False)),
        labels=None if sets is None else (sets,),
        groups=(group,),
        slices=(f"{number:04d}",),
        positions=(number + 1,),
    )


def array_stack(images: Path, masks: Path | None, orientation: Orientation) -> Stack:
    """MedSeg's NumPy form: images (N, H, W) or (N, H, W, 1) in HU, masks (N, H, W, 4), a channel a class.

    Channels: 0 ground glass, 1 consolidation, 2 other lung, 3 background. Where several are set, a lesion goes before
    lung and background, and what is left is a set of several tissues; where none is set, nothing is known.

    Raises:
        ReadError: damaged, truncated, or of another shape.
        LabelError: masks of another shape than the images; (when a slice's turn comes) values other than 0 and 1.
    """
    hu = _mapped(images)
    hu = hu[..., 0] if hu.ndim == 4 and hu.shape[-1] == 1 else hu
    channels = None if masks is None else _mapped(masks)
    if hu.ndim != 3:
        raise ReadError(
            f"{images.name} has the shape {hu.shape}.",
            expected="(slices, height, width)",
            remedy="Download it again.",
        )
    if channels is not None and channels.shape != (*hu.shape, 4):
        raise LabelError(
            f"The masks have the shape {channels.shape} and the images {hu.shape}.",
            expected="the images' shape and four channels",
            remedy="Download both again.",
        )
    return Stack(
        count=len(hu),
        plane=lambda number: orient(hu[number], orientation),
        sets=lambda number: None if channels is None else orient(channel_sets(channels[number]), orientation),
    )


def channel_sets(channels: NDArray[Any]) -> NDArray[np.uint8]:
    """Label sets of four channels of 0 and 1, (..., 4) to (...).

    Raises:
        LabelError: other values.
    """
    codes = to_codes(channels)
    if codes.max(initial=0) > 1:
        raise LabelError(
            f"A mask channel holds {codes.max()}.",
            expected="0 and 1",
            remedy="Take the masks as they are published.",
        )
    lesion, other = (
        sum((codes[..., first + n] * np.uint8(tissue) for n, tissue in enumerate(tissues)), np.uint8(0))
        for first, tissues in ((0, _LESION_CHANNELS), (2, _OTHER_CHANNELS))
    )
    sets = np.where(lesion > 0, lesion, other)
    return np.where(sets > 0, sets, np.uint8(UNKNOWN)).astype(np.uint8)


def _mapped(path: Path) -> NDArray[Any]:
    """An array that stays on the disk."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises several types on garbage
        raise ReadError(
            f"{path.name} is truncated, damaged, or no array of NumPy.",
            expected="a whole .npy file in a folder, not in a zip",
            remedy="Download or unpack it again.",
        ) from None
    return array


def read_groups(files: Files) -> Mapping[str, str]:
    """The groups of slices that the user's own ``groups.csv`` names: number of a slice from 0 -> group.

    Raises:
        ReadError: no table with the columns slice and group.
    """
    if GROUPS not in files:
        return {}
    try:
        rows = csv.DictReader(io.StringIO(files[GROUPS].read().decode("utf-8-sig")))
        return {str(int(row["slice"])): row["group"] for row in rows}
    except (KeyError, ValueError, TypeError, csv.Error):
        raise ReadError(
            f"{GROUPS} is no table of slices and groups.",
            expected="the columns slice (from 0) and group",
            remedy="Correct it, or move it away.",
        ) from None

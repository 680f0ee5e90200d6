"""What readers of NIfTI sets share: files by name, voxels as stored, masks on their scans, windows undone."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from numpy.typing import NDArray

from groundglass.errors import GroundglassError, LabelError, ReadError
from groundglass.io import InputFile, list_files
from groundglass.io.files import shown
from groundglass.io.nifti import GZIP_MAGIC, head_of, read_nifti
from groundglass.io.quiet import quiet
from groundglass.io.volume import check_affine
from groundglass.labels import NOT_LESION, Region, Tissue, sets_from_codes
from groundglass.preprocess.calibrate import Calibration, calibrate, histogram
from groundglass.preprocess.lung import find_lungs
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import lung_boxes
from groundglass.scan import Notice, Scan, Source, canonical_axes

INFECTION: Final = Tissue(Region.INFECTION.value)
LUNG_FIELD: Final = Tissue(Region.LUNG_FIELD.value)
LUNG_CODES: Final[Mapping[int, Tissue]] = {0: Tissue.BACKGROUND, 1: Tissue.LUNG, 2: Tissue.LUNG}

Files = Mapping[str, InputFile]


def files_below(root: Path) -> Files:
    """What a folder or zip holds, by its name relative to it.

    Raises:
        UsageError: nothing there.
    """
    return {file.name: file for file in list_files(root).files}


def one_each(files: Files, pattern: re.Pattern[str]) -> dict[str, InputFile]:
    """The files whose name has the pattern in it, by the pattern's first group, sorted by number, then name.

    Raises:
        ReadError: two files of one.
    """
    found: dict[str, InputFile] = {}
    for name, file in files.items():
        match = pattern.search(name)
        if match is None:
            continue
        if match[1] in found:
            raise ReadError(
                f"Two files are {shown(match[1])}: {shown(found[match[1]].name)} and {shown(name)}.",
                expected="one of each",
                remedy="Remove the copy.",
            )
        found[match[1]] = file
    return {key: found[key] for key in sorted(found, key=lambda key: (int(key) if key.isdecimal() else 0, key))}


def check_partners(images: Iterable[str], masks: Iterable[str], what: str, *, complete: bool = True) -> None:
    """Raise ReadError for a mask without its image, and, of a complete set, for an image without its mask."""
    have, masked = set(images), set(masks)
    alone = sorted(masked - have)
    if alone:
        raise ReadError(
            f"{shown(alone[0])} has a {what} and no image.",
            expected="an image for each mask",
            remedy="Unpack the data set again.",
        )
    bare = sorted(have - masked) if masked and complete else []
    if bare:
        raise ReadError(
            f"{shown(bare[0])} has an image and no {what}, unlike others.",
            expected=f"a {what} for each image, or none at all",
            remedy="Unpack the data set again.",
        )


@contextmanager
def naming(file: InputFile) -> Iterator[None]:
    """Say in an error which of a set's many files it is about."""
    try:
        yield
    except GroundglassError as error:
        raise type(error)(f"{shown(file.name)}: {error.found}", expected=error.expected, remedy=error.remedy) from None


def read_hounsfield(file: InputFile) -> Scan:
    """A NIfTI file in Hounsfield units whose header is right.

    Raises:
        ReadError: damaged or truncated.
        ScanError: no volume, or no Hounsfield units.
    """
    with naming(file):
        return read_nifti(file)


def stored_shape(file: InputFile) -> tuple[int, ...]:
    """The lengths of a NIfTI file's axes (i, j, k), from its header alone.

    Raises:
        ReadError: no NIfTI.
    """
    try:
        return tuple(int(length) for length in Nifti1Header(head_of(file)[:348], check=False).get_data_shape())
    except Exception:  # nibabel raises several types on garbage
        raise _damaged(file) from None


def read_stored(file: InputFile) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The values of a NIfTI file whatever they mean, axes (i, j, k), and the affine of its header, (4, 4).

    Raises:
        ReadError: damaged, truncated, or not one volume.
    """
    content = file.read()
    try:
        with quiet():
            image: Any = Nifti1Image.from_bytes(gzip.decompress(content) if content[:2] == GZIP_MAGIC else content)
            values = np.asarray(image.dataobj)
            return values.reshape(values.shape[:3]), np.asarray(image.affine, np.float64)
    except Exception:  # gzip, zlib and nibabel raise many types on garbage
        raise _damaged(file) from None


def _damaged(file: InputFile) -> ReadError:
    return ReadError(
        f"{shown(file.name)} is truncated, damaged, or no volume in NIfTI.",
        expected="a whole NIfTI file",
        remedy="Download or unpack it again.",
    )


def read_mask(file: InputFile, tissues: Mapping[int, Tissue], scan: Scan) -> NDArray[np.uint8]:
    """The label sets of a mask on the canonical grid of its scan, ``[z, y, x]``.

    A mask is laid on its scan voxel by voxel as the files store them, as everybody's programs do; its own header is
    not asked.

    Raises:
        ReadError: damaged or truncated.
        LabelError: another shape than the scan, values that are no codes, or a code that is not in the table.
    """
    values, _ = read_stored(file)
    shape = scan.source.axes.from_canonical(scan.hu).shape
    if values.shape != shape:
        raise LabelError(
            f"{shown(file.name)} has {_size(values.shape)} voxels and its image {_size(shape)}.",
            expected="a mask of its image's own size",
            remedy="Unpack the data set again.",
        )
    with naming(file):
        sets = sets_from_codes(to_codes(values), tissues)
    return np.ascontiguousarray(scan.source.axes.to_canonical(sets))


def to_codes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Stored values as codes, any shape.

    Raises:
        LabelError: values that are no whole numbers from 0 to 255.
    """
    codes: NDArray[np.uint8] = np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
    if not np.array_equal(codes, values):
        raise LabelError(
            "It holds values that are no codes.",
            expected="whole numbers from 0 to 255",
            remedy="Take the mask as it is published, not a probability or a resampled one.",
        )
    return codes


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def whole_labels(lesions: NDArray[np.uint8] | None, lungs: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
    """Label sets of what lesions and lungs say together, any shape; None where neither says anything.

    Args:
        lesions: label sets, "background or lung" where there is no lesion.
        lungs: the lung field, lesions included. A lesion outside of it stays a lesion.
    """
    if lungs is None:
        return lesions
    if lesions is None:
        return np.where(lungs, np.uint8(LUNG_FIELD), np.uint8(Tissue.BACKGROUND))
    healthy = np.where(lungs, np.uint8(Tissue.LUNG), np.uint8(Tissue.BACKGROUND))
    return np.where(lesions == np.uint8(NOT_LESION), healthy, lesions)


def is_windowed(values: NDArray[Any]) -> bool:
    """Whether stored values are grey values, 0 to 255, and no Hounsfield units."""
    return bool(values.min() >= 0 and 1 < values.max() <= 255)


def undo_window(
    values: NDArray[Any], affine: NDArray[np.float64], stated_hu: tuple[float, float]
) -> tuple[Scan, Notice]:
    """A scan of grey values, 0 to 255, whose window is read off the histogram of the lungs' surroundings.

    The stated window serves to find the lungs, and is taken where the histogram does not tell.

    Args:
        values: on the file's grid (i, j, k).
        affine: (4, 4), from (i, j, k) to millimetres, RAS+.
        stated_hu: HU of 0 and 255 as the publisher says.

    Returns:
        the scan, and what its window was taken to be.

    Raises:
        ScanError: an affine that is singular or sheared.
    """
    check_affine(affine)
    axes, canonical = canonical_axes(affine, values.shape)
    grey = np.ascontiguousarray(axes.to_canonical(np.rint(values).astype(np.uint8)))
    source, window = Source("nifti", axes, affine), Calibration(*stated_hu, "stated")
    lungs = find_lungs(Scan(window.to_hu(grey), canonical, source)).mask
    crops = [
        plane[box[0] : box[2], box[1] : box[3]]
        for plane, box in zip(grey, lung_boxes(lungs, Preparation()), strict=True)
        if box is not None
    ]
    if crops:
        window = calibrate(histogram(crops), stated_hu)
    told = Notice(
        f"A volume holds grey values, not HU: black is taken to be {window.black_hu:.0f} and white "
        f"{window.white_hu:.0f} HU ({window.how}); its publisher states {stated_hu[0]:g} and {stated_hu[1]:g}."
    )
    return Scan(window.to_hu(grey), canonical, source), told


def mirrored(affine: NDArray[np.float64], axis: int, length: int) -> NDArray[np.float64]:
    """The affine of the same box in space whose voxels are counted the other way along one of (i, j, k)."""
    back = np.eye(4)
    back[axis, axis], back[axis, 3] = -1, length - 1
    return affine @ back

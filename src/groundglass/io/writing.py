"""Label maps to files on the input's own grid, with what their codes mean."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, UsageError
from groundglass.io.atomic import write_file
from groundglass.io.image import write_grey_images, write_image_labels
from groundglass.io.nifti import write_nifti
from groundglass.io.nrrd import write_nrrd, write_nrrd_labels
from groundglass.labels import COLOUR_OF_CODE, NAME_OF_CODE
from groundglass.scan import GreyImage, Scan

LabelFormat = Literal["nifti", "nrrd", "image"]
SUFFIX_OF_FORMAT: Final[dict[LabelFormat, str]] = {"nifti": ".nii.gz", "nrrd": ".seg.nrrd", "image": ".png"}
SUFFIX_OF_PROBABILITIES: Final[dict[LabelFormat, str]] = {"nifti": ".nii.gz", "nrrd": ".nrrd", "image": ".png"}
LABEL_NAMES_FILE: Final = "labels.json"


def write_labels(
    path: str | os.PathLike[str],
    codes: NDArray[np.uint8],
    scan: Scan | GreyImage,
    format: LabelFormat | None = None,  # noqa: A002
) -> None:
    """Write a label map on the input's own grid.

    Args:
        path: ``.nii.gz`` or ``.nii``, ``.nrrd``, ``.png``, or for several pictures a folder.
        codes: uint8, 0 to 3, on the canonical grid ``[z, y, x]`` of the scan.
        scan: what was segmented.
        format: of the file; by default what the path's suffix says.

    Raises:
        LabelError: another shape or type than the scan's, or a code that is none.
        UsageError: a suffix of no format, or a picture to be written as a volume.
        WriteError: it could not be written; an older file is as it was.
    """
    shape = scan.hu.shape if isinstance(scan, Scan) else scan.grey.shape
    if codes.shape != shape or codes.dtype != np.uint8 or int(codes.max(initial=0)) not in NAME_OF_CODE:
        raise LabelError(
            f"A label map of shape {codes.shape}, type {codes.dtype}, codes up to {codes.max(initial=0)}.",
            expected=f"shape {shape}, uint8, codes 0 to {max(NAME_OF_CODE)}",
            remedy="Give the label map on the scan's canonical grid.",
        )
    chosen = format or _format_of(Path(path))
    if chosen == "image":
        write_image_labels(path, _planes(codes, scan))
    elif isinstance(scan, GreyImage):
        raise UsageError(
            "A picture has no grid in space.", expected="a .png or a folder", remedy="Write its label map as PNG."
        )
    elif chosen == "nrrd":
        write_nrrd_labels(path, codes, scan)
    else:
        write_nifti(path, codes, scan)


def write_values(path: str | os.PathLike[str], values: NDArray[np.uint8], scan: Scan | GreyImage) -> None:
    """Write codes of any table, or probabilities, as grey PNG, the way the pictures lie.

    Grey, not a palette's colours: a byte is the value, whatever reads it.

    Args:
        path: as for pictures in `write_labels`.
        values: uint8, on the canonical grid ``[z, y, x]`` of the scan.
        scan: what was segmented.

    Raises:
        WriteError: it could not be written.
    """
    write_grey_images(path, _planes(values, scan))


def write_probabilities(
    path: str | os.PathLike[str],
    levels: NDArray[np.uint8],
    scan: Scan,
    format: LabelFormat,  # noqa: A002
) -> None:
    """Write probabilities on the input's own grid, a byte each: 255 is certain.

    NIfTI readers give them as 0 to 1, for the header says so; in NRRD and PNG they are 0 to 255.

    Args:
        path: as for `write_labels`.
        levels: uint8, on the canonical grid ``[z, y, x]`` of the scan.
        scan: what was segmented.
        format: of the file.

    Raises:
        WriteError: it could not be written.
    """
    if format == "image":
        write_values(path, levels, scan)
    elif format == "nrrd":
        write_nrrd(path, levels, scan)
    else:
        write_nifti(path, levels, scan, slope=1 / 255)


def write_hounsfield(
    path: str | os.PathLike[str], hu: NDArray[np.int16], scan: Scan, window_hu: tuple[float, float]
) -> None:
    """Write Hounsfield units on the input's own grid: NIfTI, or for pictures PNG, black and white at the window's ends.

    Args:
        path: as for `write_labels`.
        hu: int16, on the canonical grid ``[z, y, x]`` of the scan.
        scan: whose grid it is.
        window_hu: HU of black and white.

    Raises:
        WriteError: it could not be written.
    """
    if scan.source.format == "image":
        black, white = window_hu
        levels = np.rint(255 * np.clip((hu - black) / (white - black), 0, 1)).astype(np.uint8)
        write_values(path, levels, scan)
    else:
        write_nifti(path, hu, scan)


def _planes(values: NDArray[np.uint8], scan: Scan | GreyImage) -> NDArray[np.uint8]:
    """Canonical slices as the pictures that they came from lie, (slices, rows, columns)."""
    return np.ascontiguousarray(scan.source.axes.from_canonical(values).T)


def _format_of(path: Path) -> LabelFormat:
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return "nifti"
    if name.endswith(".nrrd"):
        return "nrrd"
    if name.endswith(".png") or not path.suffix:
        return "image"
    raise UsageError(
        f"No label map is written as {path.suffix}.", expected=".nii.gz, .nrrd or .png", remedy="Change the name."
    )


def label_names() -> dict[str, Any]:
    """What the codes in label maps mean: names and colours (sRGB, 0 to 255), as plain JSON types."""
    labels = [{"code": code, "name": name, "colour": list(COLOUR_OF_CODE[code])} for code, name in NAME_OF_CODE.items()]
    return {"labels": labels}


def write_label_names(path: str | os.PathLike[str]) -> None:
    """Write ``labels.json``: what the codes in the label map beside it mean.

    Raises:
        WriteError: it could not be written.
    """
    write_file(path, (json.dumps(label_names(), indent=2) + "\n").encode())

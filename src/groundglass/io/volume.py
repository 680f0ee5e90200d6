"""What NIfTI and NRRD share: an array on the file's grid and its affine, checked and made a scan."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, ScanError
from groundglass.io.dicom_grid import TILT_DEGREES
from groundglass.io.hounsfield import air_for_padding, check_hounsfield, rescale
from groundglass.scan import Format, Notice, Scan, Source, canonical_axes

NO_ORIENTATION: Final = Notice(
    "The file does not say how the patient lies; left and right, front and back are assumed."
)


def to_scan(
    stored: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    format: Format,  # noqa: A002
    header: Any,
    rescaling: tuple[float, float] = (1.0, 0.0),
    notices: tuple[Notice, ...] = (),
) -> Scan:
    """A scan of stored values.

    Args:
        stored: on the file's grid (i, j, k), any number type.
        affine: (4, 4), from (i, j, k) to millimetres, RAS+.
        format: of the file.
        header: kept in the source.
        rescaling: slope and intercept to HU.
        notices: met so far.

    Raises:
        ScanError: values that are not finite or no HU, an affine that is singular or sheared.
    """
    check_affine(affine)
    axes, canonical = canonical_axes(affine, stored.shape)
    hu = np.ascontiguousarray(axes.to_canonical(rescale(stored, *rescaling)))
    air_for_padding(hu)
    check_hounsfield(hu)
    if 1 in hu.shape:
        notices = (*notices, Notice("There is a single slice: volumes are those of this slice only, a guess."))
    known = NO_ORIENTATION not in notices
    source = Source(format=format, axes=axes, affine=affine, header=header, notices=notices, sides_known=known)
    return Scan(hu, canonical, source)


def check_affine(affine: NDArray[np.float64]) -> None:
    """Raise ScanError where an affine has no volume or axes that are not at right angles."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-4 or lengths.max() > 1e4:
        raise ScanError(
            "The spacing of the voxels is zero, absurd or not finite.",
            expected="a size in mm along each axis",
            remedy="Correct the header, or convert the original again.",
        )
    directions = affine[:3, :3] / lengths
    cosines = np.abs(directions.T @ directions - np.eye(3))
    angle = float(np.degrees(np.arcsin(min(1.0, cosines.max()))))
    if angle > TILT_DEGREES:
        raise ScanError(
            f"The voxel axes are sheared by {angle:.1f} degrees, as from a tilted gantry.",
            expected="axes at right angles",
            remedy="Resample the scan to an upright grid first.",
        )


def check_three_axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The three lengths of a shape that may end in ones.

    Raises:
        ScanError: two dimensions, or four.
    """
    trimmed = shape[:3] if all(length == 1 for length in shape[3:]) else shape
    if len(trimmed) < 3:
        raise ScanError(
            f"The image has {len(trimmed)} dimensions.",
            expected="a volume of three",
            remedy="Give the whole volume; a picture of one slice can be given as PNG.",
        )
    if len(trimmed) > 3:
        raise ScanError(
            f"The image has {len(trimmed)} dimensions ({' x '.join(map(str, shape))}).",
            expected="one volume of three",
            remedy="Give one time point or channel as a file of its own.",
        )
    return trimmed[0], trimmed[1], trimmed[2]


def damaged_header(kind: str) -> ReadError:
    """The error for a header that cannot be parsed; its text is not repeated."""
    return ReadError(
        f"The {kind} header is damaged or incomplete.", expected=f"a {kind} file", remedy="Copy or export it again."
    )

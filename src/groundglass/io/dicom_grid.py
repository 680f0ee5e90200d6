"""Where slices lie: their order along the normal, the spacing, what is missing, and whether they are sheared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ScanError
from groundglass.io.dicom_header import Slice, slice_gap
from groundglass.io.dicom_terms import word

TILT_DEGREES: Final = 0.5
MAX_CONSECUTIVE: Final = 2  # missing slices that are interpolated
MAX_MISSING: Final = 0.05  # of all slices
PIXEL_MM: Final = (0.01, 10.0)
MAX_GAP_MM: Final = 200.0
_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular stack of planes.

    Attributes:
        planes: for each slice given, in its order, the number of its plane.
        count: of planes, missing ones included.
        spacing_mm: between planes.
        affine: (4, 4), from (column, row, plane) to millimetres, RAS+.
    """

    planes: tuple[int, ...]
    count: int
    spacing_mm: float
    affine: NDArray[np.float64]

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the planes that no slice fills."""
        return tuple(sorted(set(range(self.count)) - set(self.planes)))


def check_headers(slices: Sequence[Slice]) -> None:
    """Raise ScanError where slices lack a place or a size, or differ in what one scan has in common."""
    for keyword, missing in (
        ("ImagePositionPatient", [s for s in slices if s.position is None]),
        ("ImageOrientationPatient", [s for s in slices if s.orientation is None]),
        ("PixelSpacing", [s for s in slices if s.spacing is None or min(s.spacing) <= 0]),
    ):
        if missing:
            raise ScanError(
                f"{len(missing)} of {len(slices)} slices have no usable {keyword}.",
                expected="a position, an orientation and a pixel size in each slice",
                remedy="Export the series again from the scanner or PACS, as original images.",
            )
    _check_origin(slices)
    _check_same("ImageOrientationPatient", [s.orientation for s in slices], 2e-3)
    _check_same("PixelSpacing", [s.spacing for s in slices], 1e-3)
    sizes = slices[0].spacing or ()
    if min(sizes) < PIXEL_MM[0] or max(sizes) > PIXEL_MM[1]:
        raise ScanError(
            f"Pixels of {sizes[0]:g} x {sizes[1]:g} mm.",
            expected=f"pixels of {PIXEL_MM[0]:g} to {PIXEL_MM[1]:g} mm",
            remedy="The header is damaged; export the series again from the scanner or PACS.",
        )
    row, column = np.array(slices[0].orientation).reshape(2, 3)
    if abs(np.linalg.norm(row) - 1) > 1e-2 or abs(np.linalg.norm(column) - 1) > 1e-2 or abs(row @ column) > 1e-2:
        raise ScanError(
            "ImageOrientationPatient does not hold two perpendicular directions.",
            expected="unit vectors at right angles",
            remedy="Export the series again from the scanner or PACS.",
        )


def _check_origin(slices: Sequence[Slice]) -> None:
    """Raise ScanError for slices of several patients or acquisitions; what a header does not state is no other.

    A frame of reference for each slice is what careless anonymisers leave, and says nothing.
    """
    patients, frames = (
        len({word(plane.dataset, keyword) for plane in slices} - {""})
        for keyword in ("PatientID", "FrameOfReferenceUID")
    )
    if patients > 1:
        found, one = f"The series holds slices of {patients} patients.", "patient"
    elif 1 < frames < len(slices):
        found, one = f"The slices have {frames} frames of reference.", "frame of reference"
    else:
        return
    remedy = "Export each patient and acquisition as a series of its own."
    raise ScanError(found, expected=f"one {one}", remedy=remedy)


def _check_same(keyword: str, values: Sequence[tuple[float, ...] | None], tolerance: float) -> None:
    spread = np.ptp(np.array(values, np.float64), axis=0).max()
    if spread > tolerance:
        raise ScanError(
            f"{keyword} differs between slices of one series (by {spread:.3g}).",
            expected="one grid",
            remedy="Export each reconstruction as a series of its own.",
        )


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """The unit normal of a plane, LPS."""
    row, column = np.array(orientation, np.float64).reshape(2, 3)
    normal = np.cross(row, column)
    return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-12), np.float64)


def heights(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Each slice's place along the first one's normal, mm; slices must have positions and orientations."""
    return np.array([s.position for s in slices], np.float64) @ normal_of(slices[0].orientation or ())


def stack(slices: Sequence[Slice]) -> Grid:
    """The grid of slices that are sorted by height, each height once.

    Raises:
        ScanError: sheared (gantry tilt), slices with several spacings or far apart, or too many missing.
    """
    height = heights(slices)
    _check_upright(slices, height)
    planes, spacing = _planes(slices, height)
    if spacing > MAX_GAP_MM:
        raise ScanError(
            f"The slices are {spacing:g} mm apart.",
            expected=f"at most {MAX_GAP_MM:g} mm",
            remedy="The header is damaged, or most of the series is missing; export it again.",
        )
    return Grid(tuple(planes), planes[-1] + 1, spacing, _affine(slices[0], spacing))


def _check_upright(slices: Sequence[Slice], height: NDArray[np.float64]) -> None:
    """Refuse a stack whose slices shift sideways, as with a tilted gantry."""
    first = slices[0]
    position = np.array([s.position for s in slices], np.float64)
    drift = position - position[0] - np.outer(height - height[0], normal_of(first.orientation or ()))
    sideways = np.linalg.norm(drift, axis=1)
    extent = float(height[-1] - height[0])
    if sideways.max() <= max(np.tan(np.radians(TILT_DEGREES)) * extent, 0.5 * min(first.spacing or (1.0,))):
        return
    angle = float(np.degrees(np.arctan2(sideways[-1], extent)))
    line = np.outer((height - height[0]) / extent, drift[-1])
    if np.abs(drift - line).max() <= max(0.05 * sideways[-1], 0.5):
        raise ScanError(
            f"The gantry was tilted: the slices are sheared by {angle:.1f} degrees.",
            expected="slices stacked along their normal",
            remedy="Resample the series to an upright grid first (for instance with dcm2niix), and give that.",
        )
    raise ScanError(
        f"The slices shift sideways against each other by up to {sideways.max():.1f} mm.",
        expected="slices stacked along their normal",
        remedy="They may be several reconstructions in one series; export one.",
    )


def _planes(slices: Sequence[Slice], height: NDArray[np.float64]) -> tuple[list[int], float]:
    """Each slice's plane number and the spacing, mm."""
    if len(slices) == 1:
        gap = slice_gap(slices[0])
        if gap is None:
            raise ScanError(
                "There is one slice, and no slice thickness.",
                expected="several slices, or one with a thickness",
                remedy="Give the whole series.",
            )
        return [0], gap
    gaps = np.diff(height)
    steps = gaps / np.median(gaps)
    whole = np.maximum(np.rint(steps), 1)
    planes = [0, *np.cumsum(whole).astype(int).tolist()]
    spacing = float(height[-1] - height[0]) / planes[-1]
    off_grid = np.abs(height - height[0] - spacing * np.array(planes))
    # positions are often rounded to 0.1 mm, so that a spacing of 0.75 reads as 0.7, 0.8, 0.7
    regular = np.abs(gaps - whole * spacing).max() <= max(0.15 * spacing, 0.051) and off_grid.max() <= 0.3 * spacing
    few = (whole.max() <= MAX_CONSECUTIVE + 1) and (planes[-1] + 1 - len(slices)) <= MAX_MISSING * (planes[-1] + 1)
    if not regular or not few:
        _refuse(gaps, whole, regular)
    return planes, spacing


def _refuse(gaps: NDArray[np.float64], whole: NDArray[np.float64], regular: bool) -> None:
    """Say why gaps are not those of one scan: two spacings, or slices missing. Always raises."""
    rounded = np.round(gaps, 2)
    values, counts = np.unique(rounded, return_counts=True)
    common = values[np.argsort(-counts, kind="stable")]
    wide = np.flatnonzero(whole > 1)
    in_a_row = len(wide) > 1 and bool((np.diff(wide) == 1).any())
    if len(common) > 1 and (not regular or in_a_row):
        where = np.flatnonzero(rounded == common[1])
        raise ScanError(
            f"The series has slices {common[0]:g} mm and {common[1]:g} mm apart"
            f" (the latter between slices {where[0] + 1} and {where[-1] + 2} of {len(gaps) + 1}, from the lowest).",
            expected="one spacing",
            remedy="Export the parts as series of their own, or reconstruct with one spacing.",
        )
    missing = int((whole - 1).sum())
    raise ScanError(
        f"{missing} slices are missing, {_places(wide)} (of {len(gaps) + 1}, from the lowest).",
        expected=f"at most {MAX_CONSECUTIVE} in a row and {MAX_MISSING:.0%} in all",
        remedy="Export or copy the whole series again.",
    )


def _places(gaps: NDArray[np.intp]) -> str:
    pairs = [f"{gap + 1} and {gap + 2}" for gap in gaps[:5]]
    return "between slices " + ", ".join(pairs) + (" and more" if len(gaps) > 5 else "")


def _affine(first: Slice, spacing_mm: float) -> NDArray[np.float64]:
    """From (column, row, plane) to millimetres, RAS+."""
    orientation = np.array(first.orientation, np.float64)
    row_mm, column_mm = first.spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * column_mm
    affine[:3, 1] = orientation[3:] * row_mm
    affine[:3, 2] = normal_of(orientation.tolist()) * spacing_mm
    affine[:3, 3] = first.position
    return np.asarray(_LPS_TO_RAS @ affine, np.float64)

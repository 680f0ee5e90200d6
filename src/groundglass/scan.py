"""Scans and images as records: checked when made, never changed.

Canonical order: ``hu[z, y, x]`` with z from feet to head, y from front to back, x from the patient's right
to left. The affine maps voxel (x, y, z) to millimetres, RAS+ (right, anterior, superior grow).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from groundglass.errors import ScanError

Format = Literal["dicom", "nifti", "nrrd", "image", "memory"]
# (patient's left, back, head): the directions in which x, y and z grow.
CANONICAL = ("L", "P", "S")


@dataclass(frozen=True)
class Notice:
    """Something a reader of the result has to know.

    Attributes:
        text: one sentence, without any identifier, path or header text; it may reach the page and the JSON.
        files: names relative to what the user gave, for the terminal only.
    """

    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Acquisition:
    """What may be told of how a scan was made: numbers, and words from closed lists. Never free header text."""

    manufacturer: str | None = None
    kernel: str | None = None
    kilovolts: float | None = None
    slice_thickness_mm: float | None = None


@dataclass(frozen=True)
class Axes:
    """How the canonical array arises from the file's.

    Attributes:
        order: for the canonical axes z, y, x in turn, the file's axis.
        flipped: for the same, whether the file counts it the other way.
    """

    order: tuple[int, int, int] = (2, 1, 0)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def to_canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array on the file's grid, axes (i, j, k), as ``[z, y, x]``."""
        return np.flip(array.transpose(self.order), self._flipped_axes)

    def from_canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of a canonical array ``[z, y, x]`` on the file's grid, axes (i, j, k)."""
        back: NDArray[Any] = np.flip(array, self._flipped_axes).transpose(np.argsort(self.order).tolist())
        return back

    @property
    def _flipped_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flipped) if flip)


def canonical_axes(affine: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Axes, NDArray[np.float64]]:
    """The canonical order of a file's axes, and the affine of the canonical array.

    Args:
        affine: (4, 4), from the file's voxel (i, j, k) to millimetres, RAS+.
        shape: of the file's array, (i, j, k).

    Returns:
        the axes, and the affine (4, 4) from canonical voxel (x, y, z) to millimetres.
    """
    transform = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(CANONICAL)
    ).astype(int)
    # transform[i] = (canonical axis among x, y, z; direction) of the file's axis i
    file_axis = {int(target): (axis, bool(sign < 0)) for axis, (target, sign) in enumerate(transform)}
    (z, flip_z), (y, flip_y), (x, flip_x) = file_axis[2], file_axis[1], file_axis[0]
    return Axes((z, y, x), (flip_z, flip_y, flip_x)), affine @ orientations.inv_ornt_aff(transform, shape)


@dataclass(frozen=True)
class Source:
    """Where a scan comes from, and what writing a label map back to its grid needs.

    Attributes:
        format: of the file.
        axes: how the canonical array arises from the file's.
        affine: (4, 4), from the file's own voxel (i, j, k) to millimetres, RAS+.
        header: the reader's own header object (nibabel's header, pynrrd's mapping), or None.
        slices: for DICOM the datasets without pixels, in the order of the file grid's third axis.
        acquisition: what may be told of how the scan was made.
        spacing_known: False for images without a pixel size: nothing in mm or mL can be said of them.
        sides_known: False for images whose orientation is unknown: nothing of left or right can be said.
        notices: what a reader of the result has to know.
    """

    format: Format = "memory"
    axes: Axes = Axes()
    affine: NDArray[np.float64] | None = None
    header: Any = field(default=None, repr=False)  # a repr may reach a log, and headers hold names
    slices: tuple[Any, ...] = field(default=(), repr=False)
    acquisition: Acquisition = Acquisition()
    spacing_known: bool = True
    sides_known: bool = True
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT scan in canonical order.

    Attributes:
        hu: Hounsfield units, int16 or float32, ``[z, y, x]``; read-only.
        affine: (4, 4), from voxel (x, y, z) to millimetres, RAS+; read-only.
        source: where it comes from.

    Raises:
        ScanError: another type or shape, a value that is not finite, an affine that is singular or not canonical.
    """

    hu: NDArray[np.int16] | NDArray[np.float32]
    affine: NDArray[np.float64]
    source: Source = field(default=Source(), repr=False)

    def __post_init__(self) -> None:
        hu, affine = self.hu.view(), np.array(self.affine, np.float64)
        if hu.ndim != 3 or 0 in hu.shape:
            raise ScanError(
                f"A scan of shape {hu.shape}.", expected="three dimensions (z, y, x)", remedy="Give a whole volume."
            )
        if hu.dtype not in (np.int16, np.float32):
            raise ScanError(
                f"A scan of type {hu.dtype}.", expected="int16 or float32", remedy="Convert it to Hounsfield units."
            )
        if hu.dtype == np.float32 and not np.isfinite(hu).all():
            raise ScanError(
                "The scan holds values that are not finite (NaN or infinity).",
                expected="Hounsfield units",
                remedy="Replace them, for instance by -1024 (air).",
            )
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ScanError(
                "The affine is not an invertible (4, 4) matrix.",
                expected="voxel to millimetres",
                remedy="Check the orientation and spacing of the file.",
            )
        if orientations.aff2axcodes(affine) != CANONICAL:
            raise ScanError(
                f"Voxel axes run towards {orientations.aff2axcodes(affine)}.",
                expected=f"{CANONICAL}: patient's left, back, head",
                remedy="Reorder with groundglass.scan.canonical_axes.",
            )
        hu.flags.writeable = affine.flags.writeable = False
        object.__setattr__(self, "hu", hu)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along (z, y, x), in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


@dataclass(frozen=True, eq=False)
class GreyImage:
    """Grey values without Hounsfield units, from an 8-bit picture.

    Attributes:
        grey: uint8, ``[z, y, x]`` (one picture: z = 1), in [0, 255], in the file's own orientation; read-only.
        source: where it comes from.
    """

    grey: NDArray[np.uint8]
    source: Source = field(default=Source(format="image", spacing_known=False, sides_known=False), repr=False)

    def __post_init__(self) -> None:
        grey = self.grey.view()
        if grey.ndim != 3 or 0 in grey.shape or grey.dtype != np.uint8:
            raise ScanError(
                f"A grey image of shape {grey.shape} and type {grey.dtype}.",
                expected="uint8 [z, y, x]",
                remedy="Convert it to 8-bit grey.",
            )
        grey.flags.writeable = False
        object.__setattr__(self, "grey", grey)

    def with_window(self, black_hu: float, white_hu: float) -> Scan:
        """The scan that these grey values are, if black and white are the stated Hounsfield units.

        Raises:
            ScanError: black is not below white.
        """
        if not black_hu < white_hu:
            raise ScanError(
                f"A window from {black_hu:g} to {white_hu:g} HU.",
                expected="black below white",
                remedy="Give the HU of black first.",
            )
        hu = (self.grey * np.float32((white_hu - black_hu) / 255) + np.float32(black_hu)).astype(np.float32)
        return Scan(hu, np.diag([-1.0, -1.0, 1.0, 1.0]), self.source)

"""Label volumes: codes on the grid of the scan that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, ReadError
from groundglass.io.files import shown
from groundglass.io.quiet import quiet
from groundglass.scan import Scan, canonical_axes

SAME_PLACE_MM: Final = 0.1  # between a voxel of the scan and of the labels


def read_label_volume(path: Path, scan: Scan) -> NDArray[np.integer[Any]]:
    """The codes of a label volume, ``[z, y, x]``, canonical as the scan.

    Args:
        path: NIfTI; or NRRD, for a scan that is one.
        scan: what was labelled.

    Raises:
        ReadError: damaged, or of another format.
        LabelError: on another grid than the scan's, or values that are no whole numbers.
    """
    name = path.name.lower()
    try:
        with quiet():
            codes = _nifti(path, scan) if name.endswith((".nii", ".nii.gz")) else _nrrd(path, scan)
    except LabelError:
        raise
    except Exception:  # nibabel and pynrrd raise many types on garbage
        raise ReadError(
            f"The labels {shown(path.name)} are damaged or of another format.",
            expected="NIfTI; or NRRD beside an NRRD scan",
            remedy="Export them again as NIfTI.",
        ) from None
    whole = np.rint(codes)
    if not np.array_equal(whole, codes):
        raise LabelError(
            f"The labels {shown(path.name)} hold values that are no whole numbers.",
            expected="codes",
            remedy="Export the label map, not a probability or a resampled one.",
        )
    return np.ascontiguousarray(whole).astype(np.int64)


def _nifti(path: Path, scan: Scan) -> NDArray[Any]:
    import nibabel

    image: Any = nibabel.load(path)
    stored = np.asarray(image.dataobj)
    stored = stored.reshape(stored.shape[:3])  # raises where there is more than one volume
    affine = np.asarray(image.affine, np.float64)
    axes, canonical = canonical_axes(affine, stored.shape)
    codes = axes.to_canonical(stored)
    _check_shape(path, codes.shape, scan)
    z, y, x = (length - 1 for length in codes.shape)
    corners = np.array([[i, j, k, 1.0] for i in (0, x) for j in (0, y) for k in (0, z)]).T
    if np.abs((canonical - scan.affine) @ corners).max() > SAME_PLACE_MM:
        raise _elsewhere(path)
    return codes


def _nrrd(path: Path, scan: Scan) -> NDArray[Any]:
    import nrrd

    stored, header = nrrd.read(str(path))
    codes = scan.source.axes.to_canonical(stored)
    _check_shape(path, codes.shape, scan)
    image: Any = scan.source.header
    for entry in ("space directions", "space origin"):
        if not np.allclose(np.array(header[entry], float), np.array(image[entry], float), atol=1e-4):
            raise _elsewhere(path)
    if str(header.get("space")) != str(image.get("space")):
        raise _elsewhere(path)
    return codes


def _check_shape(path: Path, shape: tuple[int, ...], scan: Scan) -> None:
    if shape != scan.hu.shape:
        raise LabelError(
            f"The labels {shown(path.name)} have {' x '.join(map(str, reversed(shape)))} voxels.",
            expected=f"the scan's {' x '.join(map(str, reversed(scan.hu.shape)))}",
            remedy="Resample them to the grid of the scan.",
        )


def _elsewhere(path: Path) -> LabelError:
    return LabelError(
        f"The labels {shown(path.name)} lie elsewhere in space than their scan.",
        expected="the same orientation, spacing and origin",
        remedy="Resample them to the grid of the scan.",
    )

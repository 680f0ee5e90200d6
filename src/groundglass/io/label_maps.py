"""Label maps from files: codes, whatever the format."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, ReadError
from groundglass.io.files import InputFile, in_memory, shown
from groundglass.io.limits import MAX_PLANE
from groundglass.io.nrrd import affine_of
from groundglass.io.quiet import quiet
from groundglass.scan import canonical_axes


def read_codes(file: InputFile) -> NDArray[np.uint8]:
    """The codes of a label picture, uint8 (y, x): of a palette picture the indices, of a grey one the values.

    Raises:
        ReadError: damaged, or no PNG.
        LabelError: a picture in colour or with 16 bits, whose values are no codes.
    """
    from PIL import Image

    content = file.read()
    try:
        with quiet(), Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            small, mode = picture.width * picture.height <= MAX_PLANE, picture.mode
            codes = np.array(picture) if small and mode in ("P", "L", "1") else None
    except Exception:  # Pillow raises many types on garbage
        raise ReadError(
            f"The label picture {shown(file.name)} is truncated or damaged.",
            expected="a whole PNG",
            remedy="Copy or export it again.",
        ) from None
    if codes is None:
        raise LabelError(
            f"The label picture {shown(file.name)} has colours or 16 bits a pixel (mode {mode}).",
            expected="a PNG of at most 8192 x 8192 pixels whose 8-bit grey or palette values are codes",
            remedy="Save it as a palette or grey picture.",
        )
    return codes.astype(np.uint8)


def read_label_map(path: Path) -> NDArray[np.int64]:
    """The codes of a label map, ``[z, y, x]``: NIfTI and NRRD in canonical order, a PNG as one slice as it is.

    Raises:
        ReadError: damaged, or of another format.
        LabelError: values that are no codes.
    """
    if path.name.lower().endswith(".png"):
        return read_codes(in_memory(path.name, path.read_bytes()))[None].astype(np.int64)
    return read_label_volume(path)[0]


def read_label_volume(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The codes of a NIfTI or NRRD in canonical order, ``[z, y, x]``, and the affine from voxel (x, y, z) to mm, RAS+.

    Raises:
        ReadError: damaged, or of another format.
        LabelError: values that are no whole numbers.
    """
    codes, canonical = _canonical(path)
    whole = np.rint(codes)
    if not np.array_equal(whole, codes):
        raise LabelError(
            f"The labels {shown(path.name)} hold values that are no whole numbers.",
            expected="codes",
            remedy="Export the label map, not a probability or a resampled one.",
        )
    return np.ascontiguousarray(whole).astype(np.int64), canonical


def read_map(path: Path) -> NDArray[np.float32]:
    """A map of probabilities in [0, 1], ``[z, y, x]`` in canonical order: floats as they are, bytes by 255.

    Raises:
        ReadError: damaged, or of another format.
        LabelError: a value that is no probability.
    """
    if path.name.lower().endswith(".png"):
        stored: NDArray[Any] = read_codes(in_memory(path.name, path.read_bytes()))[None]
    else:
        stored, _ = _canonical(path)
    values = stored.astype(np.float32) / np.float32(255 if np.issubdtype(stored.dtype, np.integer) else 1)
    if not (values.size and np.isfinite(values).all() and values.min() >= -1e-5 and values.max() <= 1 + 1e-5):
        raise LabelError(
            f"The map {shown(path.name)} holds values that are no probabilities.",
            expected="0 to 1, or a byte of 0 to 255",
            remedy="Scale it, or give label maps with --prediction-kind labels.",
        )
    return np.ascontiguousarray(values.clip(0, 1))


def spacing_of(path: Path) -> tuple[float, float, float] | None:
    """Spacing of a label map along (z, y, x), mm; None for a picture, which has none.

    Raises:
        ReadError: damaged, or of another format.
    """
    if path.name.lower().endswith(".png"):
        return None
    x, y, z = np.linalg.norm(_canonical(path)[1][:3, :3], axis=0)
    return float(z), float(y), float(x)


def _canonical(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Values ``[z, y, x]`` and the affine from voxel (x, y, z) to mm, RAS+."""
    try:
        with quiet():
            stored, affine = _nrrd(path) if path.name.lower().endswith(".nrrd") else _nifti(path)
            axes, canonical = canonical_axes(affine, stored.shape)
            return axes.to_canonical(stored), canonical
    except Exception:  # nibabel and pynrrd raise many types on garbage
        raise ReadError(
            f"The labels {shown(path.name)} are damaged or of another format.",
            expected="three-dimensional NIfTI or NRRD",
            remedy="Export them again as NIfTI.",
        ) from None


def _nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    import nibabel

    image: Any = nibabel.load(path)
    stored = np.asarray(image.dataobj)
    # raises where there is more than one volume
    return stored.reshape(stored.shape[:3]), np.asarray(image.affine, np.float64)


def _nrrd(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    import nrrd

    stored, header = nrrd.read(str(path))
    return stored, affine_of(header)[0]

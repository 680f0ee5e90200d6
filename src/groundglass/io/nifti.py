"""NIfTI-1 and NIfTI-2, single files or pairs, gzipped or not: scans in, label maps out.

Headers are nibabel's, taken without its repairs; sizes are checked before data are unpacked.
"""

from __future__ import annotations

import gzip
import io
import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, ScanError
from groundglass.io.atomic import write_file
from groundglass.io.files import InputFile
from groundglass.io.limits import check_payload, check_voxels, peek, unpack
from groundglass.io.quiet import quiet
from groundglass.io.volume import NO_ORIENTATION, check_three_axes, damaged_header, to_scan
from groundglass.scan import Notice, Scan

GZIP_MAGIC: Final = b"\x1f\x8b"
_HEADER_BYTES: Final = 540  # of NIfTI-2; NIfTI-1 has 348
_MM_PER_UNIT: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, millimetre, micron
# What places a voxel in space; all else in a header may tell of the patient or the site.
_GEOMETRY: Final = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def looks_like_nifti(head: bytes) -> bool:
    """Whether the (unpacked) first 540 bytes of a file are a NIfTI header."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def head_of(file: InputFile) -> bytes:
    """A file's first bytes, unpacked if it is a gzip."""
    head = file.read(_HEADER_BYTES)
    return peek(file.read(4096), _HEADER_BYTES) if head[:2] == GZIP_MAGIC else head


def read_nifti(file: InputFile, pair: InputFile | None = None) -> Scan:
    """Read a CT scan in Hounsfield units.

    Args:
        file: the ``.nii``, ``.nii.gz``, or ``.hdr`` of a pair.
        pair: the ``.img`` of a pair.

    Raises:
        ReadError: damaged, truncated, or of a type that is no CT.
        ScanError: not one volume, sheared, without spacing, or values that are no HU.
    """
    header = _parse(head_of(file))
    shape = tuple(int(length) for length in header["dim"][1 : 1 + int(header["dim"][0])])
    axes = check_three_axes(shape)
    count = check_voxels(axes)
    with quiet():
        affine, notices = _affine(header)
    stored = np.frombuffer(_data(file, pair, header, count), header.get_data_dtype(), count)
    return to_scan(
        stored.reshape(axes, order="F"),
        affine,
        format="nifti",
        header=header,
        rescaling=_rescaling(header),
        notices=notices,
    )


def _parse(head: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

    if head[4:8] in (b"n+2\0", b"ni2\0"):
        kind, size = (Nifti2Header if head[4:8] == b"n+2\0" else Nifti2PairHeader), 540
    elif head[344:348] in (b"n+1\0", b"ni1\0"):
        kind, size = (Nifti1Header if head[344:348] == b"n+1\0" else Nifti1PairHeader), 348
    else:
        raise damaged_header("NIfTI")
    try:
        header = kind(head[:size], check=False)
        dtype = header.get_data_dtype()
        sane = 1 <= int(header["dim"][0]) <= 7
    except Exception:  # nibabel raises several types on garbage
        raise damaged_header("NIfTI") from None
    if not sane:
        raise damaged_header("NIfTI")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ReadError(
            "The voxels are colours, complex numbers or of another type that CT does not have.",
            expected="whole or real numbers",
            remedy="Give the scan itself.",
        )
    return header


def _data(file: InputFile, pair: InputFile | None, header: Any, count: int) -> bytes:
    """The bytes of the voxels, no more and no fewer."""
    single = bytes(header["magic"].tobytes())[1:2] == b"+"
    holder = file if single else pair
    if holder is None:
        raise ReadError(
            "The header has no image file (.img) beside it.", expected="a pair", remedy="Put both in one folder."
        )
    offset = float(header["vox_offset"])
    if not 0 <= offset <= 2**31 or not offset.is_integer():
        raise damaged_header("NIfTI")
    start = max(int(offset), int(header.sizeof_hdr) + 4) if single else int(offset)
    end = start + count * header.get_data_dtype().itemsize
    if holder.read(2) == GZIP_MAGIC:
        return unpack(holder.read(), end, "gzip")[start:]
    check_payload(end, holder.size)
    return holder.read(end)[start:]


def _rescaling(header: Any) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    return (slope, intercept) if np.isfinite(slope) and slope != 0 else (1.0, 0.0)


def _affine(header: Any) -> tuple[NDArray[np.float64], tuple[Notice, ...]]:
    """(4, 4) from (i, j, k) to millimetres, and what was assumed."""
    unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7)
    if unit is None:
        raise ScanError(
            "The unit of length is none of NIfTI's.", expected="millimetres", remedy="Correct xyzt_units in the header."
        )
    notices: tuple[Notice, ...] = ()
    try:
        if int(header["sform_code"]) > 0:
            affine = header.get_sform()
        elif int(header["qform_code"]) > 0:
            affine = header.get_qform()
        else:
            affine, notices = header.get_base_affine(), (NO_ORIENTATION,)
    except Exception:  # quaternions that are none
        raise damaged_header("NIfTI") from None
    return np.diag([unit, unit, unit, 1.0]) @ np.asarray(affine, np.float64), notices


def write_nifti(
    path: str | os.PathLike[str], values: NDArray[np.uint8] | NDArray[np.int16], scan: Scan, slope: float = 1.0
) -> None:
    """Write a label map or the like on the input's own grid; for NIfTI input with its geometry to the bit.

    Args:
        path: ends in ``.nii.gz`` or ``.nii``.
        values: on the scan's canonical grid ``[z, y, x]``.
        scan: what was segmented.
        slope: what a reader multiplies the values by.

    Raises:
        WriteError: it could not be written.
    """
    on_grid = scan.source.axes.from_canonical(values)
    header = _header_like(scan, on_grid.shape)
    header.set_data_dtype(values.dtype)
    header["scl_slope"], header["scl_inter"] = slope, 0
    content = header.structarr.tobytes() + bytes(4) + on_grid.astype(header.get_data_dtype()).tobytes(order="F")
    if str(path).endswith(".gz"):
        packed = io.BytesIO()
        # no file name and no time of day in it; label maps pack well at any level
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=packed, mtime=0) as stream:
            stream.write(content)
        content = packed.getvalue()
    write_file(path, content)


def _header_like(scan: Scan, shape: tuple[int, ...]) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    source = scan.source
    if source.format == "nifti" and source.header is not None:
        kind = Nifti2Header if int(source.header["sizeof_hdr"]) == 540 else Nifti1Header
        header = kind(endianness=source.header.endianness)
        for name in _GEOMETRY:
            header[name] = source.header[name]
    else:
        header = Nifti1Header() if max(shape) < 32768 else Nifti2Header()
        header.set_data_shape(shape)
        affine = scan.affine if source.affine is None else source.affine
        header.set_qform(affine, code=1)
        header.set_sform(affine, code=1)
        header["xyzt_units"] = 2  # millimetres
    header["vox_offset"] = int(header.sizeof_hdr) + 4
    return header

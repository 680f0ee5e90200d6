"""NRRD: scans in, label maps out as 3D Slicer's segmentations (.seg.nrrd)."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, ScanError
from groundglass.io.atomic import write_file
from groundglass.io.files import InputFile
from groundglass.io.limits import check_payload, check_voxels, unpack
from groundglass.io.quiet import quiet
from groundglass.io.volume import NO_ORIENTATION, check_three_axes, damaged_header, to_scan
from groundglass.labels import COLOUR_OF_CODE, NAME_OF_CODE
from groundglass.scan import Notice, Scan

MAGIC: Final = b"NRRD000"
_MAX_HEADER: Final = 2**20
_MAX_TEXT_BYTES: Final = 32  # of a number in text
_MAX_LINES: Final = 2**16  # to skip
_MM_PER_UNIT: Final = {"": 1.0, "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "μm": 0.001}
# Signs that bring a named space to RAS+.
_SPACES: Final = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_TYPES: Final = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}


def read_nrrd(file: InputFile, neighbour: Any = None) -> Scan:
    """Read a CT scan in Hounsfield units.

    Args:
        file: the ``.nrrd``, or the ``.nhdr`` of a detached pair.
        neighbour: finds a file by its plain name in the same folder, for a detached pair.

    Raises:
        ReadError: damaged, truncated, or of an encoding or type that is not read.
        ScanError: not one volume, sheared, without spacing, or values that are no HU.
    """
    head, data = _split(file)
    header = _parse(head)
    shape = tuple(int(length) for length in header["sizes"])
    axes = check_three_axes(shape)
    count = check_voxels(axes)
    affine, notices = affine_of(header)
    if "data file" in header or "datafile" in header:
        data = _detached(header, neighbour)
    stored = _decode(data, header, count)
    return to_scan(stored.reshape(axes, order="F"), affine, format="nrrd", header=_geometry(header), notices=notices)


def _split(file: InputFile) -> tuple[bytes, bytes]:
    """The header with its empty line, and what follows; a detached header may end without one."""
    content = file.read()
    ends = [place + length for mark, length in ((b"\n\n", 2), (b"\r\n\r\n", 4)) if (place := content.find(mark)) >= 0]
    end = min(ends) if ends else len(content)
    if end > _MAX_HEADER:
        raise damaged_header("NRRD")
    return content[:end], content[end:]


def _parse(head: bytes) -> Mapping[str, Any]:
    import nrrd

    try:
        with quiet():
            header: Mapping[str, Any] = nrrd.read_header(io.BytesIO(head))
        sane = len(header["sizes"]) == header["dimension"] and "encoding" in header and "type" in header
    except Exception:  # pynrrd raises several types on garbage, and their texts hold header values
        raise damaged_header("NRRD") from None
    if not sane:
        raise damaged_header("NRRD")
    return header


def _detached(header: Mapping[str, Any], neighbour: Any) -> bytes:
    name = str(header.get("data file", header.get("datafile")))
    file: InputFile | None = neighbour(name) if neighbour else None
    if file is None:
        raise ReadError(
            "The header's data file is not beside it (or it is a list or a path).",
            expected="one data file in the same folder",
            remedy="Save the scan as a single .nrrd.",
        )
    return file.read()


def _decode(data: bytes, header: Mapping[str, Any], count: int) -> NDArray[Any]:
    """The stored values, flat."""
    kind, encoding = _TYPES.get(str(header["type"]).lower()), str(header["encoding"]).lower()
    encoding = {"gz": "gzip", "bz2": "bzip2", "txt": "ascii", "text": "ascii"}.get(encoding, encoding)
    if kind is None or encoding not in ("raw", "gzip", "bzip2", "ascii"):
        raise ReadError(
            "The voxels have a type or an encoding that is not read.",
            expected="numbers, encoded as raw, gzip, bzip2 or ascii",
            remedy="Save the scan again with gzip encoding.",
        )
    dtype = np.dtype(("<" if header.get("endian", "little") == "little" else ">") + kind)
    skip, size = int(header.get("byte skip", header.get("byteskip", 0))), count * dtype.itemsize
    data = _after_lines(data, int(header.get("line skip", header.get("lineskip", 0))))
    if encoding == "ascii":
        return _numbers(data, dtype, count)
    if skip < -1 or skip > 2**31:
        raise damaged_header("NRRD")
    if encoding != "raw":
        return np.frombuffer(unpack(data, max(skip, 0) + size, encoding)[max(skip, 0) :], dtype, count)
    start = len(data) - size if skip == -1 else skip
    check_payload(size, len(data) - max(start, 0))
    return np.frombuffer(data, dtype, count, start)


def _after_lines(data: bytes, lines: int) -> bytes:
    """What follows so many lines; nothing where there are fewer."""
    if not 0 <= lines <= _MAX_LINES:
        raise damaged_header("NRRD")
    start = 0
    for _ in range(lines):
        start = data.find(b"\n", start) + 1
        if not start:
            return b""
    return data[start:]


def _numbers(data: bytes, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    check_payload(2 * count - 1, len(data))
    try:
        return np.array(data[: count * _MAX_TEXT_BYTES].split()[:count], np.float64).astype(dtype).reshape(count)
    except (ValueError, OverflowError):
        raise damaged_header("NRRD") from None


def affine_of(header: Mapping[str, Any]) -> tuple[NDArray[np.float64], tuple[Notice, ...]]:
    """(4, 4) from (i, j, k) to millimetres, RAS+, and what was assumed.

    Raises:
        ReadError: a header that is damaged.
        ScanError: a space or unit that patients do not lie in.
    """
    space = str(header.get("space", "")).lower()
    try:
        directions = header.get("space directions")
        if directions is None:
            spacings = np.abs(np.array(header.get("spacings", [np.nan] * 3), np.float64)[:3])
            directions = np.diag(spacings)
        columns = np.array(directions, np.float64).reshape(-1, 3)[:3].T
        origin = np.array(header.get("space origin", (0.0, 0.0, 0.0)), np.float64).reshape(3)
        units = [str(unit).strip('" ').lower() for unit in header.get("space units", [""])]
    except (ValueError, TypeError):
        raise damaged_header("NRRD") from None
    if (space and space not in _SPACES) or len(set(units)) != 1 or units[0] not in _MM_PER_UNIT:
        raise ScanError(
            "The space or unit of the NRRD is none that patients lie in.",
            expected="LPS, RAS or LAS in mm",
            remedy="Save the scan again from 3D Slicer or ITK-SNAP.",
        )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, origin
    signs = np.array(_SPACES.get(space, _SPACES["lps"])) * _MM_PER_UNIT[units[0]]
    return np.diag([*signs, 1.0]) @ affine, () if space else (NO_ORIENTATION,)


def _geometry(header: Mapping[str, Any]) -> dict[str, Any]:
    """What of a header places a voxel in space; the rest is not kept."""
    kept = ("sizes", "space", "space directions", "space origin", "space units", "spacings")
    return {name: header[name] for name in kept if name in header}


def write_nrrd_labels(path: str | os.PathLike[str], codes: NDArray[np.uint8], scan: Scan) -> None:
    """Write a label map on the input's own grid as a segmentation with names and colours.

    Args:
        path: should end in ``.seg.nrrd``, by which 3D Slicer knows it.
        codes: 0 to 3, on the scan's canonical grid ``[z, y, x]``.
        scan: what was segmented.

    Raises:
        WriteError: it could not be written.
    """
    write_nrrd(path, codes, scan, _segment_lines(scan.source.axes.from_canonical(codes).shape))


def write_nrrd(
    path: str | os.PathLike[str], values: NDArray[np.uint8], scan: Scan, more_lines: Sequence[str] = ()
) -> None:
    """Write bytes on the input's own grid.

    Args:
        path: ends in ``.nrrd``.
        values: on the scan's canonical grid ``[z, y, x]``.
        scan: what was segmented.
        more_lines: of the header.

    Raises:
        WriteError: it could not be written.
    """
    on_grid = scan.source.axes.from_canonical(values)
    lines = [
        "NRRD0004",
        "type: unsigned char",
        "dimension: 3",
        *_space_lines(scan),
        f"sizes: {' '.join(map(str, on_grid.shape))}",
        "kinds: domain domain domain",
        "encoding: gzip",
        *more_lines,
    ]
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=1, fileobj=packed, mtime=0) as stream:
        stream.write(on_grid.astype(np.uint8).tobytes(order="F"))
    write_file(path, "\n".join(lines).encode("ascii") + b"\n\n" + packed.getvalue())


def _space_lines(scan: Scan) -> list[str]:
    """The input's own numbers if it was an NRRD with a space, else its affine in LPS."""
    header = scan.source.header if scan.source.format == "nrrd" else None
    if header and "space" in header and len(header.get("space directions", ())) == 3 and "space units" not in header:
        origin = header.get("space origin", (0.0, 0.0, 0.0))
        return _space(_long_name(str(header["space"])), header["space directions"], origin)
    affine = scan.affine if scan.source.affine is None else scan.source.affine
    in_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return _space("left-posterior-superior", in_lps[:3, :3].T, in_lps[:3, 3])


def _long_name(space: str) -> str:
    signs = _SPACES[space.lower()]
    return next(name for name, other in _SPACES.items() if other == signs)


def _space(name: str, directions: Any, origin: Any) -> list[str]:
    def vector(values: Any) -> str:
        return "(" + ",".join(repr(float(value) + 0.0) for value in values) + ")"

    return [
        f"space: {name}",
        f"space directions: {' '.join(vector(direction) for direction in directions)}",
        f"space origin: {vector(origin)}",
    ]


def _segment_lines(shape: tuple[int, ...]) -> list[str]:
    extent = " ".join(f"0 {length - 1}" for length in shape)
    lines = [
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    for segment, code in enumerate(code for code in NAME_OF_CODE if code):
        colour = " ".join(f"{part / 255:.6f}" for part in COLOUR_OF_CODE[code])
        lines += [
            f"Segment{segment}_ID:=Segment_{code}",
            f"Segment{segment}_Name:={NAME_OF_CODE[code]}",
            f"Segment{segment}_NameAutoGenerated:=0",
            f"Segment{segment}_Color:={colour}",
            f"Segment{segment}_ColorAutoGenerated:=0",
            f"Segment{segment}_Extent:={extent}",
            f"Segment{segment}_LabelValue:={code}",
            f"Segment{segment}_Layer:=0",
            f"Segment{segment}_Tags:=|",
        ]
    return lines

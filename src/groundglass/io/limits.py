"""How much an input may declare or unpack to, and reading that keeps to it.

A header of a few bytes can declare petabytes and a gzip of a megabyte can hold a gigabyte; sizes are
therefore checked before anything is allocated.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Sequence
from math import prod
from typing import Final

from groundglass.errors import ReadError, ScanError

# The largest scan taken: 1024 x 1024 x 1024 voxels, 2 GiB as int16.
MAX_VOXELS: Final = 2**30
# The largest plane taken: of 8192 x 8192 pixels.
MAX_PLANE: Final = 2**26
# The largest single file that is read as a whole, in bytes.
MAX_FILE: Final = 2**33
# Deflate and bzip2 cannot pack tighter than this; who declares more lies.
MAX_DEFLATE_RATIO: Final = 1100
MAX_BZIP2_RATIO: Final = 50_000
_CHUNK: Final = 2**24
_UNPACK_ERRORS: Final = (OSError, EOFError, zlib.error, ValueError)


def check_voxels(shape: Sequence[int]) -> int:
    """The number of voxels of a declared shape.

    Raises:
        ReadError: a length that is not positive.
        ScanError: more voxels than are taken.
    """
    if any(length < 1 for length in shape):
        raise ReadError(
            "The file declares an axis without voxels.",
            expected="positive sizes",
            remedy="The file is damaged or empty; export it again.",
        )
    count = prod(int(length) for length in shape)
    if count > MAX_VOXELS:
        raise ScanError(
            f"The file declares {' x '.join(str(int(length)) for length in shape)} voxels.",
            expected=f"at most {MAX_VOXELS} in all",
            remedy="Crop or resample the scan first, if it is not damaged.",
        )
    return count


def unpack(packed: bytes, size: int, encoding: str) -> bytes:
    """The first ``size`` bytes of what is packed.

    Args:
        packed: the packed bytes.
        size: in bytes, of the unpacked beginning that is wanted.
        encoding: ``gzip`` or ``bzip2``.

    Raises:
        ReadError: truncated, damaged, or packed into fewer bytes than ``size`` can be.
    """
    ratio = MAX_DEFLATE_RATIO if encoding == "gzip" else MAX_BZIP2_RATIO
    if size > ratio * len(packed):
        raise _short()
    try:
        buffer = io.BytesIO(packed)
        with gzip.GzipFile(fileobj=buffer) if encoding == "gzip" else bz2.BZ2File(buffer) as stream:
            unpacked = bytearray()
            while len(unpacked) < size:
                chunk = stream.read(min(_CHUNK, size - len(unpacked)))
                if not chunk:
                    raise _short()
                unpacked += chunk
            stream.read(64)  # meets the checksum, if the data end here
    except _UNPACK_ERRORS:
        raise ReadError(
            f"The compressed ({encoding}) data are truncated or damaged.",
            expected="a whole file",
            remedy="Copy or export the file again.",
        ) from None
    return bytes(unpacked)


def peek(packed: bytes, size: int) -> bytes:
    """At most the first ``size`` bytes of a gzip's beginning, empty if it is none; never raises."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, size)
    except zlib.error:
        return b""


def _short() -> ReadError:
    return ReadError(
        "The file holds less than its header declares.",
        expected="a whole file",
        remedy="It is truncated or damaged: copy or export it again.",
    )


def check_payload(declared: int, present: int) -> None:
    """Raise ReadError where a file declares more bytes of data than it holds."""
    if declared > present:
        raise _short()

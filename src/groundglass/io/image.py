"""Pictures: PNG or JPG, one or a folder of equal size, 8-bit grey. They hold no Hounsfield units."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import GroundglassError, ReadError, ScanError
from groundglass.io.atomic import OutputFolder, write_file
from groundglass.io.files import InputFile, shown
from groundglass.io.limits import MAX_PLANE, check_voxels
from groundglass.io.quiet import quiet
from groundglass.labels import COLOUR_OF_CODE
from groundglass.scan import GreyImage, Notice, Source

MAGICS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_DEPTH: Final = 24  # where a PNG's header says how many bits a channel has
_COLOUR_TOLERANCE: Final = 8  # grey values; JPEG stores colour apart from grey and rounds both
_ASSUMED: Final = Notice(
    "Pictures hold no Hounsfield units, pixel size or orientation: what is said in HU, mm or mL, or of sides,"
    " is assumed."
)


def read_images(files: Sequence[InputFile]) -> GreyImage:
    """Read pictures as the slices of one image, in natural order of their names (2 before 10).

    Raises:
        ReadError: damaged, truncated, or larger than any slice.
        ScanError: colours, 16 bits, several frames, or pictures of different sizes.
    """
    ordered = sorted(files, key=lambda file: natural(file.name))
    with quiet():
        first = _grey(ordered[0])
        check_voxels((len(ordered), *first.shape))
        planes = [first]
        for file in ordered[1:]:
            plane = _grey(file)
            if plane.shape != first.shape:
                raise ScanError(
                    f"The pictures differ in size: {_size(first)} and {_size(plane)} ({shown(file.name)}).",
                    expected="slices of one size",
                    remedy="Give pictures of different scans one by one.",
                )
            planes.append(plane)
    source = Source(format="image", spacing_known=False, sides_known=False, notices=(_ASSUMED,))
    return GreyImage(np.stack(planes), source)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers within names by value."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part[:18]), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]


def _size(plane: NDArray[Any]) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]}"


def _grey(file: InputFile) -> NDArray[np.uint8]:
    """One picture, uint8 ``[y, x]``."""
    from PIL import Image

    content = file.read()
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PLANE or getattr(image, "n_frames", 1) > 1:
                raise ScanError(
                    f"A picture of {image.width} x {image.height} pixels, {getattr(image, 'n_frames', 1)} frames.",
                    expected="one frame of at most 8192 x 8192",
                    remedy="Give one CT slice.",
                )
            if content.startswith(MAGICS[0]) and content[_DEPTH] == 16:
                raise _sixteen(file.name)  # Pillow keeps the upper half of each channel and says nothing
            return _to_grey(image, file.name)
    except GroundglassError:
        raise
    except Exception:  # Pillow raises many types on garbage, its own bomb check among them
        raise ReadError(
            f"The picture {shown(file.name)} is truncated or damaged.",
            expected="a whole PNG or JPG of at most 8192 x 8192 pixels",
            remedy="Copy or export it again.",
        ) from None


def _to_grey(image: Any, name: str) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        raise _sixteen(name)
    if image.mode == "CMYK":
        raise _colour(name)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))
    channels = np.array(image.convert("RGB"))
    if int(np.ptp(channels.astype(np.int16), axis=2).max()) > _COLOUR_TOLERANCE:
        raise _colour(name)
    return np.ascontiguousarray(channels[..., 1])


def _sixteen(name: str) -> ScanError:
    return ScanError(
        f"The picture {shown(name)} has 16 bits a pixel.",
        expected="8-bit grey",
        remedy="If it holds Hounsfield units give the scan as NIfTI or DICOM, else convert it to 8 bits.",
    )


def _colour(name: str) -> ScanError:
    return ScanError(
        f"The picture {shown(name)} is in colour.",
        expected="8-bit grey",
        remedy="Give the CT slice without overlays or colour maps.",
    )


def write_image_labels(path: str | os.PathLike[str], codes: NDArray[np.uint8]) -> None:
    """Write a label map as palette PNGs whose pixel values are the codes.

    Args:
        path: a ``.png`` for one slice; else a folder that receives ``0001.png`` and so on, in natural order of
            the input's names (which are not repeated: they may name a patient).
        codes: 0 to 3, ``[z, y, x]``.

    Raises:
        WriteError: it could not be written.
    """
    _write(Path(path), codes, [part for code in sorted(COLOUR_OF_CODE) for part in COLOUR_OF_CODE[code]])


def write_grey_images(path: str | os.PathLike[str], values: NDArray[np.uint8]) -> None:
    """Write slices ``[z, y, x]`` as 8-bit grey PNGs; path and names as for `write_image_labels`.

    Raises:
        WriteError: it could not be written.
    """
    _write(Path(path), values, None)


def _write(target: Path, planes: NDArray[np.uint8], palette: list[int] | None) -> None:
    if target.suffix.lower() == ".png" and len(planes) == 1:
        write_file(target, _png(planes[0], palette))
        return
    with OutputFolder(target) as output:
        for number, plane in enumerate(planes, 1):
            write_file(output.path(f"{number:04d}.png"), _png(plane, palette))


def _png(plane: NDArray[np.uint8], palette: list[int] | None) -> bytes:
    from PIL import Image

    size = plane.shape[1], plane.shape[0]
    picture = Image.frombytes("L" if palette is None else "P", size, plane.astype(np.uint8).tobytes())
    if palette is not None:
        picture.putpalette(palette)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=2)  # a quarter of the time for an eighth more bytes
    return stream.getvalue()

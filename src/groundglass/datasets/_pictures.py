"""What readers of picture sets share: a folder of pictures as the slices of one volume."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError
from groundglass.io import InputFile
from groundglass.io.files import shown
from groundglass.io.image import natural, read_images

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})


def by_folder(files: Iterable[InputFile]) -> dict[str, list[InputFile]]:
    """Pictures by the folder they lie in, each folder's in natural order of their names."""
    folders = defaultdict[str, list[InputFile]](list)
    for file in files:
        if file.suffix in SUFFIXES:
            folders[str(PurePosixPath(file.name).parent)].append(file)
    return {folder: sorted(found, key=lambda file: natural(file.name)) for folder, found in folders.items()}


def read_picture(file: InputFile) -> NDArray[np.uint8]:
    """A picture, uint8 (y, x), as it lies.

    Raises:
        ReadError: truncated or damaged.
        ScanError: in colour, or of 16 bits.
    """
    picture: NDArray[np.uint8] = read_images([file]).grey[0]
    return picture


def numbers(files: Iterable[InputFile]) -> tuple[int, ...]:
    """The place of each picture in its volume: its name where all names are numbers, else 1, 2, 3, ..."""
    stems = [PurePosixPath(file.name).stem for file in files]
    given = [int(stem) for stem in stems if stem.isascii() and stem.isdecimal()]
    return tuple(given if len(set(given)) == len(stems) else range(1, len(stems) + 1))


def read_table(file: InputFile, needed: tuple[str, ...]) -> list[Mapping[str, str]]:
    """The rows of a CSV file with a header.

    Raises:
        ReadError: no such table.
    """
    try:
        rows: list[Mapping[str, str]] = list(csv.DictReader(io.StringIO(file.read().decode("utf-8-sig"))))
        complete = all(row.get(column) is not None for row in rows for column in needed)
    except (UnicodeDecodeError, csv.Error):
        complete = False
    if not complete:
        raise ReadError(
            f"{shown(file.name)} is no table with what is needed.",
            expected=f"UTF-8, with the columns {', '.join(needed)}",
            remedy="Correct it, or move it away.",
        )
    return rows

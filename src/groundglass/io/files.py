"""A file among those a user gave, wherever it lies: on a disk, in a zip, in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from groundglass.errors import ReadError
from groundglass.io.limits import MAX_FILE

_IGNORED: Final = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True, eq=False)
class InputFile:
    """A file among those a user gave.

    Attributes:
        name: relative to what the user gave, with ``/``; for one file its last component. Never absolute.
        size: in bytes.
        opener: opens it for reading, seekable; told how many bytes are needed, -1 for all.
    """

    name: str
    size: int
    opener: Callable[[int], BinaryIO] = field(repr=False)

    def open(self, size: int = -1) -> BinaryIO:
        """The file, or at least its first ``size`` bytes, as a seekable stream.

        Raises:
            ReadError: it cannot be read, or it is a damaged member of an archive.
        """
        try:
            return self.opener(size)
        except OSError:
            raise unreadable(self.name) from None

    def read(self, size: int = -1) -> bytes:
        """The file's first ``size`` bytes, or all of it.

        Raises:
            ReadError: it cannot be read, or is larger than any scan.
        """
        if size < 0 and self.size > MAX_FILE:
            raise ReadError(
                f"{shown(self.name)} has {self.size} bytes.",
                expected=f"at most {MAX_FILE}",
                remedy="Split or crop it first.",
            )
        with self.open(size) as stream:
            try:
                return stream.read(size)
            except OSError:
                raise unreadable(self.name) from None

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, ``.gz`` for ``.nii.gz``."""
        return PurePosixPath(self.name).suffix.lower()


def shown(name: str, length: int = 80) -> str:
    """A name or description fit for a terminal: no control characters, no markup, at most ``length`` long."""
    plain = "".join(c if c.isprintable() else " " for c in name.translate({ord("["): "(", ord("]"): ")"}))
    plain = " ".join(plain.replace("\\", "/").split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def is_file(path: Path) -> bool:
    """Whether a file is there, as far as can be told: a folder without permission or a name too long holds none."""
    try:
        return path.is_file()
    except OSError:
        return False


def hidden(name: str) -> bool:
    """Whether a relative name is one that a system made and no user means."""
    return any(part.startswith(".") or part in _IGNORED for part in name.split("/"))


def unreadable(name: str) -> ReadError:
    """The error for a file or folder that exists and cannot be read."""
    return ReadError(
        f"{shown(name) or 'The path'} cannot be read.",
        expected="a readable file or folder",
        remedy="Check its permissions and the disk.",
    )


def in_memory(name: str, content: bytes) -> InputFile:
    """An input file that is not on a disk."""
    return InputFile(name, len(content), lambda _size: io.BytesIO(content))

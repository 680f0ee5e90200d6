"""What a user gave, as a list of files: a folder, a zip or one file. Nothing is ever extracted to disk."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from groundglass.errors import ReadError, UsageError
from groundglass.io.limits import MAX_FILE

_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


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


@dataclass(frozen=True, eq=False)
class Listing:
    """The files that a path stands for.

    Attributes:
        kind: what the path is.
        files: sorted by name; hidden files left out.
        beside: for one file, finds a plain name in the same folder.
    """

    kind: Literal["file", "folder", "zip"]
    files: tuple[InputFile, ...]
    beside: Callable[[str], InputFile | None] = field(default=lambda _: None, repr=False)

    def neighbour(self, file: InputFile, name: str) -> InputFile | None:
        """The file called ``name`` in the folder of ``file``; None if there is none or the name has a folder."""
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            return None
        wanted = (file.name.rpartition("/")[0] + "/" + name).lstrip("/")
        return next((other for other in self.files if other.name == wanted), None) or self.beside(name)


def list_files(path: str | os.PathLike[str]) -> Listing:
    """List what the user gave.

    Raises:
        UsageError: there is nothing at this path.
        ReadError: it cannot be read, is no regular file, or is a zip that is not safe or not whole.
    """
    given = Path(path)
    try:
        mode = given.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(
            f"There is nothing at {shown(given.name) or 'the empty path'}.",
            expected="a file or folder that exists",
            remedy="Check the path for a misspelling.",
        ) from None
    except OSError:  # no permission, a loop of links, a name too long
        raise unreadable(given.name) from None
    if stat.S_ISDIR(mode):
        return Listing("folder", tuple(_in_folder(given)))
    if not stat.S_ISREG(mode):
        raise ReadError(
            f"{shown(given.name)} is a device or pipe.", expected="a file or folder", remedy="Save it to a file first."
        )
    file = _on_disk(given, given.name)
    if file.read(4) in _ZIP_MAGIC or file.suffix == ".zip":
        from groundglass.io.archive import list_zip

        return Listing("zip", tuple(list_zip(given)))
    return Listing("file", (file,), lambda name: _beside(given, name))


def shown(name: str, length: int = 80) -> str:
    """A name or description fit for a terminal: no control characters, no markup, at most ``length`` long."""
    plain = "".join(c if c.isprintable() else " " for c in name.translate({ord("["): "(", ord("]"): ")"}))
    plain = " ".join(plain.replace("\\", "/").split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"


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


def _in_folder(root: Path) -> Iterator[InputFile]:
    """Regular files below a folder, sorted; links are followed, each real folder once."""
    seen: set[tuple[int, int]] = set()

    def walk(folder: Path, prefix: str) -> Iterator[InputFile]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
            names = sorted(child.name for child in folder.iterdir())
        except OSError:
            raise unreadable(prefix.rstrip("/") or root.name) from None
        for name in names:
            if hidden(name):
                continue
            child = folder / name
            try:
                mode = child.stat().st_mode
            except OSError:  # a link to nothing
                continue
            if stat.S_ISDIR(mode):
                yield from walk(child, f"{prefix}{name}/")
            elif stat.S_ISREG(mode):
                yield _on_disk(child, prefix + name)

    return walk(root, "")


def _on_disk(path: Path, name: str) -> InputFile:
    return InputFile(name, path.stat().st_size, lambda _size: path.open("rb"))


def _beside(path: Path, name: str) -> InputFile | None:
    other = path.parent / name
    return _on_disk(other, name) if other.is_file() else None


def in_memory(name: str, content: bytes) -> InputFile:
    """An input file that is not on a disk."""
    return InputFile(name, len(content), lambda _size: io.BytesIO(content))

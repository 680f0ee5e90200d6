"""What a user gave, as a list of files: a folder, a zip or one file. Nothing is ever extracted to disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from groundglass.errors import ReadError, UsageError
from groundglass.io.archive import list_zip
from groundglass.io.files import InputFile, hidden, is_file, shown, unreadable

_ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")


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
        return Listing("zip", tuple(list_zip(given)))
    return Listing("file", (file,), lambda name: _beside(given, name))


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
    return _on_disk(other, name) if is_file(other) else None

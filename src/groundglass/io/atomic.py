"""Outputs appear whole or not at all: written into a hidden folder beside, moved into place when all are ready."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from groundglass.errors import UsageError, WriteError
from groundglass.io.files import shown

PARTIAL: Final = ".groundglass-partial-"
STALE_SECONDS: Final = 3600
_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is larger than this disk or account allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "it may not be written to",
    errno.EPERM: "it may not be written to",
    errno.ENAMETOOLONG: "its name is too long",
}
# These can only come from writing; no permission and the like may as well come from reading an input.
_WRITING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def write_error(error: OSError) -> WriteError:
    """An operating system's refusal, without its path."""
    reason = _REASONS.get(error.errno or 0, "the disk or folder refused")
    return WriteError(
        f"The output could not be written: {reason}.",
        expected="a folder that can be written to, with room",
        remedy="Free some space or choose another folder.",
    )


class OutputFolder:
    """A context in which outputs are made; they reach the folder when it ends well, and not otherwise.

    On any exception nothing of this context stays, nor the folder itself if it was made for it. After
    ``kill -9`` a hidden partial folder stays, and the next context removes it when it is an hour old.

        with OutputFolder(out) as output:
            write_labels(output.path("labels.nii.gz"), codes, scan)

    Args:
        folder: where outputs go; made, with its parents, if it is not there.

    Raises:
        UsageError: (on entering) the folder is a file.
        WriteError: (on entering or leaving) it cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._made: list[Path] = []
        self._names: tuple[str, ...] = ()
        self._record = ""
        self._earlier: list[Path] = []
        self._partial: Path | None = None

    def __enter__(self) -> Self:
        try:
            self._make_folder()
            self._remove_stale()
            self._partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.folder))
            probe = self._partial / "probe"
            probe.write_bytes(bytes(4096))  # a full disk still makes empty files
            probe.unlink()
        except OSError as error:
            self._clear()
            raise write_error(error) from None
        except BaseException:
            self._clear()
            raise
        return self

    def path(self, name: str) -> Path:
        """Where to write the output that will be called ``name`` (relative, folders are made).

        Raises:
            ValueError: a name that leads out of the folder, or use outside of the context.
        """
        relative = Path(name)
        if self._partial is None or relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise ValueError(f"{shown(name)!r} is no name for an output here")
        path = self._partial / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error) from None
        return path

    def replace(self, names: Iterable[str], earlier: Mapping[str, str], record: str) -> None:
        """What an earlier run called so is removed when this one ends well, but for what is written anew.

        Args:
            names: of files, or of folders of pictures (PNG). Nothing else in such a folder is touched.
            earlier: what that run wrote, as it said (`written`).
            record: name of the output that says so: it goes last and comes first, so that whenever a run is killed
                there is nothing of these names that no record knows.

        Raises:
            UsageError: something of these names is there that it did not write, or that was changed since: somebody's
                own work, or what is being read.
        """
        self._names, self._record = tuple(names), record
        self._earlier = [file for name in self._names for file in _files_of(self.folder / name)]
        for file in self._earlier:
            name = file.relative_to(self.folder).as_posix()
            if name not in earlier or earlier[name] != _digest(file):
                raise UsageError(
                    f"The output folder holds {shown(name)}, which is not as groundglass wrote it there.",
                    expected="a folder without what would be written over, but for outputs of an earlier run",
                    remedy="Choose another folder, or move it away.",
                )

    def written(self) -> dict[str, str]:
        """Name -> SHA-256 of what is written of these names so far, for a later run in the same folder."""
        if self._partial is None:
            return {}
        files = [file for name in self._names for file in _files_of(self._partial / name)]
        return {file.relative_to(self._partial).as_posix(): _digest(file) for file in sorted(files)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._move_all()
                self._made = []
        except OSError as failure:
            raise write_error(failure) from None
        finally:
            self._clear()
        if isinstance(error, OSError) and error.errno in _WRITING:
            raise write_error(error) from None

    def _make_folder(self) -> None:
        for folder in (self.folder, *self.folder.parents):
            if folder.exists() and not folder.is_dir():
                raise UsageError(
                    f"{shown(folder.name)} is a file.", expected="a folder for outputs", remedy="Choose another name."
                )
            if folder.is_dir():
                break
            self._made.append(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _remove_stale(self) -> None:
        for partial in self.folder.glob(PARTIAL + "*"):
            with suppress(OSError):
                newest = max(path.lstat().st_mtime for path in (partial, *partial.rglob("*")))
                if not partial.is_symlink() and time.time() - newest > STALE_SECONDS:
                    shutil.rmtree(partial, ignore_errors=True)

    def _move_all(self) -> None:
        if self._partial is None:
            return
        record = self._partial / self._record
        files = sorted((path for path in self._partial.rglob("*") if not path.is_dir()), key=lambda p: (p != record, p))
        targets = [self.folder / path.relative_to(self._partial) for path in files]
        for target in targets:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is in the way")
            target.parent.mkdir(parents=True, exist_ok=True)
        old = [file for file in dict.fromkeys((*targets, *self._earlier)) if file.exists() or file.is_symlink()]
        with _set_aside(old[::-1], self.folder) as placed:
            for path, target in zip(files, targets, strict=True):
                path.replace(target)
                placed.append(target)
        for name in self._names:
            with suppress(OSError):  # a file, or not empty
                (self.folder / name).rmdir()

    def _clear(self) -> None:
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial = None
        for folder in self._made:  # innermost first; one that is not empty stays
            with suppress(OSError):
                folder.rmdir()
        self._made = []


@contextmanager
def _set_aside(files: Sequence[Path], folder: Path) -> Iterator[list[Path]]:
    """Meanwhile files lie elsewhere; if it ends badly they are put back, and what was placed meanwhile is removed.

    What cannot be put back is left where it lies.
    """
    aside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
    moved: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for number, file in enumerate(files):
            file.replace(aside / str(number))
            moved.append((aside / str(number), file))
        yield placed
    except BaseException:
        for file in placed:
            with suppress(OSError):
                file.unlink()
        for where, file in moved:
            with suppress(OSError):
                where.replace(file)
        with suppress(OSError):
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _files_of(path: Path) -> list[Path]:
    """The file, or the pictures of a folder; none where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        return sorted(path.glob("*.png"))
    return [path] if path.exists() or path.is_symlink() else []


def _digest(file: Path) -> str:
    try:
        return sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""  # of nothing that was written


def make_folder(folder: Path) -> None:
    """Make a folder that outputs go to one by one, with its parents.

    Raises:
        UsageError: it is a file.
        WriteError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            f"{shown(folder.name)} is a file.", expected="a folder for outputs", remedy="Choose another name."
        ) from None
    except OSError as error:
        raise write_error(error) from None


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteError: it could not be written; an older file of this name is as it was.
    """
    target = Path(path)
    temporary = target.with_name(f"{PARTIAL}{os.getpid()}-{target.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        raise write_error(error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()

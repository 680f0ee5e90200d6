"""Zips, read in memory, or written to disk where they are data sets.

An archive with one bad member is refused as a whole: who made it cannot be trusted.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from groundglass.errors import ReadError
from groundglass.io.atomic import write_error
from groundglass.io.files import InputFile, hidden

MAX_MEMBERS: Final = 100_000
MAX_MEMBER_BYTES: Final = 2**32
MAX_TOTAL_BYTES: Final = 2**34
# Slices of plain air pack 1000 to 1, so a ratio means nothing until the whole is large.
MAX_RATIO: Final = 200
RATIO_FROM_BYTES: Final = 2**30
_CHUNK: Final = 2**20
_DRIVE: Final = re.compile(r"^[A-Za-z]:")
_ZIP_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Limits:
    """What a zip may declare at most: members, bytes of one, bytes of all."""

    members: int
    member_bytes: int
    total_bytes: int


def list_zip(path: Path) -> Iterator[InputFile]:
    """The members of a zip, sorted by name; hidden ones left out.

    Raises:
        ReadError: damaged, encrypted, too large, or a member that points out of the archive.
    """
    archive, files = _open(path, Limits(MAX_MEMBERS, MAX_MEMBER_BYTES, MAX_TOTAL_BYTES))
    return (_member_file(archive, member) for member in files)


def unpacked_size(path: Path, limits: Limits) -> int:
    """How many bytes the members of a zip declare, hidden ones left out.

    Raises:
        ReadError: as for `list_zip`.
    """
    archive, files = _open(path, limits)
    with archive:
        return sum(member.file_size for member in files)


def unpack_zip(
    path: Path,
    place: Callable[[str], Path],
    limits: Limits,
    progress: Callable[[float], None] = lambda _: None,
) -> int:
    """Write the members of a zip to disk, hidden ones left out; links and what lies outside are refused before.

    Args:
        path: of the zip.
        place: from a member's name, with ``/``, to where it is written; the folder is there.
        limits: what it may declare.
        progress: is called with the share done, from 0 to 1.

    Returns:
        how many files.

    Raises:
        ReadError: as for `list_zip`; what was written before a damaged member stays.
        WriteError: it could not be written.
    """
    archive, files = _open(path, limits)
    total, done = sum(member.file_size for member in files), 0
    with archive:
        for member in files:
            target = place(_clean(member.filename))
            try:
                stream = target.open("wb")
            except OSError as error:
                raise write_error(error) from None
            with stream:
                for chunk in _chunks(archive, member):
                    try:
                        stream.write(chunk)
                        stream.flush()
                    except OSError as error:
                        raise write_error(error) from None
                    done += len(chunk)
                    progress(done / total)
    return len(files)


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member, no more than it declares; its CRC is checked at the end."""
    try:
        with archive.open(member) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except _ZIP_ERRORS:
        raise _damaged() from None


def _open(path: Path, limits: Limits) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """A zip that can be trusted, and its files but hidden ones, sorted by name."""
    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except _ZIP_ERRORS:
        raise _damaged() from None
    _check_sizes(members, path.stat().st_size, limits)
    for member in members:
        _check_member(member)
    files = [member for member in members if not member.is_dir() and not hidden(_clean(member.filename))]
    return archive, sorted(files, key=lambda member: member.filename)


def _member_file(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> InputFile:
    def load(size: int) -> BinaryIO:
        try:  # zipfile unpacks no more than the declared size, and checks the CRC at the end
            with archive.open(member) as stream:
                return io.BytesIO(stream.read(size))
        except _ZIP_ERRORS:
            raise _damaged() from None

    return InputFile(_clean(member.filename), member.file_size, load)


def _clean(name: str) -> str:
    return name.replace("\\", "/")


def _check_sizes(members: list[zipfile.ZipInfo], packed: int, limits: Limits) -> None:
    total = sum(member.file_size for member in members)
    too_large = total > limits.total_bytes or any(member.file_size > limits.member_bytes for member in members)
    if len(members) > limits.members or too_large or (total > RATIO_FROM_BYTES and total > MAX_RATIO * packed):
        raise ReadError(
            f"The zip declares {len(members)} members with {total} bytes, from {packed} bytes.",
            expected=f"at most {limits.members} members, {limits.total_bytes} bytes, {MAX_RATIO} times its own size",
            remedy="Unpack it yourself if you trust it, and give the folder.",
        )


def _check_member(member: zipfile.ZipInfo) -> None:
    name = _clean(member.orig_filename)
    climbs = name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/") or "\0" in name
    if climbs or stat.S_ISLNK(member.external_attr >> 16):
        raise ReadError(
            "The zip has a member that points outside of it (a path with '..', an absolute path or a link).",
            expected="an archive of plain files",
            remedy="It may be an attack; ask whoever made it for another.",
        )
    if member.flag_bits & 0x1:
        raise ReadError(
            "The zip is encrypted.", expected="a zip without password", remedy="Unpack it yourself and give the folder."
        )


def _damaged() -> ReadError:
    return ReadError("The zip is damaged or incomplete.", expected="a whole zip", remedy="Copy or download it again.")

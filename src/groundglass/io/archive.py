"""Zips, read in memory. An archive with one bad member is refused as a whole: who made it cannot be trusted."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from groundglass.errors import ReadError
from groundglass.io.files import InputFile, hidden

MAX_MEMBERS: Final = 100_000
MAX_MEMBER_BYTES: Final = 2**32
MAX_TOTAL_BYTES: Final = 2**34
# Slices of plain air pack 1000 to 1, so a ratio means nothing until the whole is large.
MAX_RATIO: Final = 200
RATIO_FROM_BYTES: Final = 2**30
_DRIVE: Final = re.compile(r"^[A-Za-z]:")
_ZIP_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def list_zip(path: Path) -> Iterator[InputFile]:
    """The members of a zip, sorted by name; hidden ones left out.

    Raises:
        ReadError: damaged, encrypted, too large, or a member that points out of the archive.
    """
    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except _ZIP_ERRORS:
        raise _damaged() from None
    _check_sizes(members, path.stat().st_size)
    for member in members:
        _check_member(member)
    files = [member for member in members if not member.is_dir() and not hidden(_clean(member.filename))]
    return (_member_file(archive, member) for member in sorted(files, key=lambda member: member.filename))


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


def _check_sizes(members: list[zipfile.ZipInfo], packed: int) -> None:
    total = sum(member.file_size for member in members)
    too_large = total > MAX_TOTAL_BYTES or any(member.file_size > MAX_MEMBER_BYTES for member in members)
    if len(members) > MAX_MEMBERS or too_large or (total > RATIO_FROM_BYTES and total > MAX_RATIO * packed):
        raise ReadError(
            f"The zip declares {len(members)} members with {total} bytes, from {packed} bytes.",
            expected=f"at most {MAX_MEMBERS} members, {MAX_TOTAL_BYTES} bytes, {MAX_RATIO} times its own size",
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

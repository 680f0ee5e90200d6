"""``groundglass datasets get``: from a publisher's server to an unpacked folder.

ROOT/NAME/...             what the archives hold
ROOT/NAME/terms.txt       the terms that were accepted
ROOT/NAME/sha256.json     the hash of each archive, as it first came
ROOT/NAME/.download/...   archives that are on their way; gone when they are unpacked
"""

from __future__ import annotations

import errno
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from groundglass.cli.phases import Phases
from groundglass.datasets import _catalogue as catalogue
from groundglass.datasets._catalogue import Entry, Remote
from groundglass.errors import ReadError, UsageError
from groundglass.io import OutputFolder
from groundglass.io.archive import Limits, unpack_zip, unpacked_size
from groundglass.io.atomic import make_folder, write_error, write_file
from groundglass.io.download import check_url, download, name_in

TERMS, HASHES, UNDERWAY = "terms.txt", "sha256.json", ".download"
# Of a data set: half a million slices, volumes of gigabytes, a terabyte in all.
LIMITS: Final = Limits(members=2_000_000, member_bytes=2**36, total_bytes=2**40)
_OTHER_ARCHIVES: Final = (".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Options:
    """What ``get`` was called with, but the name and the folder.

    Attributes:
        addresses: of archives, in place of the catalogue's.
        only: a pattern of file names; others are left.
        accept_terms: do not ask.
        quiet: show no progress.
    """

    addresses: tuple[str, ...] = ()
    only: str | None = None
    accept_terms: bool = False
    quiet: bool = False


def run_get(name: str, root: Path, options: Options) -> None:
    """Fetch, check and unpack a data set into ``root/name``; what an earlier run has finished is kept.

    Raises:
        UsageError: no such set or file, or terms that were not accepted.
        ReadError: its publisher gives it to people only (what to do is printed), or whatever fetching and unpacking
            refuse.
        WriteError: it could not be written.
    """
    entry = catalogue.entry(name)
    folder, remotes = root / entry.name, _chosen(entry, options)
    if not remotes:
        raise _by_hand(entry, folder)
    here, seen, left = entry.find_in(folder), _read_seen(folder), list[str]()
    # what lies there without a word of ours was put there by hand, and is whole for all we know
    waiting = [remote for remote in remotes if here is None or (seen and remote.name not in seen)]
    if waiting:
        _agree(entry, folder, options.accept_terms)
        left = _fetch_all(waiting, folder, options.quiet)
        here = entry.find_in(folder)
    _tell(*left)
    if left or (here is None and options.only is None):
        raise ReadError(
            f"{folder.name} holds what came, but {'archives that are still packed' if left else 'not its layout'}.",
            expected=f"{' or '.join(entry.layout)} somewhere in it",
            remedy="Unpack them as said above." if left else "Look into the folder; is it the right archive?",
        )
    place = folder if here is None else here
    more = entry.steps if entry.files else ()  # else they say how to get what is here now
    _tell(f"{entry.name} is at {place}", *more, f"Next: groundglass datasets check {entry.name} {place}")


def _chosen(entry: Entry, options: Options) -> Sequence[Remote]:
    """What to fetch: the catalogue's files, or those at the addresses given, which keep their publisher's hashes."""
    known = {remote.name: remote for remote in entry.files}
    remotes: Sequence[Remote] = entry.files
    if options.addresses:
        for url in options.addresses:
            check_url(url)
        named = [(name_in(url), url) for url in options.addresses]
        remotes = [replace(known.get(name, Remote(name, url)), url=url) for name, url in named]
    chosen = [remote for remote in remotes if options.only is None or fnmatchcase(remote.name, options.only)]
    if remotes and not chosen:
        raise UsageError(
            f"No file of {entry.name} is called {options.only}.",
            expected=f"a pattern that meets some of {', '.join(remote.name for remote in remotes[:8])}",
            remedy="Correct --only, or leave it out.",
        )
    return chosen


def _by_hand(entry: Entry, folder: Path) -> ReadError:
    """The error for a set that no program can fetch; what to do has been printed."""
    _tell(
        f"{entry.what}",
        f"Terms: {entry.terms}",
        *(f"{number}. {step}" for number, step in enumerate(entry.steps, start=1)),
        f"Folder: {folder}",
        f"Then: groundglass datasets check {entry.name} {folder}",
    )
    return ReadError(
        f"{entry.name} is given to people, not to programs.",
        expected="an address that needs no form and no click",
        remedy="Follow the steps above; with an address of an archive of your own, give it with --from.",
    )


def _agree(entry: Entry, folder: Path, accepted: bool) -> None:
    """Show the terms and ask once; what was accepted is kept beside the data."""
    text = f"{entry.what}\nSize: {entry.size}\nTerms: {entry.terms}\nPublisher: {entry.home}\n"
    place = folder / TERMS
    if place.is_file() and place.read_text(encoding="utf-8") == text:
        return
    sys.stdout.write(text)
    if not accepted:
        if not sys.stdin.isatty():
            raise UsageError(
                "Nobody is at the terminal to accept the terms.",
                expected="an answer",
                remedy="Read them above, and give --accept-terms.",
            )
        sys.stdout.write("Do you accept these terms (yes or no)? ")
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("The terms were not accepted.", expected="yes", remedy="Nothing was fetched.")
    make_folder(folder)
    write_file(place, text.encode())


def _fetch_all(remotes: Sequence[Remote], folder: Path, quiet: bool) -> list[str]:
    """Fetch and unpack; returns what is left to do by hand."""
    left = []
    with Phases(quiet) as phases:
        for remote in remotes:
            phases.begin(f"fetching {remote.name}")
            packed, told = _fetch(remote, folder, phases.advance)
            phases.begin(f"unpacking {remote.name}")
            left += _unpack(packed, folder / remote.folder, phases.advance)
            packed.unlink(missing_ok=True)
            seen = {**_read_seen(folder), remote.name: told}
            write_file(folder / HASHES, (json.dumps(seen, indent=2) + "\n").encode())
    shutil.rmtree(folder / UNDERWAY, ignore_errors=True)
    return left


def _fetch(remote: Remote, folder: Path, progress: Callable[[float], None]) -> tuple[Path, dict[str, Any]]:
    """The archive, checked against its publisher's hash and against what came the first time; and what to keep."""
    packed, seen = folder / UNDERWAY / remote.name, _read_seen(folder)
    came = download(remote.url, packed, digest=remote.digest, progress=progress)
    before = seen.get(remote.name, {}).get("sha256")
    if before is not None and before != came.sha256:
        packed.unlink()
        raise ReadError(
            f"{remote.name} is not what it was when it first came, and was removed.",
            expected=f"SHA-256 {before[:12]}..., as {HASHES} says",
            remedy=f"Ask its publisher; if there is a new version, remove {HASHES} and try again.",
        )
    return packed, {"sha256": came.sha256, "bytes": came.size}


def _unpack(packed: Path, folder: Path, progress: Callable[[float], None], within: bool = True) -> list[str]:
    """An archive's files into a folder, whole or not at all; returns what is left to do by hand.

    A top folder of the folder's own name is left out. Zips directly within a zip are unpacked too, into folders of
    their names, as MedSeg means them; zips within those are left as they are.
    """
    make_folder(folder)
    if not _is_zip(packed):
        packed.replace(folder / packed.name)
        return [f"Unpack it: 7z x {folder / packed.name}"] if packed.name.lower().endswith(_OTHER_ARCHIVES) else []
    if unpacked_size(packed, LIMITS) > shutil.disk_usage(folder).free:
        raise write_error(OSError(errno.ENOSPC, ""))
    names: list[str] = []
    with OutputFolder(folder) as output:

        def place(name: str) -> Path:
            names.append(name.removeprefix(f"{folder.name}/"))
            return output.path(names[-1])

        unpack_zip(packed, place, LIMITS, progress)
    for inner in (folder / name for name in names if within and "/" not in name and name.endswith(".zip")):
        _unpack(inner, folder / inner.stem, progress, within=False)
        inner.unlink()
    return []


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"


def _read_seen(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of archives that came before, by their names."""
    place = folder / HASHES
    if not place.is_file():
        return {}
    try:
        return {str(name): dict(told) for name, told in json.loads(place.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        raise ReadError(
            f"{HASHES} cannot be read.", expected="a JSON that groundglass wrote", remedy="Remove it."
        ) from None


def _tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))

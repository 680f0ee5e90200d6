"""The key of the hash that cases are called by: one of your own, made at first use, or one you share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import typer

from groundglass.errors import ReadError, UsageError
from groundglass.io.files import is_file
from groundglass.scan import Notice

LENGTH = 32


def load_key(file: Path | None) -> tuple[bytes, tuple[Notice, ...]]:
    """The key, from a file or from the user's own settings.

    Where the user's settings cannot be written the key lives for this run only, and a notice says so.

    Raises:
        UsageError: the file is not there.
        ReadError: it cannot be read, or is shorter than 16 bytes.
    """
    if file is not None:
        return _read(file), ()
    own = Path(typer.get_app_dir("groundglass")) / "case.key"
    try:
        damaged = own.exists() and len(own.read_bytes()) != LENGTH  # by a crash, before its bytes reached the disk
        if damaged:
            own.replace(own.with_name(f"{own.name}.damaged"))
        if not own.exists():
            _make(own)
        notice = Notice("The key for case names was damaged and was made anew: scans are called otherwise than before.")
        return own.read_bytes(), ((notice,) if damaged else ())
    except OSError:
        return secrets.token_bytes(LENGTH), (
            Notice("The key for case names could not be kept: the same scan will be called otherwise next time."),
        )


def _read(file: Path) -> bytes:
    if not is_file(file):
        raise UsageError(
            "The file given with --key is not there.", expected="a file of random bytes", remedy="Check its path."
        )
    try:
        key = file.read_bytes()
    except OSError as error:
        raise ReadError(
            "The file given with --key cannot be read.", expected="a readable file", remedy="Check its permissions."
        ) from error
    if len(key) < 16:
        raise ReadError(
            f"The file given with --key holds {len(key)} bytes.",
            expected="at least 16 random bytes",
            remedy="Make one, for instance with: head -c 32 /dev/urandom > FILE",
        )
    return key


def _make(own: Path) -> None:
    """Written beside and linked into place: of two first runs at once, one key stays and both use it."""
    own.parent.mkdir(parents=True, exist_ok=True)
    beside = own.with_name(f"{own.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_bytes(LENGTH))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(beside, own)
    except FileExistsError:  # another first run's
        pass
    except OSError:  # a disk without links
        if not own.exists():
            beside.replace(own)
    finally:
        beside.unlink(missing_ok=True)

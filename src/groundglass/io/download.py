"""A file from the web: gone on with where it was cut, checked against a hash, and whole or not there at all.

What has come so far lies in ``FILE.part``; ``FILE.part.tag`` holds the server's word for its version (ETag, or the time
of its last change). A request to go on says which version it means (``If-Range``, RFC 9110), so halves of two versions
never make one file; a server that gives no such word is asked for the whole file again.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from groundglass import __version__
from groundglass.errors import GroundglassError, ReadError, UsageError
from groundglass.io.atomic import make_folder, write_error
from groundglass.io.files import shown

ATTEMPTS: Final = 4  # in a row that bring next to nothing
TIMEOUT_S: Final = 60.0
MAX_BYTES: Final = 2**40
_CHUNK: Final = 2**18
_SCHEMES: Final = ("http", "https")
_GONE: Final = (404, 410)
_DENIED: Final = (401, 403)
_AGAIN: Final = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Downloaded:
    """A file that has come whole: its SHA-256 (64 hex digits) and its length in bytes."""

    sha256: str
    size: int


class _Cut(Exception):  # noqa: N818 - no error yet: it is tried again
    """The connection did not come about or broke; the reason in words."""


def download(
    url: str,
    path: Path,
    *,
    digest: str | None = None,
    limit: int = MAX_BYTES,
    progress: Callable[[float], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Downloaded:
    """Fetch a file over http or https, going on where an earlier attempt was cut.

    Args:
        url: where it is.
        path: where it goes; its folder is made.
        digest: what it has to be, ``sha256:`` or ``md5:`` and hex digits; None where nobody says.
        limit: in bytes, what is taken at most.
        progress: is called with the share that has come, from 0 to 1, where the server tells how much there is.
        pause: waits for so many seconds before the next attempt.

    Raises:
        UsageError: no http or https address.
        ReadError: no connection, no such file, refused, longer than the limit, a web page instead of a file, or
            another content than ``digest`` says (which is then removed).
        WriteError: the disk is full or refuses; what has come so far stays, and is gone on with.
    """
    check_url(url)
    make_folder(path.parent)
    part, failures = path.with_name(f"{path.name}.part"), 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, limit, progress)
            break
        except _Cut as cut:
            failures = 0 if _size(part) >= before + _CHUNK else failures + 1
            if failures >= ATTEMPTS:
                raise _no_connection(url, str(cut), _size(part)) from None
            pause(2.0**failures)
    found = Downloaded(hash_of(part, "sha256"), _size(part))
    _check_hash(part, found.sha256, digest)
    _tag(part).unlink(missing_ok=True)
    part.replace(path)
    return found


def check_url(url: str) -> None:
    """Raise UsageError where an address is none of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UsageError(
            f"{shown(url)!r} is no address of the web.",
            expected="http:// or https:// and a host",
            remedy="Correct the address.",
        )


def name_in(url: str) -> str:
    """The file name at the end of an address, plain letters only; ``download`` where there is none."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", unquote(urlsplit(url).path).rpartition("/")[2]).lstrip("._-")
    return name[:100] or "download"


def hash_of(path: Path, kind: str) -> str:
    """The ``sha256`` or ``md5`` of a file, in hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _check_hash(part: Path, sha256: str, digest: str | None) -> None:
    kind, _, wanted = (digest or "").partition(":")
    if digest is None or (sha256 if kind == "sha256" else hash_of(part, kind)) == wanted.lower():
        return
    part.unlink()
    _tag(part).unlink(missing_ok=True)
    raise ReadError(
        f"The file that came has another {kind.upper()} than it should, and was removed.",
        expected=f"{wanted[:12]}...",
        remedy="Try again; if it stays so, the file was changed at its source or on the way: ask its publisher.",
    )


def _attempt(url: str, part: Path, limit: int, progress: Callable[[float], None]) -> None:
    """One request, for all that is missing."""
    have, version = _size(part), _read_tag(part)
    going_on = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}
    headers = {"User-Agent": f"groundglass/{__version__}", "Accept-Encoding": "identity", **going_on}
    try:
        with _opener().open(request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked
            if answer.status not in (http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT):
                raise _Cut(f"the file is not ready ({answer.status})")  # 202: an archive is being packed
            start = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            total = _total(answer, start)
            _check(answer, part, start, total, limit)
            _begin(answer, part, start, version)
            _save(answer, part, total, limit, progress)
    except HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return  # all of it had come
                part.unlink()
                raise _Cut("the file has another length now") from None
            raise _refusal(url, error) from None
    except (URLError, http.client.HTTPException, OSError) as error:
        raise _Cut(_reason(error)) from None


def _begin(answer: Any, part: Path, start: int, version: str) -> None:
    """Keep the server's word for its version, and of what has come only what is of that version."""
    etag = answer.headers.get("ETag", "")
    now = answer.headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
    try:
        if not start or (now and now != version):
            part.unlink(missing_ok=True)
            _tag(part).write_text(now, encoding="utf-8")
    except OSError as error:
        raise write_error(error) from None
    if start and not part.exists():
        raise _Cut("the file has changed meanwhile")


def _save(answer: Any, part: Path, total: int | None, limit: int, progress: Callable[[float], None]) -> None:
    """Append what comes."""
    try:
        stream = part.open("ab")
    except OSError as error:
        raise write_error(error) from None
    with stream:
        while chunk := answer.read(_CHUNK):
            try:
                stream.write(chunk)
                stream.flush()
            except OSError as error:
                raise write_error(error) from None
            if stream.tell() > limit:
                raise _too_long(f"more than {limit}")
            if total:
                progress(min(1.0, stream.tell() / total))
        came = stream.tell()
    if total is not None and came < total:  # a connection that ends early looks like one that ends
        raise _Cut("it was cut")


def _total(answer: Any, start: int) -> int | None:
    """The length of the whole file, in bytes, where the server tells."""
    if start:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise ReadError(
                "The server sent another part of the file than it was asked for.",
                expected=f"the part from byte {start} on",
                remedy="Remove the file that ends in .part and try again.",
            )
        return int(match[2])
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _check(answer: Any, part: Path, start: int, total: int | None, limit: int) -> None:
    """Refuse what is no file, or does not fit."""
    if answer.headers.get_content_type() == "text/html":
        raise ReadError(
            "The server sent a web page instead of the file.",
            expected="the file",
            remedy="Open the address in a browser: it may ask to sign in, to fill a form or to confirm.",
        )
    if total is not None and total > limit:
        raise _too_long(str(total))
    if total is not None and total - start > shutil.disk_usage(part.parent).free:
        raise write_error(OSError(errno.ENOSPC, ""))


class _Redirects(request.HTTPRedirectHandler):
    """Follows to http and https, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to follow with."""
        scheme = urlsplit(newurl).scheme
        if scheme not in _SCHEMES or (req.type == "https" and scheme == "http"):
            fp.close()
            raise ReadError(
                f"The server sends on to an address of {shown(scheme)!r}.",
                expected="one that is as safe as the address given",
                remedy="Ask the publisher for the file's own address.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """Knows http and https (through the proxy that the system names), and no file, ftp or data addresses."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _refusal(url: str, error: HTTPError) -> GroundglassError | _Cut:
    host = shown(urlsplit(url).hostname or "")
    if error.code in _AGAIN:
        return _Cut(f"the server is busy or broken ({error.code})")
    if error.code in _GONE:
        found, remedy = f"{host} has no such file ({error.code}).", "It may have moved: look at the publisher's page."
    elif error.code in _DENIED:
        found, remedy = f"{host} does not give the file to everybody ({error.code}).", "Ask its publisher for access."
    else:
        found, remedy = f"{host} answers {error.code}.", "Open the address in a browser."
    return ReadError(found, expected="the file", remedy=remedy)


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words that name no path."""
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    if isinstance(inner, OSError) and inner.strerror:
        return shown(inner.strerror)
    return "it was cut" if isinstance(inner, http.client.HTTPException) else shown(type(inner).__name__)


def _no_connection(url: str, reason: str, have: int) -> ReadError:
    so_far = f" after {have} bytes" if have else ""
    return ReadError(
        f"The connection to {shown(urlsplit(url).hostname or '')} failed{so_far}: {reason}.",
        expected="a connection until the file is whole",
        remedy="Try again later; the same command goes on where this one stopped.",
    )


def _too_long(length: str) -> ReadError:
    return ReadError(
        f"The file has {length} bytes.",
        expected="no more than a data set of this kind has",
        remedy="Check that the address is the right one.",
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _read_tag(part: Path) -> str:
    tag = _tag(part)
    return tag.read_text(encoding="utf-8").strip() if tag.is_file() else ""

"""Files from the web, from a server on the loopback address."""

from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from groundglass.errors import ReadError, UsageError, WriteError
from groundglass.io import archive
from groundglass.io.archive import Limits, unpack_zip, unpacked_size
from groundglass.io.download import download, name_in
from tests.io.web import Web, serving

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FEW = Limits(members=3, member_bytes=1000, total_bytes=1500)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web():
    with serving(Web(file=CONTENT)) as served:
        yield served


def fetch(web: Web, path: Path, name: str = "file", **more: object):
    pauses: list[float] = []
    try:
        return download(f"{web.address}/{name}", path, pause=pauses.append, **more)
    finally:
        web.pauses = pauses


def test_a_file_comes_whole_with_its_hash_and_progress(web, tmp_path):
    shares: list[float] = []
    found = fetch(web, tmp_path / "deep" / "f", progress=shares.append, digest=f"sha256:{SHA256}")
    assert (found.sha256, found.size) == (SHA256, 10240)
    assert (tmp_path / "deep" / "f").read_bytes() == CONTENT
    assert shares[-1] == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f"]


def test_a_cut_connection_is_gone_on_with(web, tmp_path):
    web.cuts = [4000, 3000]
    assert fetch(web, tmp_path / "f").sha256 == SHA256
    assert [asked for _, asked in web.asked] == [None, "bytes=4000-", "bytes=7000-"]
    assert web.pauses == [2, 4]


def test_another_run_goes_on_where_the_last_one_gave_up(web, tmp_path):
    web.cuts = [1000] * 4
    with pytest.raises(ReadError, match=r"failed after 4000 bytes: it was cut.*goes on where this one stopped"):
        fetch(web, tmp_path / "f")
    assert not (tmp_path / "f").exists()
    assert fetch(web, tmp_path / "f").sha256 == SHA256
    assert web.asked[-1] == ("/file", "bytes=4000-")


def test_halves_of_two_versions_never_make_one_file(web, tmp_path):
    web.cuts = [1000] * 4
    with pytest.raises(ReadError, match="failed after"):
        fetch(web, tmp_path / "f")
    web.files["/file"], web.etag = CONTENT[::-1], '"v2"'
    fetch(web, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT[::-1]


def test_without_a_version_it_begins_again(web, tmp_path):
    web.etag, web.cuts = "", [4000]
    assert fetch(web, tmp_path / "f").sha256 == SHA256
    assert [asked for _, asked in web.asked] == [None, None]


def test_a_run_that_was_killed_before_the_last_step(web, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT)
    (tmp_path / "f.part.tag").write_text('"v1"')
    assert fetch(web, tmp_path / "f").sha256 == SHA256
    (tmp_path / "f.part").write_bytes(CONTENT + b"more")
    (tmp_path / "f.part.tag").write_text('"v1"')
    assert fetch(web, tmp_path / "f").sha256 == SHA256


def test_a_server_that_tells_no_length(web, tmp_path):
    web.counted = False
    assert fetch(web, tmp_path / "f").size == 10240


@pytest.mark.parametrize("digest", [f"sha256:{'0' * 64}", f"md5:{'0' * 32}"])
def test_another_hash_is_refused_and_removed(web, tmp_path, digest):
    with pytest.raises(ReadError, match=r"another (SHA256|MD5) than it should"):
        fetch(web, tmp_path / "f", digest=digest)
    assert list(tmp_path.iterdir()) == []
    assert fetch(web, tmp_path / "f", digest=f"md5:{hashlib.md5(CONTENT).hexdigest()}").sha256 == SHA256  # noqa: S324


@pytest.mark.parametrize(
    ("status", "told", "requests"),
    [
        (404, r"127\.0\.0\.1 has no such file \(404\)", 1),
        (403, "does not give the file to everybody", 1),
        (418, "answers 418", 1),
        (503, r"the server is busy or broken \(503\)", 4),
        (202, r"the file is not ready \(202\)", 4),
    ],
)
def test_what_a_server_refuses(web, tmp_path, status, told, requests):
    web.status["/file"] = status
    with pytest.raises(ReadError, match=told):
        fetch(web, tmp_path / "f")
    assert len(web.asked) == requests
    assert list(tmp_path.iterdir()) == []


def test_no_connection(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    with pytest.raises(ReadError, match=r"connection to 127\.0\.0\.1 failed: Connection refused"):
        download(address, tmp_path / "f", pause=lambda _: None)


def test_a_web_page_is_no_archive(web, tmp_path):
    web.kind = "text/html; charset=utf-8"
    with pytest.raises(ReadError, match=r"web page instead of the file.*browser"):
        fetch(web, tmp_path / "f")


def test_redirects_go_to_the_web_only(web, tmp_path):
    web.moved = {"/a": "/b", "/b": "/file", "/c": "file:///etc/passwd", "/d": "ftp://127.0.0.1/x", "/e": "/e"}
    assert fetch(web, tmp_path / "f", "a").sha256 == SHA256
    for name, told in (("c", "answers 302"), ("d", "sends on to an address of 'ftp'"), ("e", "answers 302")):
        with pytest.raises(ReadError, match=told):
            fetch(web, tmp_path / name, name)


def test_from_https_never_to_http():
    from urllib.request import Request

    from groundglass.io.download import _Redirects

    with pytest.raises(ReadError, match="an address of 'http'"):
        _Redirects().redirect_request(Request("https://a/x"), io.BytesIO(), 302, "", {}, "http://a/x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://", "a.zip", ""])
def test_no_address_of_the_web(tmp_path, url):
    with pytest.raises(UsageError, match="no address of the web"):
        download(url, tmp_path / "f")


@pytest.mark.parametrize("counted", [True, False])
def test_longer_than_the_limit(web, tmp_path, counted):
    web.counted = counted
    with pytest.raises(ReadError, match="The file has"):
        fetch(web, tmp_path / "f", limit=10239)
    assert fetch(web, tmp_path / "f", limit=10240).sha256 == SHA256


def test_no_room_for_what_the_server_announces(web, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10239))
    with pytest.raises(WriteError, match="the disk is full"):
        fetch(web, tmp_path / "f")


def test_a_disk_that_fills_up_keeps_what_has_come(web, tmp_path):
    """The file size limit of a process acts like a disk that is full."""
    script = """
import resource, sys
from pathlib import Path
from groundglass.errors import WriteError
from groundglass.io.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    download(sys.argv[1], Path(sys.argv[2]))
except WriteError as error:
    print(error)
"""
    words = [sys.executable, "-c", script, f"{web.address}/file", tmp_path / "f"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    assert str(tmp_path) not in done.stdout
    have = (tmp_path / "f.part").stat().st_size
    assert fetch(web, tmp_path / "f").sha256 == SHA256
    assert web.asked[-1] == ("/file", f"bytes={have}-" if have else None)


def test_names_of_files():
    assert name_in("https://a/b/C%20d.zip?download=1") == "C_d.zip"
    assert name_in("https://a/b/..%2f..%2fx") == "x"
    assert name_in("https://a/.hidden") == "hidden"
    assert name_in("https://a/") == "download"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_a_zip_is_written_to_disk(tmp_path):
    path, shares = zipped(tmp_path / "a.zip", {"a": b"1" * 300, "b/c": b"2" * 100, "__MACOSX/x": b"3"}), []
    (tmp_path / "b").mkdir()
    assert unpacked_size(path, FEW) == 400
    assert unpack_zip(path, lambda name: tmp_path / name, FEW, shares.append) == 2
    assert (tmp_path / "b" / "c").read_bytes() == b"2" * 100
    assert shares == [0.75, 1]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a": b"x" * 1001}, "1 members with 1001 bytes"),
        ({"a": b"x" * 800, "b": b"x" * 800}, "2 members with 1600 bytes"),
        (dict.fromkeys("abcd", b"x"), "4 members with 4 bytes"),
        ({"../up": b"x"}, "points outside"),
    ],
)
def test_a_zip_that_cannot_be_trusted_writes_nothing(tmp_path, members, told):
    path = zipped(tmp_path / "a.zip", members)
    with pytest.raises(ReadError, match=told):
        unpack_zip(path, lambda name: tmp_path / "out" / name, FEW)
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_told_by_its_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "RATIO_FROM_BYTES", 10**5)
    path = zipped(tmp_path / "a.zip", {"a": bytes(10**6)})  # a thousand times its size
    with pytest.raises(ReadError, match="200 times its own size"):
        unpacked_size(path, Limits(3, 2**30, 2**30))


def test_a_damaged_member_and_a_disk_that_refuses(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a", b"hello world")
    path.write_bytes(path.read_bytes().replace(b"hello", b"jello"))
    with pytest.raises(ReadError, match="zip is damaged"):
        unpack_zip(path, lambda name: tmp_path / name, FEW)
    with pytest.raises(WriteError, match="could not be written"):
        unpack_zip(path, lambda name: tmp_path / "absent" / name, FEW)

"""What a user gave, listed; archives that cannot be trusted, refused."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from groundglass.errors import ReadError, UsageError
from groundglass.io import archive, list_files, read


def names(path: Path) -> list[str]:
    return [file.name for file in list_files(path).files]


def test_a_folder_is_listed_sorted_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", ".DS_Store", ".git/x", "__MACOSX/y", "b/._1", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == ["a", "b/1", "b/2"]


def test_loops_of_links_and_dead_links_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == ["a/1"]
    with pytest.raises(ReadError, match="device or pipe"):
        list_files(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "", "x\0y", "x" * 300])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    given = tmp_path / name if name else Path("nowhere-at-all")
    with pytest.raises((UsageError, ReadError)) as error:
        read(given)
    assert str(tmp_path) not in str(error.value)


def test_exit_codes(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path / "nothing")
    assert error.value.exit_code == 2


def test_empty_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="folder holds no files"):
        read(tmp_path)
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(ReadError, match=r"a\.nii\.gz: empty"):
        read(tmp_path / "a.nii.gz")
    with pytest.raises(ReadError, match="empty"):
        read(tmp_path)


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who can open anything."""
    (tmp_path / "a.nii").write_bytes(b"x" * 500)

    def refuse(*_args: object, **_named: object) -> None:
        raise PermissionError(13, "denied", str(tmp_path))

    monkeypatch.setattr(Path, "open", refuse)
    for path in (tmp_path / "a.nii", tmp_path):
        with pytest.raises(ReadError, match=r"a\.nii cannot be read") as error:
            read(path)
        assert str(tmp_path) not in str(error.value)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/x", "C:\\x", "c:x", "a\\..\\..\\x", "\\\\host\\x"])
def test_a_zip_that_climbs_out(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("fine", b"x")
        member = zipfile.ZipInfo("y" * len(name))
        made.writestr(member, b"x")
    content = (tmp_path / "a.zip").read_bytes().replace(b"y" * len(name), name.encode())
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ReadError, match="points outside"):
        read(tmp_path / "a.zip")


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(member, "/etc/passwd")
    with pytest.raises(ReadError, match="points outside"):
        read(tmp_path / "a.zip")


def test_damaged_zips(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", a=b"n+1" * 1000, b=b"y" * 1000).read_bytes()
    for bad in (whole[:-30], whole[:40], b"PK\x03\x04rubbish", b"not a zip"):
        (tmp_path / "a.zip").write_bytes(bad)
        with pytest.raises(ReadError, match="zip is damaged"):
            read(tmp_path / "a.zip")


def test_a_wrong_checksum(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a", b"hello world")
    content = (tmp_path / "a.zip").read_bytes().replace(b"hello", b"jello")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ReadError, match="zip is damaged"):
        list_files(tmp_path / "a.zip").files[0].read()


def test_an_encrypted_zip(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", a=b"x").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ReadError, match="encrypted"):
        read(tmp_path / "a.zip")


def test_a_zip_that_declares_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", a=b"x").read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 0xFFFFFFF0)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ReadError, match="declares 1 members with 4294967280 bytes"):
        read(tmp_path / "a.zip")
    zipped(tmp_path / "b.zip", a=b"x", b=b"y", c=b"z")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    with pytest.raises(ReadError, match="declares 3 members"):
        read(tmp_path / "b.zip")


def test_a_member_larger_than_it_declares_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", a=bytes(10**6)).read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 100)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ReadError, match="zip is damaged"):
        list_files(tmp_path / "a.zip").files[0].read()


def test_a_zip_without_a_scan(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"zip holds 2 files, and none is a scan \(a, b\)"):
        read(zipped(tmp_path / "a.zip", a=b"x", b=b"y"))
    with pytest.raises(ReadError, match="zip holds no files"):
        read(zipped(tmp_path / "b.zip"))


def test_names_shown_hold_no_control_characters_or_markup(tmp_path: Path) -> None:
    (tmp_path / "x[red]\x1b[2J\u202e\n.txt").write_bytes(b"x")
    with pytest.raises(ReadError) as error:
        read(next(tmp_path.iterdir()))
    assert not {"\x1b", "\n", "\u202e", "["} & set(str(error.value))


def test_reading_a_file_twice_from_memory() -> None:
    from groundglass.io.files import in_memory

    file = in_memory("a/b.NII.GZ", b"hello")
    assert (file.read(2), file.read(), file.suffix) == (b"he", b"hello", ".gz")
    assert isinstance(file.open(), io.BytesIO)

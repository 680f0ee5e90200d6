"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from groundglass.errors import UsageError, WriteError
from groundglass.io import OutputFolder, write_labels
from groundglass.io.atomic import PARTIAL, write_file
from tests.io import made


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_outputs_are_moved_when_all_are_ready(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with OutputFolder(out) as output:
        output.path("x.txt").write_text("x")
        output.path("case/y.txt").write_text("y")
        assert not (out / "x.txt").exists()
    assert everything(out) == ["case", "case/y.txt", "x.txt"]
    with OutputFolder(out) as output:
        output.path("x.txt").write_text("new")
    assert (out / "x.txt").read_text() == "new"


NAMES = ("labels", "labels.nii.gz", "labels.png", "absent")


def again(folder: Path, *wanted: str, earlier: Mapping[str, str]) -> dict[str, str]:
    """Write some outputs in place of an earlier run's, and say what they are."""
    with OutputFolder(folder) as output:
        output.replace(NAMES, earlier, "record.json")
        for name in wanted:
            output.path(name).write_text(f"{len(earlier)}")
        return output.written()


def test_earlier_outputs_go_when_the_new_ones_are_there(tmp_path: Path) -> None:
    written = again(tmp_path, "labels.nii.gz", "other.txt", earlier={})
    assert set(written) == {"labels.nii.gz"}  # the other is nobody's work
    written = again(tmp_path, "labels/1.png", "labels/2.png", earlier=written)
    assert everything(tmp_path) == ["labels", "labels/1.png", "labels/2.png", "other.txt"]
    with pytest.raises(ValueError, match="no name for an output"):
        again(tmp_path, "../broken", earlier=written)
    assert everything(tmp_path) == ["labels", "labels/1.png", "labels/2.png", "other.txt"]
    written = again(tmp_path, "labels/2.png", "labels.png", earlier=written)
    assert everything(tmp_path) == ["labels", "labels.png", "labels/2.png", "other.txt"]
    again(tmp_path, "labels.png", earlier=written)
    assert everything(tmp_path) == ["labels.png", "other.txt"]


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels/1.png", "labels"])
def test_what_an_earlier_run_did_not_write_or_somebody_changed_is_not_touched(tmp_path: Path, name: str) -> None:
    """Drawn by hand, or corrected; and a link, whatever it leads to."""
    written = {} if name == "labels" else again(tmp_path, name, earlier={})
    (tmp_path / name).write_text("corrected by hand")
    for told in (written, {}):
        with pytest.raises(UsageError, match="is not as groundglass wrote it there"):
            again(tmp_path, "labels.png", earlier=told)
    assert (tmp_path / name).read_text() == "corrected by hand"
    (tmp_path / name).unlink()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is not as groundglass wrote it there"):
        again(tmp_path, "labels.png", earlier=written)
    assert (tmp_path / name).is_symlink()


def test_whenever_it_is_killed_the_record_is_there_of_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old or new, after each single move: labels without the record of them would be taken for somebody's own."""
    written = again(tmp_path, "labels.png", "labels/1.png", "record.json", earlier={})
    moves, replace = [], Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved = replace(self, target)
        moves.append({name for name in everything(tmp_path) if not name.startswith(PARTIAL)})
        return moved

    monkeypatch.setattr(Path, "replace", watched)
    again(tmp_path, "labels.png", "labels.nii.gz", "record.json", earlier=written)
    assert len(moves) == 3 + 3
    assert all("record.json" in there for there in moves if there & {"labels.png", "labels/1.png", "labels.nii.gz"})


@pytest.mark.parametrize("error", [PermissionError(errno.EPERM, "locked"), KeyboardInterrupt()])
def test_a_move_that_fails_half_way_leaves_the_earlier_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """One file is open elsewhere, or somebody has had enough: never one run's page beside another's labels."""
    written = again(tmp_path, "labels.png", "page.html", "zones.csv", earlier={})
    before = {name: (tmp_path / name).read_bytes() for name in everything(tmp_path)}
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).name == "zones.csv" and self.read_text() == "1":
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises((WriteError, KeyboardInterrupt)):
        again(tmp_path, "added.txt", "page.html", "zones.csv", earlier=written)
    assert {name: (tmp_path / name).read_bytes() for name in everything(tmp_path)} == before


def test_what_cannot_be_put_back_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lets files go and takes none: they lie in the hidden folder then, and are not lost."""
    again(tmp_path, "page.html", earlier={})
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).parent == tmp_path:
            raise PermissionError(errno.EPERM, "locked")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(WriteError):
        again(tmp_path, "page.html", earlier={"x": ""})
    (kept,) = tmp_path.glob(f"{PARTIAL}*/0")
    assert kept.read_text() == "0"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_on_any_exception_nothing_stays(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(folder: Path) -> None:
        with OutputFolder(folder) as output:
            output.path("x.txt").write_text("new")
            raise error

    with pytest.raises(error):
        fail(tmp_path / "a" / "out")
    assert everything(tmp_path) == []
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(error):
        fail(tmp_path)
    assert everything(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ""])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    with OutputFolder(tmp_path / "o") as output, pytest.raises(ValueError, match="no name for an output"):
        output.path(name)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for path in (tmp_path / "f", tmp_path / "f" / "deep"):
        with pytest.raises(UsageError, match="f is a file"), OutputFolder(path):
            pass
    (tmp_path / "out" / "x").mkdir(parents=True)

    def write() -> None:
        with OutputFolder(tmp_path / "out") as output:
            output.path("a").touch()
            output.path("x").touch()

    with pytest.raises(WriteError):
        write()
    assert everything(tmp_path / "out") == ["x"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_refusals_on_entering_name_no_path(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_args: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(WriteError) as error, OutputFolder(tmp_path / "out"):
        pass
    assert str(tmp_path) not in str(error.value)
    assert everything(tmp_path) == []


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    """The file size limit of a process acts like a disk that is full, without root or a small disk."""
    script = """
import resource, sys
from groundglass.errors import WriteError
from groundglass.io import OutputFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    with OutputFolder(sys.argv[1]) as output:
        output.path("small").write_bytes(bytes(10000))
        output.path("large").write_bytes(bytes(50000))
except WriteError as error:
    print(error)
"""
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", script, out], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    assert str(tmp_path) not in done.stdout
    assert everything(tmp_path) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_while_writing_leaves_nothing_half_written(tmp_path: Path, how: signal.Signals) -> None:
    script = """
import signal, sys, time
from groundglass.io import OutputFolder
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
with OutputFolder(sys.argv[1]) as output:
    output.path("half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(how)
    process.communicate()
    left = [path for path in tmp_path.iterdir() if not path.name.startswith(PARTIAL)]
    assert left == []
    with OutputFolder(tmp_path):
        pass
    stale = list(tmp_path.iterdir())
    assert len(stale) == (1 if how == signal.SIGKILL else 0)
    for path in stale:
        for old in (*path.iterdir(), path):
            os.utime(old, (time.time() - 4000,) * 2)
    with OutputFolder(tmp_path):
        pass
    assert everything(tmp_path) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = made.scan()
    path = tmp_path / "l.nii.gz"
    path.write_bytes(b"old")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "full", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(WriteError, match="the disk is full") as error:
        write_labels(path, np.zeros(scan.hu.shape, np.uint8), scan)
    assert str(tmp_path) not in str(error.value)
    assert everything(tmp_path) == ["l.nii.gz"]
    assert path.read_bytes() == b"old"


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        write_file(tmp_path / "none" / "x", b"x")


def test_a_series_is_not_mixed_with_another(tmp_path: Path) -> None:
    made.series(tmp_path)
    with pytest.raises(WriteError, match="holds DICOM files already"):
        made.series(tmp_path)

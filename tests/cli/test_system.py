"""What the system refuses, or a terminal cannot take, is told in one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundglass.cli import segment as segment_module

FULL = Path("/dev/full")
LONG = "x" * 300  # a name that no file system has


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("SCAN", LONG), "scan 2 of 2"),
        (("SCAN", "--model", f"{LONG}.safetensors"), "There is no model of that name"),
        (("SCAN", "--key", LONG), "The file given with --key is not there"),
    ],
)
def test_names_too_long_are_told_as_absent_files_are(run, dicom, tmp_path, words, says):
    ended = run("segment", *(dicom if word == "SCAN" else word for word in words), "-o", tmp_path / "out")
    assert ended.code in (1, 2)
    assert says in ended.error
    assert "A fault" not in ended.error


def test_a_disk_that_fails_is_no_fault_of_ours(run, dicom, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error", "/home/somebody/DOE")

    monkeypatch.setattr(segment_module, "measure", fail)
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 1
    assert "The system refused: Input/output error." in ended.error
    assert "DOE" not in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_takes_nothing_is_told_if_anybody_can_be(stream):
    """Version to a full device: one line on standard error, or nothing where that is it."""
    asked = ("--version",) if stream == "stdout" else ("segment", "x", "-o", "y")
    words = [sys.executable, "-m", "groundglass", *asked]
    other = "stderr" if stream == "stdout" else "stdout"
    with FULL.open("w") as full:
        ended = subprocess.run(words, **{stream: full, other: subprocess.PIPE}, text=True)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in (getattr(ended, other) or "")


def test_an_output_folder_that_the_terminal_cannot_spell_is_told_all_the_same(start, dicom, tmp_path):
    folder = os.fsencode(tmp_path) + b"/out-\xfc"  # Latin-1, where names are UTF-8
    out, err = (process := start("segment", dicom, "-o", os.fsdecode(folder))).communicate()
    assert (process.returncode, "fault" in err) == (0, False)
    assert "out-\\udcfc" in out

"""Whatever is given: one line that helps, an exit code, nothing half-written, no traceback."""

import contextlib
import os
import resource
import signal
import sys
import time
import zipfile

import nibabel
import numpy as np
import pytest

from groundglass.cli import segment as segment_module
from tests.cli.conftest import FILES, label_map
from tests.thorax import AFFINE, SHAPE, draw, ellipsoid


def save(folder, array, affine=AFFINE, name="scan.nii.gz"):
    nibabel.save(nibabel.Nifti1Image(array, affine), folder / name)
    return folder / name


def with_value(value):
    array = draw().hu.T.astype(np.float32)
    array[5, 5, 5] = value
    return array


def absent(folder, dicom):
    return folder / "absent"


def empty_folder(folder, dicom):
    (folder / "empty").mkdir()
    return folder / "empty"


def empty_file(folder, dicom):
    (folder / "empty.nii").write_bytes(b"")
    return folder / "empty.nii"


def text_as_dcm(folder, dicom):
    (folder / "text").mkdir()
    (folder / "text" / "IM1.dcm").write_text("these are no pixels\n" * 100)
    return folder / "text"


def half_a_nifti(folder, dicom):
    path = save(folder, draw().hu.T)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def every_slice_cut(folder, dicom):
    (folder / "cut").mkdir()
    for file in dicom.iterdir():
        (folder / "cut" / file.name).write_bytes(file.read_bytes()[:3000])
    return folder / "cut"


def two_dimensions(folder, dicom):
    return save(folder, np.zeros((64, 64), np.int16))


def not_a_number(folder, dicom):
    return save(folder, with_value(np.nan))


def infinite(folder, dicom):
    return save(folder, with_value(np.inf))


def climbing_zip(folder, dicom):
    with zipfile.ZipFile(folder / "climb.zip", "w") as archive:
        for file in dicom.iterdir():
            archive.write(file, f"../../{file.name}")
    return folder / "climb.zip"


def huge_claim(folder, dicom):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), AFFINE)
    header = bytearray(image.to_bytes())
    header[42:48] = np.array([32767, 32767, 32767], "<i2").tobytes()
    (folder / "huge.nii").write_bytes(bytes(header))
    return folder / "huge.nii"


def not_a_scan(folder, dicom):
    (folder / "letter.pdf").write_bytes(b"%PDF-1.4 nothing")
    return folder / "letter.pdf"


BAD = [
    (absent, 2),
    (empty_folder, 2),
    (empty_file, 1),
    (text_as_dcm, 1),
    (half_a_nifti, 1),
    (every_slice_cut, 1),
    (two_dimensions, 1),
    (not_a_number, 1),
    (infinite, 1),
    (climbing_zip, 1),
    (huge_claim, 1),
    (not_a_scan, 1),
]


@pytest.mark.parametrize(("bad", "code"), BAD, ids=[bad.__name__ for bad, _ in BAD])
def test_bad_input_is_one_line(run, dicom, tmp_path, bad, code):
    ended = run("segment", bad(tmp_path, dicom), "-o", tmp_path / "out")
    assert ended.code in {1, 2} if bad in (empty_folder, text_as_dcm, not_a_scan) else ended.code == code
    assert "Expected" in ended.error
    assert str(tmp_path) not in ended.err + ended.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("window", ["-inf,inf", "-1e39,1e39", "-1e30,1e30", "nan,0", "150,-1350", "5,5"])
def test_a_window_that_no_scan_has_is_one_line(run, tmp_path, window):
    from PIL import Image

    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "slice.png")
    ended = run("segment", tmp_path / "slice.png", "-o", tmp_path / "out", f"--window={window}")
    assert ended.code == 2
    assert "black below white, both from -32768 to 32767 HU" in ended.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("hu", [-1000, 0], ids=["air", "water"])
def test_a_scan_without_a_body_or_without_air_has_no_lung_and_says_so(run, tmp_path, hu):
    ended = run("segment", save(tmp_path, np.full(SHAPE[::-1], hu, np.int16)), "-o", tmp_path / "out")
    assert ended.code == 0
    assert "no lung found" in ended.out
    assert "No lung was found" in (tmp_path / "out" / "page.html").read_text()
    assert not label_map(tmp_path / "out").any()


def test_an_abdomen_has_no_lung_and_says_so(run, tmp_path):
    hu = np.full(SHAPE, -1000, np.int16)
    hu[ellipsoid((0, 0, 0), (500, 110, 145))] = 40
    hu[ellipsoid((0, -40, 20), (20, 15, 20))] = -990
    ended = run("segment", save(tmp_path, hu.T), "-o", tmp_path / "out")
    assert ended.code == 0
    assert "No lung was found" in ended.err


def test_the_output_folder_is_a_file(run, dicom, tmp_path):
    (tmp_path / "out").write_text("mine")
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 2
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder nobody can write to")
def test_the_output_folder_cannot_be_written_to(run, dicom):
    ended = run("segment", dicom, "-o", "/proc/out")
    assert ended.code == 1
    assert "could not be written" in ended.error


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_full_disk_leaves_nothing(start, dicom, tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))  # noqa: E731
    process = start("segment", dicom, "-o", tmp_path / "out", preexec_fn=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "could not be written" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def wait_for(phase, process):
    """Until the command has ended that phase."""
    for line in process.stderr:
        if line.startswith(phase):
            return
    raise AssertionError(f"ended before {phase}")


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("reading", signal.SIGINT),
        ("lung field", signal.SIGINT),
        ("measuring", signal.SIGINT),
        ("lung field", signal.SIGTERM),
        ("lung field", signal.SIGHUP),
    ],
)
def test_an_interruption_leaves_nothing(start, dicom, tmp_path, phase, number):
    process = start("segment", dicom, "-o", tmp_path / "out")
    wait_for(phase, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if process.returncode == 0:  # it was done before the signal came
        return
    assert process.returncode == 128 + number, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_kill_at_any_moment_leaves_whole_files_or_none_and_the_next_run_succeeds(start, run, dicom, tmp_path):
    out = tmp_path / "out"
    assert run("segment", dicom, "-o", tmp_path / "whole").code == 0
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in FILES - {"page.html"}}
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
        process = start("segment", dicom, "-o", out)
        wait_for("lesions", process)
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for name, content in whole.items():
            if (out / name).exists():
                assert (out / name).read_bytes() == content
    assert run("segment", dicom, "-o", out).code == 0
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == FILES


def test_a_fault_of_ours_is_told_in_a_line_without_its_message(run, dicom, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("DOE^JOHN at /home/somebody")

    monkeypatch.setattr(segment_module, "measure", fail)
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 1
    assert "ValueError in groundglass.cli.segment" in ended.error
    assert "DOE" not in ended.err
    assert not (tmp_path / "out").exists()

"""Whatever is given, the answer is a scan, a picture or one of our errors; and real CT reads right."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from groundglass.errors import GroundglassError
from groundglass.io import read, write_labels
from groundglass.scan import GreyImage, Scan
from tests.io import made


def outcome(path: Path) -> Scan | GreyImage | str:
    try:
        return read(path)
    except GroundglassError as error:
        return str(error)


@pytest.mark.parametrize("package", [pydicom, nibabel])
def test_every_file_that_a_library_ships(package: object, capfd: pytest.CaptureFixture[str]) -> None:
    root = Path(package.__file__).parent / ("data" if package is pydicom else "tests/data")
    if not root.is_dir():
        pytest.skip("this installation ships no test data")
    found = {path.name: outcome(path) for path in sorted(root.rglob("*"))}
    assert len(found) > 50
    assert all(str(root) not in said for said in found.values() if isinstance(said, str))
    assert capfd.readouterr() == ("", "")
    if package is pydicom:
        assert isinstance(found["CT_small.dcm"], Scan)
        assert "(MR)" in found["MR_small.dcm"]
    else:
        assert isinstance(found["anatomical.nii"], Scan)


def whole_files(folder: Path) -> Iterator[Path]:
    scan = made.scan(4)
    yield from made.series(folder / "dicom", scan)[:1]
    compressed = folder / "rle.dcm"
    dataset = pydicom.dcmread(folder / "dicom" / "IM0001.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(compressed)
    yield compressed
    for name in ("a.nii", "a.nii.gz", "a.nrrd"):
        write_labels(folder / name, np.zeros(scan.hu.shape, np.uint8), scan)
        yield folder / name
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "dicom" / "IM0001.dcm", "x")
    yield folder / "a.zip"


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, flipped, or a stretch overwritten; mostly in the header, where it hurts."""
    broken = bytearray(content)
    kind = rng.choice(("cut", "flip", "flip", "fill"))
    if kind == "cut":
        return content[: rng.randrange(len(content))]
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(min(len(broken), rng.choice((400, 1500, len(broken)))))
        if kind == "flip":
            broken[place] ^= 1 << rng.randrange(8)
        else:
            broken[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))[:4]
    return bytes(broken)


def test_damaged_files_end_in_a_scan_or_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)  # noqa: S311
    for path in whole_files(tmp_path):
        content = path.read_bytes()
        target = tmp_path / f"broken{path.suffix}"
        for _ in range(60):
            target.write_bytes(damaged(content, rng))
            outcome(target)
        target.unlink()
    assert capfd.readouterr() == ("", "")


def test_importing_loads_nothing_heavy_of_its_own() -> None:
    """Beyond what the records import."""
    script = """
import sys, groundglass.scan
before = set(sys.modules)
import groundglass.io
print(sorted({name.split(".")[0] for name in set(sys.modules) - before} & %r))
"""
    heavy = {"pydicom", "gdcm", "nrrd", "PIL", "torch", "scipy", "skimage", "nibabel"}
    done = subprocess.run([sys.executable, "-c", script % heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.real
def test_p002_is_the_same_however_it_is_given(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = data / "covid_ct_md" / "P002"
    scan = read(folder)
    assert scan.hu.shape == (133, 512, 512)
    assert scan.hu.dtype == np.int16
    assert scan.hu.min() == -1024
    assert scan.spacing_mm == pytest.approx((2.0, 0.603515625, 0.603515625))
    assert len(scan.source.notices) == 1
    files = sorted(folder.iterdir())
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    random.Random(0).shuffle(files)  # noqa: S311
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for number, path in enumerate(files):
        (shuffled / f"{number:04d}").symlink_to(path)
    nibabel.save(nibabel.Nifti1Image(scan.hu.transpose(2, 1, 0), scan.affine), tmp_path / "p.nii")
    for given in (tmp_path / "p.zip", shuffled, tmp_path / "p.nii"):
        other = read(given)
        np.testing.assert_array_equal(other.hu, scan.hu)
        np.testing.assert_allclose(other.affine, scan.affine, atol=1e-5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.real
def test_lung1_and_its_label_map(data: Path, tmp_path: Path) -> None:
    scan = read(data / "lung1")
    assert scan.hu.shape == (48, 512, 512)
    assert scan.spacing_mm == pytest.approx((5, 0.5703125, 0.5703125))
    write_labels(tmp_path / "l.seg.nrrd", (scan.hu > -500).astype(np.uint8), scan)
    import nrrd

    codes, header = nrrd.read(str(tmp_path / "l.seg.nrrd"))
    np.testing.assert_array_equal(header["space origin"], scan.source.header["space origin"])
    assert codes.shape == (512, 512, 48)


@pytest.mark.real
def test_lungmask_slices(data: Path) -> None:
    scan = read(data / "lungmask_dicom")
    assert scan.hu.shape == (2, 512, 512)
    assert scan.hu.min() > -2000
    assert "do not state the modality" in made.texts(scan)


@pytest.mark.real
def test_a_jpeg_slice_that_is_damaged_within_counts_as_missing(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its decoder goes on after the damage and only mutters on stderr."""
    for number in range(40, 62):
        source = data / "covid_ct_md" / "P002" / f"IM{number:04d}.dcm"
        content = bytearray(source.read_bytes())
        if number == 50:
            content[150000:150040] = bytes(40)
        (tmp_path / source.name).write_bytes(content)
    found = read(tmp_path)
    assert ("IM0050.dcm",) in [notice.files for notice in found.source.notices]
    assert "1 of 22 slices are missing" in made.texts(found)
    assert capfd.readouterr() == ("", "")

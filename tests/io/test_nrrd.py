"""NRRD in, segmentations for 3D Slicer out."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from groundglass.errors import GroundglassError, ReadError, ScanError
from groundglass.io import read, write_labels
from tests.io import made


def saved(path: Path, array: np.ndarray | None = None, **fields: Any) -> Path:
    scan = made.scan()
    in_lps = np.diag([-1, -1, 1, 1.0]) @ scan.affine
    header = {"space": "left-posterior-superior", "space directions": in_lps[:3, :3].T, "space origin": in_lps[:3, 3]}
    header = {key: value for key, value in {**header, **fields}.items() if value is not None}
    made.write_nrrd(path, scan.hu.transpose(2, 1, 0) if array is None else array, header)
    return path


def edited(path: Path, old: bytes, new: bytes) -> Path:
    content = saved(path).read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    found = read(saved(tmp_path / "a.nrrd", encoding=encoding))
    np.testing.assert_array_equal(found.hu, made.scan().hu)
    np.testing.assert_allclose(found.affine, made.scan().affine)


@pytest.mark.parametrize(("space", "signs"), [("RAS", (-1, -1)), ("left-anterior-superior", (1, -1)), ("LPS", (1, 1))])
def test_spaces(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    in_lps = np.diag([-1, -1, 1, 1.0]) @ made.scan().affine
    in_space = np.diag([*signs, 1, 1.0]) @ in_lps
    found = read(
        saved(
            tmp_path / "a.nrrd",
            space=space,
            **{"space directions": in_space[:3, :3].T, "space origin": in_space[:3, 3]},
        )
    )
    np.testing.assert_array_equal(found.hu, made.scan().hu)
    np.testing.assert_allclose(found.affine, made.scan().affine)
    assert found.source.notices == ()
    write_labels(tmp_path / "l.seg.nrrd", np.ones(found.hu.shape, np.uint8), found)
    header = nrrd.read_header(str(tmp_path / "l.seg.nrrd"))
    np.testing.assert_array_equal(header["space directions"], in_space[:3, :3].T)
    np.testing.assert_array_equal(header["space origin"], in_space[:3, 3])


def test_lines_before_the_values_are_skipped(tmp_path: Path) -> None:
    saved(tmp_path / "a.nhdr", encoding="raw")
    values = (tmp_path / "a.raw").read_bytes()
    header = (tmp_path / "a.nhdr").read_text().rstrip("\n")
    (tmp_path / "a.nhdr").write_text(f"{header}\nline skip: 2\n")
    (tmp_path / "a.raw").write_bytes(b"one\n\n" + values)
    np.testing.assert_array_equal(read(tmp_path / "a.nhdr").hu, made.scan().hu)


def test_no_space_is_a_notice(tmp_path: Path) -> None:
    fields = {"space": None, "space directions": None, "space origin": None}
    found = read(saved(tmp_path / "a.nrrd", spacings=[0.75, 0.5, 2.5], **fields))
    assert found.spacing_mm == (2.5, 0.5, 0.75)
    assert not found.source.sides_known
    assert "assumed" in made.texts(found)
    with pytest.raises(ScanError, match="spacing"):
        read(saved(tmp_path / "a.nrrd", **fields))


def test_units(tmp_path: Path) -> None:
    directions = np.diag([0.075, 0.05, 0.25])
    found = read(saved(tmp_path / "a.nrrd", **{"space directions": directions, "space units": ["cm"] * 3}))
    assert found.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    with pytest.raises(ScanError, match="space or unit"):
        read(saved(tmp_path / "a.nrrd", **{"space units": ["parsec"] * 3}))


def test_a_detached_header(tmp_path: Path) -> None:
    saved(tmp_path / "a.nhdr", encoding="raw")
    np.testing.assert_array_equal(read(tmp_path / "a.nhdr").hu, made.scan().hu)
    np.testing.assert_array_equal(read(tmp_path).hu, made.scan().hu)
    text = (tmp_path / "a.nhdr").read_text()
    (tmp_path / "sub").mkdir()
    for name in ("../a.raw", str(tmp_path / "a.raw"), "none.raw", "LIST", "."):
        (tmp_path / "sub" / "a.nhdr").write_text(text.replace("a.raw", name))
        with pytest.raises(ReadError, match="data file is not beside it"):
            read(tmp_path / "sub" / "a.nhdr")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"sizes: 10 12 8", b"sizes: 10000 10000 10000"),
        (b"sizes: 10 12 8", b"sizes: 1000 1000 1000"),
        (b"sizes: 10 12 8", b"sizes: 10 12 9"),
        (b"sizes: 10 12 8", b"sizes: 10 12"),
        (b"sizes: 10 12 8", b"sizes: 10 12 0"),
        (b"sizes: 10 12 8", b"sizes: a b c"),
        (b"type: int16", b"type: block"),
        (b"type: int16", b"type: double"),
        (b"encoding: gzip", b"encoding: hex"),
        (b"encoding: gzip", b"encoding: raw"),
        (b"dimension: 3", b"dimension: 4"),
        (b"endian: little", b"byte skip: -7"),
        (b"space origin: (", b"space origin: (nan,"),
        (b"endian: little", b"line skip: -1"),
        (b"endian: little", b"line skip: 1000000000000"),
    ],
)
def test_headers_that_lie(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = edited(tmp_path / "a.nrrd", old, new)
    tracemalloc.start()
    with pytest.raises(GroundglassError):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("shape", [(10, 12), (10, 12, 8, 2)])
def test_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    made.write_nrrd(tmp_path / "a.nrrd", np.zeros(shape, np.int16))
    with pytest.raises(ScanError, match="dimensions"):
        read(tmp_path / "a.nrrd")


def test_truncated(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.nrrd").read_bytes()
    for cut in (10, 50, 150, len(content) - 300, len(content) - 1):
        (tmp_path / "a.nrrd").write_bytes(content[:cut])
        with pytest.raises(ReadError):
            read(tmp_path / "a.nrrd")


def test_a_segmentation_names_and_colours_its_segments(tmp_path: Path) -> None:
    found = read(saved(tmp_path / "a.nrrd", patient="JANE", content="JANE"))
    labels = (np.abs(found.hu) % 4).astype(np.uint8)
    write_labels(tmp_path / "l.seg.nrrd", labels, found)
    data, header = nrrd.read(str(tmp_path / "l.seg.nrrd"))
    np.testing.assert_array_equal(data, labels.transpose(2, 1, 0))
    assert data.dtype == np.uint8
    assert [header[f"Segment{n}_Name"] for n in range(3)] == ["lung", "ground-glass opacity", "consolidation"]
    assert [header[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "3"]
    assert {header[f"Segment{n}_Layer"] for n in range(3)} == {"0"}
    assert {header[f"Segment{n}_Extent"] for n in range(3)} == {"0 9 0 11 0 7"}
    assert np.allclose(np.array(header["Segment1_Color"].split(), float) * 255, (230, 159, 0), atol=1e-3)
    assert b"JANE" not in (tmp_path / "l.seg.nrrd").read_bytes()

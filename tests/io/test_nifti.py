"""NIfTI in and out: every orientation, geometry to the bit, and headers that lie."""

from __future__ import annotations

import gzip
import itertools
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from groundglass.errors import GroundglassError, LabelError, ReadError, ScanError, UsageError
from groundglass.io import read, write_label_names, write_labels
from tests.io import made

ORDERS = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]


def saved(
    path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None, kind=nibabel.Nifti1Image
) -> Path:
    scan = made.scan()
    array = scan.hu.transpose(2, 1, 0) if array is None else array
    nibabel.save(kind(array, scan.affine if affine is None else affine), path)
    return path


def oriented(codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The made scan as a file with these axes would hold it: array (i, j, k) and affine."""
    scan = made.scan()
    array = scan.hu.transpose(2, 1, 0)
    transform = ornt_transform(axcodes2ornt(tuple("LPS")), axcodes2ornt(tuple(codes)))
    return nibabel.apply_orientation(array, transform), scan.affine @ inv_ornt_aff(transform, array.shape)


@pytest.mark.parametrize("codes", ORDERS)
def test_every_axis_order_reads_the_same_and_writes_back_on_its_grid(tmp_path: Path, codes: str) -> None:
    array, affine = oriented(codes)
    found = read(saved(tmp_path / "a.nii", array, affine))
    np.testing.assert_array_equal(found.hu, made.scan().hu)
    np.testing.assert_allclose(found.affine, made.scan().affine, atol=1e-5)
    labels = (np.abs(found.hu) % 4).astype(np.uint8)
    for name in ("l.nii.gz", "l.nrrd"):
        write_labels(tmp_path / name, labels, found)
    back = nibabel.load(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(back.dataobj, np.abs(array) % 4)
    np.testing.assert_array_equal(back.affine, nibabel.load(tmp_path / "a.nii").affine)
    import nrrd

    data, header = nrrd.read(str(tmp_path / "l.nrrd"))
    np.testing.assert_array_equal(data, np.abs(array) % 4)
    np.testing.assert_allclose(header["space directions"].T, np.diag([-1, -1, 1]) @ affine[:3, :3], atol=1e-6)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_geometry_is_copied_to_the_bit_and_nothing_else(tmp_path: Path, kind, endianness: str) -> None:
    rng = np.random.default_rng(0)
    header = kind.header_class(endianness=endianness)
    header.set_data_shape((10, 12, 8))
    header.set_data_dtype(np.int16)
    header["pixdim"][1:] = [0.7031249, 0.5, 2.4999, 1.1, 2, 3, 4]
    header["qform_code"], header["sform_code"], header["xyzt_units"] = 1, 2, 10
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = 0.01, 0.02, 0.99
    header["qoffset_x"], header["srow_x"] = 3.3, [0.7031249, 0.001, 0, 1.7]
    header["srow_y"], header["srow_z"] = [-0.0007, 0.5, 0.05, 2.1], [0, -0.01, 2.4999, 0.3]
    header["descrip"], header["aux_file"], header["intent_name"] = b"DOE^JANE", b"/home/jane", b"JANE"
    header["slice_code"], header["cal_max"], header["toffset"], header["scl_slope"] = 1, 7, 9, 1
    header["vox_offset"] = int(header.sizeof_hdr) + 4 + 64
    if kind is nibabel.Nifti1Image:
        header["db_name"] = b"JANE"
    values = rng.integers(-1000, 1000, 960).astype(endianness + "i2")
    extension = b"\1\0\0\0" + struct.pack("<ii", 64, 6) + b"COMMENT JANE".ljust(56, b"\0")
    (tmp_path / "a.nii").write_bytes(header.structarr.tobytes() + extension + values.tobytes())
    found = read(tmp_path / "a.nii")
    write_labels(tmp_path / "l.nii", np.zeros(found.hu.shape, np.uint8), found)
    raw = (tmp_path / "l.nii").read_bytes()
    back = kind.header_class(raw[: int(header.sizeof_hdr)], check=True)
    for name in (
        "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
        "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
    ):  # fmt: skip
        assert back[name].tobytes() == header[name].tobytes(), name
    assert back["scl_slope"] == 1
    assert b"JANE" not in raw
    assert b"home" not in raw
    assert len(raw) == int(header.sizeof_hdr) + 4 + 960


def test_the_gzip_holds_no_name_and_no_time(tmp_path: Path) -> None:
    found = read(saved(tmp_path / "a.nii.gz"))
    write_labels(tmp_path / "JANE.nii.gz", np.zeros(found.hu.shape, np.uint8), found)
    raw = (tmp_path / "JANE.nii.gz").read_bytes()
    assert raw[3] == 0
    assert raw[4:8] == bytes(4)


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "f4", "f8", "i8"])
def test_whole_values_become_int16_whatever_the_type(tmp_path: Path, dtype: str) -> None:
    array = made.scan().hu.transpose(2, 1, 0)
    image = nibabel.Nifti1Image((array + (1024 if dtype == "u2" else 0)).astype(dtype), made.scan().affine, dtype=dtype)
    if dtype == "u2":
        image.header.set_slope_inter(1, -1024)
        raw = image.header.copy()
        raw["scl_slope"], raw["scl_inter"], raw["vox_offset"] = 1, -1024, 352
        (tmp_path / "a.nii").write_bytes(
            raw.structarr.tobytes() + bytes(4) + (array + 1024).astype("<u2").tobytes(order="F")
        )
    else:
        nibabel.save(image, tmp_path / "a.nii")
    found = read(tmp_path / "a.nii")
    assert found.hu.dtype == np.int16
    np.testing.assert_array_equal(found.hu, made.scan().hu)


def test_fractions_stay_float32(tmp_path: Path) -> None:
    array = made.scan().hu.transpose(2, 1, 0) + np.float32(0.25)
    found = read(saved(tmp_path / "a.nii", array))
    assert found.hu.dtype == np.float32
    np.testing.assert_array_equal(found.hu, made.scan().hu + np.float32(0.25))


def test_a_pair(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(made.scan().hu.transpose(2, 1, 0), made.scan().affine), tmp_path / "a.hdr")
    np.testing.assert_array_equal(read(tmp_path / "a.hdr").hu, made.scan().hu)
    found = read(tmp_path)
    write_labels(tmp_path / "l.nii", np.ones(found.hu.shape, np.uint8), found)
    assert nibabel.load(tmp_path / "l.nii").shape == (10, 12, 8)
    (tmp_path / "l.nii").unlink()
    (tmp_path / "a.img").unlink()
    with pytest.raises(ReadError, match="no image file"):
        read(tmp_path)


def test_a_fourth_axis_of_one_is_kept(tmp_path: Path) -> None:
    found = read(saved(tmp_path / "a.nii", made.scan().hu.transpose(2, 1, 0)[..., None]))
    write_labels(tmp_path / "l.nii", np.ones(found.hu.shape, np.uint8), found)
    assert nibabel.load(tmp_path / "l.nii").shape == (10, 12, 8, 1)


@pytest.mark.parametrize("shape", [(10, 12), (10, 12, 8, 2), (10,)])
def test_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.int16)
    with pytest.raises(ScanError, match=f"{len(shape)} dimensions"):
        read(saved(tmp_path / "a.nii", array))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    array = made.scan().hu.transpose(2, 1, 0).astype(np.float32)
    array[0, :2, 0] = bad
    with pytest.raises(ScanError, match="2 voxels are not finite"):
        read(saved(tmp_path / "a.nii", array))


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (0.0, 0.9), (-1.0, 1.0), (-3.2, 4.1), (0, 3000)])
def test_values_that_are_no_hounsfield_units(tmp_path: Path, low: float, high: float) -> None:
    array = np.linspace(low, high, 960).reshape(10, 12, 8)
    with pytest.raises(ScanError, match="Expected Hounsfield units"):
        read(saved(tmp_path / "a.nii", array.astype(np.int16 if isinstance(low, int) else np.float32)))


def test_no_orientation_is_a_notice(tmp_path: Path) -> None:
    image = nibabel.load(saved(tmp_path / "a.nii"))
    image.header["sform_code"] = image.header["qform_code"] = 0
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[:348] = image.header.structarr.tobytes()
    struct.pack_into("<hh", content, 252, 0, 0)
    struct.pack_into("<f", content, 108, 352)
    (tmp_path / "a.nii").write_bytes(content)
    found = read(tmp_path / "a.nii")
    assert "assumed" in made.texts(found)
    assert not found.source.sides_known
    struct.pack_into("<f", content, 76 + 12, 0)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ScanError, match="spacing"):
        read(tmp_path / "a.nii")


def test_a_sheared_affine_is_refused_an_oblique_one_kept(tmp_path: Path) -> None:
    affine = made.scan().affine.copy()
    affine[1, 2] = 2.5 * np.tan(np.radians(10))
    with pytest.raises(ScanError, match=r"sheared by 10\.0 degrees"):
        read(saved(tmp_path / "a.nii", affine=affine))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    found = read(saved(tmp_path / "a.nii", affine=turn @ made.scan().affine))
    np.testing.assert_allclose(found.affine, turn @ made.scan().affine, atol=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_units(tmp_path: Path, unit: int, factor: float) -> None:
    scan = made.scan()
    affine = np.diag([*(np.array([-0.75, -0.5, 2.5]) / factor), 1])
    image = nibabel.Nifti1Image(scan.hu.transpose(2, 1, 0), affine)
    image.header["xyzt_units"] = unit
    nibabel.save(image, tmp_path / "a.nii")
    assert read(tmp_path / "a.nii").spacing_mm == pytest.approx((2.5, 0.5, 0.75))


def declared(path: Path, *dims: int) -> bytes:
    content = bytearray(saved(path.with_suffix(".nii")).read_bytes())
    struct.pack_into(f"<{len(dims) + 1}h", content, 40, len(dims), *dims)
    return bytes(content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dims", [(30000, 30000, 30000), (1000, 1000, 1000), (20, 12, 8), (0, 12, 8), (-5, 3, 2)])
def test_a_declared_size_beyond_the_file_is_never_allocated(
    tmp_path: Path, dims: tuple[int, ...], packed: bool
) -> None:
    content = declared(tmp_path / "a", *dims)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(GroundglassError):
        read(tmp_path / "b.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_gzip_bomb_behind_a_small_header(tmp_path: Path) -> None:
    content = declared(tmp_path / "a", 10, 12, 8)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content + bytes(2**26)))
    tracemalloc.start()
    read(tmp_path / "b.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("cut", [2, 100, 200, 348, 360, 700])
def test_truncated(tmp_path: Path, name: str, cut: int) -> None:
    content = saved(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:cut])
    with pytest.raises(ReadError):
        read(tmp_path / name)


@pytest.mark.parametrize("dtype", ["c8", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers(tmp_path: Path, dtype: object) -> None:
    with pytest.raises(ReadError, match="colours, complex"):
        read(saved(tmp_path / "a.nii", np.zeros((10, 12, 8), dtype)))


def test_two_volumes_in_a_folder_are_a_choice(tmp_path: Path) -> None:
    saved(tmp_path / "a.nii")
    saved(tmp_path / "b.nii.gz")
    with pytest.raises(UsageError, match=r"2 volumes: a\.nii, b\.nii\.gz"):
        read(tmp_path)
    with pytest.raises(UsageError, match="not DICOM"):
        read(tmp_path / "a.nii", series=1)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    scan = made.scan()
    for codes in (np.zeros((8, 12, 11), np.uint8), np.zeros((8, 12, 10), np.int16), np.full((8, 12, 10), 4, np.uint8)):
        with pytest.raises(LabelError):
            write_labels(tmp_path / "l.nii", codes, scan)
    with pytest.raises(UsageError, match="No label map is written"):
        write_labels(tmp_path / "l.mha", np.zeros((8, 12, 10), np.uint8), scan)
    assert not list(tmp_path.iterdir())


def test_labels_of_dicom_and_of_memory_lie_on_their_grids(tmp_path: Path) -> None:
    made.series(tmp_path / "d")
    for scan in (made.scan(), read(tmp_path / "d")):
        labels = (np.abs(scan.hu) % 4).astype(np.uint8)
        write_labels(tmp_path / "l.nii.gz", labels, scan)
        back = nibabel.load(tmp_path / "l.nii.gz")
        np.testing.assert_array_equal(back.dataobj, labels.transpose(2, 1, 0))
        np.testing.assert_allclose(back.affine, made.scan().affine, atol=1e-6)
        np.testing.assert_allclose(back.get_qform(), made.scan().affine, atol=1e-5)
        assert back.header["xyzt_units"] == 2


def test_label_names(tmp_path: Path) -> None:
    import json

    write_label_names(tmp_path / "labels.json")
    labels = json.loads((tmp_path / "labels.json").read_text())["labels"]
    assert [(label["code"], label["name"]) for label in labels] == [
        (0, "background"), (1, "lung"), (2, "ground-glass opacity"), (3, "consolidation"),
    ]  # fmt: skip
    assert labels[2]["colour"] == [230, 159, 0]

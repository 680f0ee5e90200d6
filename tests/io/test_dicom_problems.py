"""Series that are not whole or not regular: found, named, and mended only where that is safe."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from groundglass.errors import ReadError, ScanError, UsageError
from groundglass.io import read
from tests.io import made


def test_a_missing_slice_is_interpolated_and_said(tmp_path: Path) -> None:
    scan = made.scan(24)
    made.series(tmp_path, scan)[10].unlink()
    found = read(tmp_path)
    assert found.hu.shape == scan.hu.shape
    middle = (scan.hu[9].astype(float) + scan.hu[11]) / 2
    assert np.abs(found.hu[10] - middle).max() <= 0.5
    np.testing.assert_array_equal(np.delete(found.hu, 10, 0), np.delete(scan.hu, 10, 0))
    np.testing.assert_allclose(found.affine, scan.affine)
    assert "1 of 24 slices are missing (number 11 from the lowest)" in made.texts(found)
    assert found.source.slices[10] is None
    assert len(found.source.slices) == 24


def test_two_missing_in_a_row_lie_on_the_line(tmp_path: Path) -> None:
    scan = made.scan(44)
    for path in made.series(tmp_path, scan)[20:22]:
        path.unlink()
    found = read(tmp_path)
    low, high = scan.hu[19].astype(float), scan.hu[22].astype(float)
    assert np.abs(found.hu[20] - (low * 2 / 3 + high / 3)).max() <= 0.5
    assert np.abs(found.hu[21] - (low / 3 + high * 2 / 3)).max() <= 0.5


@pytest.mark.parametrize(("count", "gone"), [(80, [30, 31, 32]), (10, [4]), (40, [3, 9, 20])])
def test_too_many_missing_are_refused(tmp_path: Path, count: int, gone: list[int]) -> None:
    paths = made.series(tmp_path, made.scan(count))
    for index in gone:
        paths[index].unlink()
    with pytest.raises(ScanError, match=rf"{len(gone)} slices are missing, between slices {gone[0]} and {gone[0] + 1}"):
        read(tmp_path)


def test_identical_duplicates_are_dropped(tmp_path: Path) -> None:
    scan, paths = made.scan(), made.series(tmp_path)
    shutil.copy(paths[2], tmp_path / "copy.dcm")
    found = read(tmp_path)
    np.testing.assert_array_equal(found.hu, scan.hu)
    assert "twice, identical, used once: 1." in made.texts(found)
    assert found.source.notices[0].files == ("copy.dcm",)


def test_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    paths = made.series(tmp_path)
    shutil.copy(paths[2], tmp_path / "copy.dcm")
    made.change(tmp_path / "copy.dcm", RescaleIntercept=-1000)
    with pytest.raises(ScanError, match=r"Different slices lie at one place \(slice 3 from the lowest\)"):
        read(tmp_path)


@pytest.mark.parametrize("wide", [1.25, 2.0, 5.0])
def test_two_spacings_are_refused_with_both(tmp_path: Path, wide: float) -> None:
    paths = made.series(tmp_path, made.scan(20))
    z = np.cumsum([0.0] + [1.0] * 11 + [wide] * 8)
    made.move(paths, z)
    with pytest.raises(ScanError, match=rf"1 mm and {wide:g} mm apart \(the latter between slices 12 and 20 of 20"):
        read(tmp_path)


def test_rounded_positions_are_one_spacing(tmp_path: Path) -> None:
    paths = made.series(tmp_path, made.scan(40))
    made.move(paths, [round(0.75 * index + 1e-6, 1) for index in range(40)])
    found = read(tmp_path)
    assert found.hu.shape[0] == 40
    assert found.spacing_mm[0] == pytest.approx(0.75, abs=0.003)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path: Path) -> None:
    paths = made.series(tmp_path)
    made.move(paths, [2.5 * i for i in range(8)], [2.5 * i * np.tan(np.radians(12)) for i in range(8)])
    with pytest.raises(ScanError, match=r"gantry was tilted: the slices are sheared by 12\.0 degrees"):
        read(tmp_path)


def test_tilt_by_orientation_is_sheared_too(tmp_path: Path) -> None:
    """As scanners write it: the planes are oblique, the table moves straight."""
    angle = np.radians(-15)
    made.series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))])
    with pytest.raises(ScanError, match=r"sheared by 15\.0 degrees"):
        read(tmp_path)


def test_an_oblique_stack_along_its_normal_is_no_tilt(tmp_path: Path) -> None:
    angle = np.radians(10)
    normal = np.array([0, -np.sin(angle), np.cos(angle)])
    paths = made.series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))])
    for index, path in enumerate(paths):
        made.change(path, ImagePositionPatient=[float(value) for value in normal * 2.5 * index])
    assert read(tmp_path).spacing_mm == pytest.approx((2.5, 0.5, 0.75))


def test_slices_that_shift_sideways(tmp_path: Path) -> None:
    paths = made.series(tmp_path)
    made.move(paths, [2.5 * i for i in range(8)], [0, 0, 0, 0, 30, 30, 30, 30])
    with pytest.raises(ScanError, match=r"shift sideways against each other by up to 30\.0 mm"):
        read(tmp_path)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_absent_geometry_is_named(tmp_path: Path, keyword: str) -> None:
    paths = made.series(tmp_path)
    made.change(paths[4], **{keyword: None})
    with pytest.raises(ScanError, match=f"1 of 8 slices have no usable {keyword}"):
        read(tmp_path)
    for path in paths:
        if path != paths[4]:
            made.change(path, **{keyword: None})
    with pytest.raises(ScanError, match=f"8 of 8 slices have no usable {keyword}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelSpacing", [0.5005 * 1.003, 0.75]), ("ImageOrientationPatient", [0.9999, 0.0141, 0, -0.0141, 0.9999, 0])],
)
def test_geometry_that_differs_a_little_is_refused(tmp_path: Path, keyword: str, value: list[float]) -> None:
    made.change(made.series(tmp_path)[4], **{keyword: value})
    with pytest.raises(ScanError, match=f"{keyword} differs between slices"):
        read(tmp_path)


@pytest.mark.parametrize("elements", [{"PixelSpacing": [1, 1]}, {"Rows": 6}])
def test_geometry_that_differs_much_makes_two_choices(tmp_path: Path, elements: dict[str, object]) -> None:
    made.change(made.series(tmp_path)[4], **elements)
    with pytest.raises(UsageError, match="2 series"):
        read(tmp_path)


def test_a_truncated_slice_counts_as_missing(tmp_path: Path) -> None:
    scan = made.scan(24)
    path = made.series(tmp_path, scan)[10]
    path.write_bytes(path.read_bytes()[:-50])
    found = read(tmp_path)
    assert found.hu.shape == scan.hu.shape
    assert "cut short or damaged, left out: 1." in made.texts(found)
    assert "number 11 from the lowest" in made.texts(found)
    assert ("IM0011.dcm",) in [notice.files for notice in found.source.notices]
    assert "IM0011" not in made.texts(found)


@pytest.mark.parametrize("size", [100, 200, 700, 1000])
def test_a_slice_cut_within_its_header_counts_as_missing(tmp_path: Path, size: int) -> None:
    path = made.series(tmp_path, made.scan(24))[10]
    path.write_bytes(path.read_bytes()[:size])
    assert "number 11 from the lowest" in made.texts(read(tmp_path))


def test_damaged_slices_at_the_ends_shorten_the_scan(tmp_path: Path) -> None:
    scan = made.scan(24)
    paths = made.series(tmp_path, scan)
    for path in (paths[0], paths[-1]):
        path.write_bytes(path.read_bytes()[:-10])
    found = read(tmp_path)
    np.testing.assert_array_equal(found.hu, scan.hu[1:-1])
    assert found.affine[2, 3] == pytest.approx(scan.affine[2, 3] + 2.5)


def test_a_text_file_named_dcm(tmp_path: Path) -> None:
    made.series(tmp_path)
    (tmp_path / "notes.dcm").write_text("hello " * 100)
    found = read(tmp_path)
    assert "the name of DICOM but other content, left out: 1." in made.texts(found)
    with pytest.raises(ReadError, match="has the name of a scan, but not the content"):
        read(tmp_path / "notes.dcm")


def test_a_declared_size_beyond_the_file_is_never_allocated(tmp_path: Path) -> None:
    for path in made.series(tmp_path):
        made.change(path, Rows=65535, Columns=65535)
    with pytest.raises(ReadError, match="cut short or damaged"):
        read(tmp_path)


@pytest.mark.parametrize("version", [b"\0\1", bytes(2000)])
def test_a_deflated_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: bytes) -> None:
    """However far into the file its transfer syntax is stated."""
    import zlib

    import pydicom

    path = made.series(tmp_path, made.scan(1))[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.file_meta.FileMetaInformationVersion = version
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    np.testing.assert_array_equal(read(tmp_path).hu, made.scan(1).hu)
    head = path.read_bytes()
    start = 144 + int.from_bytes(head[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    chunk = bytes(2**24)
    path.write_bytes(head[:start] + b"".join(packer.compress(chunk) for _ in range(80)) + packer.flush())
    monkeypatch.setattr(pydicom, "dcmread", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(ReadError):
        read(tmp_path)


def test_nan_rescale(tmp_path: Path) -> None:
    made.series(tmp_path, RescaleSlope=0)
    with pytest.raises(ScanError, match="rescale slope"):
        read(tmp_path)


def test_raw_values_without_an_intercept_are_no_hounsfield_units(tmp_path: Path) -> None:
    made.series(tmp_path, RescaleIntercept=0)
    with pytest.raises(ScanError, match="holds no air"):
        read(tmp_path)


@pytest.mark.parametrize("value", [-1024, 0])
def test_all_air_and_all_water_are_scans(tmp_path: Path, value: int) -> None:
    scan = made.scan()
    made.series(tmp_path, type(scan)(np.full_like(scan.hu, value), scan.affine))
    assert (read(tmp_path).hu == value).all()


@pytest.mark.parametrize("text", [None, "-1O24.0", "nan"])
def test_a_slice_without_the_rescale_of_the_others_counts_as_missing(tmp_path: Path, text: str | None) -> None:
    scan = made.scan(24)
    path = made.series(tmp_path, scan)[10]
    if text is None:
        made.change(path, RescaleIntercept=None)
    else:
        made.unreadable(path, "RescaleIntercept", text)
    found = read(tmp_path)
    middle = (scan.hu[9].astype(float) + scan.hu[11]) / 2
    assert np.abs(found.hu[10] - middle).max() <= 0.5
    np.testing.assert_array_equal(np.delete(found.hu, 10, 0), np.delete(scan.hu, 10, 0))
    assert "rescale slope or intercept is absent or unreadable, left out: 1." in made.texts(found)
    assert "number 11 from the lowest" in made.texts(found)
    assert ("IM0011.dcm",) in [notice.files for notice in found.source.notices]


def test_a_rescale_that_only_some_slices_state_is_refused(tmp_path: Path) -> None:
    """Every second slice: what is left would be a regular stack of twice the spacing."""
    for path in made.series(tmp_path, made.scan(24))[::2]:
        made.change(path, RescaleSlope=None)
    with pytest.raises(ReadError, match="12 of 24 slices are without a readable rescale"):
        read(tmp_path)


def test_every_second_slice_truncated_is_no_stack_of_twice_the_spacing(tmp_path: Path) -> None:
    for path in made.series(tmp_path, made.scan(24))[::2]:
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ReadError, match="12 of 24 slices are cut short or damaged"):
        read(tmp_path)


def test_a_series_without_any_rescale_holds_hounsfield_units(tmp_path: Path) -> None:
    scan = made.scan()
    low = type(scan)(np.where(scan.hu < -900, np.int16(-1500), scan.hu), scan.affine)  # written as they are
    made.series(tmp_path, low, RescaleIntercept=None, RescaleSlope=None)
    np.testing.assert_array_equal(read(tmp_path).hu, low.hu)


@pytest.mark.parametrize("intercept", [None, 0])
def test_padding_does_not_pass_for_air(tmp_path: Path, intercept: int | None) -> None:
    """The corner holds 0, which is padding and becomes -1024; all else is 24 to 2523, and no air."""
    scan = made.scan()
    hu = scan.hu.copy()
    hu[:, 0, 0] = -1024
    made.series(tmp_path, type(scan)(hu, scan.affine), PixelPaddingValue=0, RescaleIntercept=intercept)
    with pytest.raises(ScanError, match="holds no air"):
        read(tmp_path)


def test_a_frame_of_reference_for_each_slice_says_nothing(tmp_path: Path) -> None:
    for path in made.series(tmp_path, made.scan()):
        made.change(path, FrameOfReferenceUID=made.fresh_uid())
    assert read(tmp_path).hu.shape == made.scan().hu.shape


def test_slices_of_two_frames_of_reference_are_refused(tmp_path: Path) -> None:
    """Two acquisitions, one half a step above the other, look like one of half the spacing."""
    paths = made.series(tmp_path, made.scan(24))
    uids = made.fresh_uid(), made.fresh_uid()
    for number, path in enumerate(paths):
        made.change(path, FrameOfReferenceUID=uids[number % 2])
    with pytest.raises(ScanError, match="The slices have 2 frames of reference") as error:
        read(tmp_path)
    assert not any(uid in str(error.value) for uid in uids)
    for path in paths[1::2]:
        made.change(path, FrameOfReferenceUID=None)
    assert len(read(tmp_path).hu) == 24


def test_slices_of_two_patients_in_one_series_are_refused(tmp_path: Path) -> None:
    paths = made.series(tmp_path, made.scan(24))
    for path in paths[12:]:
        made.change(path, PatientID="QZMARK")
    with pytest.raises(ScanError, match="slices of 2 patients") as error:
        read(tmp_path)
    assert "QZMARK" not in str(error.value)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_slices_without_a_series_uid_are_not_merged_across(tmp_path: Path, keyword: str) -> None:
    paths = made.series(tmp_path, made.scan(24), SeriesInstanceUID=None)
    for path in paths[12:]:
        made.change(path, **{keyword: "1.2.3"})
    with pytest.raises(UsageError, match="2 series"):
        read(tmp_path)


@pytest.mark.parametrize("size", [2000, 10.1, 0.009])
def test_pixels_of_an_absurd_size_are_refused(tmp_path: Path, size: float) -> None:
    paths = made.series(tmp_path, PixelSpacing=[size, size])
    with pytest.raises(ScanError, match=f"Pixels of {size:g} x {size:g} mm"):
        read(tmp_path)
    for path in paths:
        made.change(path, PixelSpacing=[10, 0.01])
    assert read(tmp_path).spacing_mm == pytest.approx((2.5, 10, 0.01))


def test_slices_far_apart_are_refused(tmp_path: Path) -> None:
    made.move(made.series(tmp_path), [2000 * index for index in range(8)])
    with pytest.raises(ScanError, match="The slices are 2000 mm apart"):
        read(tmp_path)


@pytest.mark.parametrize(("apart", "count"), [(20, 8), (100, 2)])
def test_slices_with_gaps_between_them_are_a_guess(tmp_path: Path, apart: int, count: int) -> None:
    paths = made.series(tmp_path, made.scan(count), SliceThickness=4)
    made.move(paths, [apart * index for index in range(count)])
    said = f"Slices are {apart} mm apart and 4 mm thick: what lies between was not scanned, volumes are guesses."
    assert made.texts(read(tmp_path)) == said


@pytest.mark.parametrize("elements", [{"SliceThickness": 1.25}, {"SliceThickness": None, "SpacingBetweenSlices": 1}])
def test_nothing_is_told_of_slices_twice_their_thickness_apart(tmp_path: Path, elements: dict[str, object]) -> None:
    """2.5 mm apart. Where no thickness is stated, the stated spacing is not one."""
    made.series(tmp_path, **elements)
    assert read(tmp_path).source.notices == ()


def test_a_missing_decoder_is_said(tmp_path: Path) -> None:
    import pydicom

    for path in made.series(tmp_path):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
        dataset.PixelData = pydicom.encaps.encapsulate([b"1234"])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    with pytest.raises(ReadError, match="no installed decoder"):
        read(tmp_path)

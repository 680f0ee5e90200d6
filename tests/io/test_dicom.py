"""A series is read by what its headers say, whatever its files are called."""

from __future__ import annotations

import random
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from groundglass.errors import GroundglassError, ReadError, ScanError, UsageError
from groundglass.io import dicom_pixels, read
from groundglass.scan import Scan
from tests.io import made


def same(found: object, wanted: Scan) -> None:
    assert isinstance(found, Scan)
    assert found.hu.dtype == np.int16
    np.testing.assert_array_equal(found.hu, wanted.hu)
    np.testing.assert_allclose(found.affine, wanted.affine, atol=1e-9)


def test_a_written_series_reads_back(tmp_path: Path) -> None:
    made.series(tmp_path)
    found = read(tmp_path)
    same(found, made.scan())
    assert found.source.notices == ()
    assert [s.InstanceNumber for s in found.source.slices] == list(range(1, 9))
    assert "PixelData" not in found.source.slices[0]


def test_the_same_scan_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    first, second = made.series(tmp_path / "a"), made.series(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_values_below_minus_1024_are_written_signed(tmp_path: Path) -> None:
    scan = made.scan()
    low = Scan(np.where(scan.hu < -900, np.int16(-1500), scan.hu), scan.affine)
    made.series(tmp_path, low)
    same(read(tmp_path), low)


def test_slices_are_ordered_by_position_never_by_name_or_number(tmp_path: Path) -> None:
    paths = made.series(tmp_path / "a", InstanceNumber=lambda index: (index * 5) % 8)
    random.Random(1).shuffle(paths)  # noqa: S311
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for number, path in enumerate(paths):
        path.rename(tmp_path / "b" / ("deep" if number % 2 else "") / f"{number:03d}.bin")
    (tmp_path / "b" / "readme.txt").write_text("not a slice")
    found = read(tmp_path / "b")
    same(found, made.scan())
    assert found.source.notices[0].files == ("readme.txt",)
    assert "readme" not in made.texts(found)


def test_a_zip_is_the_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in made.series(tmp_path / "a"):
            archive.write(path, f"some/where/{path.name}")
        archive.writestr("__MACOSX/._IM0001.dcm", b"rubbish")
    found = read(tmp_path / "scan.zip")
    same(found, made.scan())
    assert found.source.notices == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "scan.zip"]


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    for path in made.series(tmp_path):
        dataset = pydicom.dcmread(path)
        if syntax == RLELossless:
            dataset.compress(RLELossless)
            dataset.save_as(path)
            continue
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        explicit = syntax != ImplicitVRLittleEndian
        pydicom.dcmwrite(
            path, dataset, implicit_vr=not explicit, little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=True,
        )  # fmt: skip
    same(read(tmp_path), made.scan())


@pytest.mark.parametrize("kind", ["JPEG_LOSSLESS", "JPEG2000", "JPEGLS"])
def test_compressed_by_gdcm(tmp_path: Path, kind: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    syntax = {
        "JPEG_LOSSLESS": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        "JPEG2000": gdcm.TransferSyntax.JPEG2000Lossless,
        "JPEGLS": gdcm.TransferSyntax.JPEGLSLossless,
    }[kind]
    for path in made.series(tmp_path):
        reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    same(read(tmp_path), made.scan())


def test_files_without_the_dicom_mark(tmp_path: Path) -> None:
    for path in made.series(tmp_path):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    same(read(tmp_path), made.scan())


def test_rescale_of_each_slice(tmp_path: Path) -> None:
    paths = made.series(tmp_path)
    made.change(paths[3], RescaleSlope=2, RescaleIntercept=-1000)
    found, scan = read(tmp_path), made.scan()
    np.testing.assert_array_equal(found.hu[3], (scan.hu[3].astype(int) + 1024) * 2 - 1000)
    np.testing.assert_array_equal(found.hu[2], scan.hu[2])


def test_a_slope_that_is_not_whole_gives_float32(tmp_path: Path) -> None:
    made.series(tmp_path, RescaleSlope=0.5)
    found = read(tmp_path)
    assert found.hu.dtype == np.float32
    np.testing.assert_allclose(found.hu, (made.scan().hu + 1024.0) * 0.5 - 1024)


def test_monochrome1_changes_the_display_not_the_value(tmp_path: Path) -> None:
    made.series(tmp_path, PhotometricInterpretation="MONOCHROME1")
    same(read(tmp_path), made.scan())


def test_padding_is_air(tmp_path: Path) -> None:
    scan = made.scan()
    hu = scan.hu.copy()
    hu[:, 0, 0], hu[:, 0, 1], hu[:, 0, 2] = 2000, 2500, 3000  # stored 3024, 3524, 4024
    made.series(tmp_path, Scan(hu, scan.affine), PixelPaddingValue=4024, PixelPaddingRangeLimit=3100)
    found = read(tmp_path)
    assert (found.hu[:, 0, 1:3] == -1024).all()
    assert (found.hu[:, 0, 0] == 2000).all()


def test_a_signed_padding_value_written_unsigned(tmp_path: Path) -> None:
    scan = made.scan()
    hu = np.where(scan.hu < -900, np.int16(-1999), scan.hu)
    for path in made.series(tmp_path, Scan(hu, scan.affine)):
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "US", 65536 - 1999)
        dataset.save_as(path)
    assert (read(tmp_path).hu[hu == -1999] == -1024).all()


def test_values_no_tissue_has_are_air_without_a_padding_tag(tmp_path: Path) -> None:
    scan = made.scan()
    hu = np.where(scan.hu < -900, np.int16(-2048), scan.hu)
    made.series(tmp_path, Scan(hu, scan.affine))
    np.testing.assert_array_equal(read(tmp_path).hu, np.where(hu == -2048, -1024, hu))


def test_overlays_in_unused_bits_are_cut_off(tmp_path: Path) -> None:
    for path in made.series(tmp_path):
        dataset = pydicom.dcmread(path)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new(0x60000102, "US", 12)
        stored = dataset.pixel_array.copy()
        stored[::2] |= 1 << 12
        dataset.PixelData = stored.tobytes()
        dataset.save_as(path)
    same(read(tmp_path), made.scan())


def test_a_sign_that_was_not_carried_up(tmp_path: Path) -> None:
    for path in made.series(tmp_path, made.scan()):
        dataset = pydicom.dcmread(path)
        signed = dataset.pixel_array.astype(np.int32) - 1024
        dataset.PixelData = (signed & 0xFFF).astype(np.uint16).tobytes()
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation, dataset.RescaleIntercept = 12, 11, 1, 0
        dataset.save_as(path)
    same(read(tmp_path), made.scan())


@pytest.mark.parametrize(
    ("orientation", "codes"),
    [([-1, 0, 0, 0, -1, 0], "prone"), ([0, 1, 0, 0, 0, -1], "sagittal"), ([1, 0, 0, 0, 0, -1], "coronal")],
)
def test_other_orientations_come_out_canonical(tmp_path: Path, orientation: list[int], codes: str) -> None:
    """A voxel keeps its place in space: the one marked is found where its header puts it."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    paths = made.series(tmp_path, ImageOrientationPatient=orientation)
    for index, path in enumerate(paths):
        made.change(path, ImagePositionPatient=[float(value) for value in normal * 2.5 * index])
    found, scan = read(tmp_path), made.scan()
    marked = row * 0.75 * 4 + column * 0.5 * 7 + normal * 2.5 * 3
    x, y, z, _ = np.linalg.inv(found.affine) @ [*(marked * [-1, -1, 1]), 1]
    assert found.hu[round(z), round(y), round(x)] == scan.hu[3, 7, 4]


def test_uids_are_plain_strings_and_warnings_one_notice(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made.series(tmp_path)
    for path in tmp_path.iterdir():
        raw = path.read_bytes()
        uid = re.search(rb"\x0e\x00UI(..)(1\.2\.826[0-9.]+)\0?", raw)
        path.write_bytes(raw.replace(uid[2], b"not-a-uid/" + uid[2][10:]))
    found = read(tmp_path)
    same(found, made.scan())
    assert len(found.source.notices) == 1
    assert re.fullmatch(r"The headers break rules of DICOM in \d+ places; .*", made.texts(found))
    assert capfd.readouterr() == ("", "")


def test_no_series_uid(tmp_path: Path) -> None:
    made.series(tmp_path, SeriesInstanceUID=None, StudyInstanceUID=None)
    same(read(tmp_path), made.scan())


def test_absent_modality_is_a_notice(tmp_path: Path) -> None:
    made.series(tmp_path, Modality=None)
    assert "do not state the modality" in made.texts(read(tmp_path))


def test_what_is_told_of_the_acquisition_comes_from_closed_lists(tmp_path: Path) -> None:
    made.series(tmp_path, Manufacturer="SIEMENS Jane Doe", ConvolutionKernel=["Br40d", "3"], KVP="120")
    told = read(tmp_path).source.acquisition
    assert (told.manufacturer, told.kernel, told.kilovolts, told.slice_thickness_mm) == (
        "Siemens",
        "Br40d\\3",
        120,
        2.5,
    )
    for path in tmp_path.iterdir():
        made.change(path, Manufacturer="Jane Doe", ConvolutionKernel="B40f Jane", KVP="12345")
    told = read(tmp_path).source.acquisition
    assert (told.manufacturer, told.kernel, told.kilovolts) == (None, None, None)


def test_two_series_are_listed_and_chosen(tmp_path: Path) -> None:
    made.series(
        tmp_path / "b",
        made.scan(seed=1),
        SeriesNumber=7,
        SeriesDescription="[red]soft\x1b[2J",
        ConvolutionKernel="B30f",
    )
    made.series(tmp_path / "a", SeriesNumber=3, SeriesDescription="x" * 60)
    with pytest.raises(UsageError) as error:
        read(tmp_path)
    said = str(error.value)
    assert error.value.exit_code == 2
    assert "2 series" in said
    assert f"1: {'x' * 39}…, kernel unknown, 2.5 mm, 8 slices" in said
    assert "2: (red)soft (2J, kernel B30f, 2.5 mm, 8 slices" in said
    assert "--series" in said
    assert "[" not in said
    assert "\x1b" not in said
    same(read(tmp_path, series=2), made.scan(seed=1))
    same(read(tmp_path, series="1"), made.scan())
    uid = pydicom.dcmread(tmp_path / "b" / "IM0001.dcm").SeriesInstanceUID
    same(read(tmp_path, series=uid), made.scan(seed=1))
    for wrong in (3, 0, "1.2.3", "x", "\uff19"):
        with pytest.raises(UsageError, match="No series has this number or UID"):
            read(tmp_path, series=wrong)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizers (scouts) (8)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary captures (8)"),
        ({"BurnedInAnnotation": "YES"}, "pictures with text burnt in (8)"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived images (MPR, MIP and the like) (8)"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "derived images (MPR, MIP and the like) (8)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MIP"]}, "derived images (MPR, MIP and the like) (8)"),
        (
            {"Modality": "SR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Rows": None},
            "reports and other objects without pixels (8)",
        ),
        ({"Modality": "MR"}, "images of another modality (MR) (8)"),
        ({"Modality": "DOE^JANE"}, "images of another modality (other) (8)"),
        ({"SamplesPerPixel": 3, "BitsAllocated": 8}, "colour pictures (8)"),
    ],
)
def test_what_is_no_scan_is_set_aside_and_listed(tmp_path: Path, elements: dict[str, object], said: str) -> None:
    made.series(tmp_path / "a")
    made.series(tmp_path / "b", made.scan(seed=1), **elements)
    found = read(tmp_path)
    same(found, made.scan())
    assert made.texts(found) == f"Set aside: {said}."
    assert found.source.notices[0].files[0] == "b/IM0001.dcm"


def test_derived_images_are_taken_if_there_is_nothing_else(tmp_path: Path) -> None:
    made.series(tmp_path, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    same(read(tmp_path), made.scan())


def test_a_reformat_is_taken_only_by_its_uid(tmp_path: Path) -> None:
    paths = made.series(tmp_path, ImageType=["DERIVED", "SECONDARY", "MPR"])
    with pytest.raises(ScanError, match="derived images"):
        read(tmp_path)
    same(read(tmp_path, series=pydicom.dcmread(paths[0]).SeriesInstanceUID), made.scan())


def test_a_localizer_within_the_series(tmp_path: Path) -> None:
    made.series(tmp_path)
    uid = pydicom.dcmread(tmp_path / "IM0001.dcm").SeriesInstanceUID
    made.series(
        tmp_path / "scout", made.scan(1, 30, 40), SeriesInstanceUID=uid, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]
    )
    found = read(tmp_path)
    same(found, made.scan())
    assert "localizers (scouts) (1)" in made.texts(found)


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_another_modality_is_named(tmp_path: Path, modality: str) -> None:
    made.series(tmp_path, Modality=modality)
    with pytest.raises(ScanError, match=rf"another modality \({modality}\)"):
        read(tmp_path)


def test_phases_in_one_series_are_choices(tmp_path: Path) -> None:
    made.series(tmp_path / "a", AcquisitionNumber=1)
    uid = pydicom.dcmread(tmp_path / "a" / "IM0001.dcm").SeriesInstanceUID
    made.series(tmp_path / "b", made.scan(seed=1), AcquisitionNumber=2, SeriesInstanceUID=uid)
    with pytest.raises(UsageError, match="2 series"):
        read(tmp_path)
    with pytest.raises(UsageError, match="splits into 2 stacks") as error:
        read(tmp_path, series=uid)
    assert [line[:4] for line in str(error.value).splitlines()[1:3]] == ["  1:", "  2:"]
    same(read(tmp_path, series=2), made.scan(seed=1))


def test_a_series_set_aside_that_splits_is_chosen_by_the_numbers_that_are_told(tmp_path: Path) -> None:
    """The original is 1; the reformats, which share a UID, are 2 and 3."""
    made.series(tmp_path / "a")
    reformat = {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "SeriesInstanceUID": made.fresh_uid()}
    made.series(tmp_path / "b", made.scan(seed=1), AcquisitionNumber=1, **reformat)
    made.series(tmp_path / "c", made.scan(seed=2), AcquisitionNumber=2, **reformat)
    same(read(tmp_path), made.scan())
    with pytest.raises(UsageError, match="splits into 2 stacks") as error:
        read(tmp_path, series=reformat["SeriesInstanceUID"])
    assert [line[:4] for line in str(error.value).splitlines()[1:3]] == ["  2:", "  3:"]
    same(read(tmp_path, series=2), made.scan(seed=1))
    same(read(tmp_path, series=3), made.scan(seed=2))
    with pytest.raises(UsageError, match="No series has this number"):
        read(tmp_path, series=4)


def test_a_series_uid_for_each_file_is_said(tmp_path: Path) -> None:
    made.series(tmp_path, SeriesInstanceUID=lambda _: made.fresh_uid())
    with pytest.raises(UsageError, match=r"8 series(.|\n)*replaced one by one: export it again with one UID"):
        read(tmp_path)


def test_several_single_slices_beside_a_series_are_no_replaced_uids(tmp_path: Path) -> None:
    made.series(tmp_path / "a")
    made.series(tmp_path / "b", made.scan(1, seed=1))
    with pytest.raises(UsageError) as error:
        read(tmp_path)
    assert "replaced" not in str(error.value)


def test_a_single_slice_is_a_guess(tmp_path: Path) -> None:
    made.series(tmp_path, made.scan(1))
    found = read(tmp_path)
    same(found, made.scan(1))
    assert "single slice of 2.5 mm" in made.texts(found)
    made.change(tmp_path / "IM0001.dcm", SliceThickness=None)
    with pytest.raises(ScanError, match="no slice thickness"):
        read(tmp_path)


def test_one_file_of_a_series_is_a_single_slice(tmp_path: Path) -> None:
    assert read(made.series(tmp_path)[2]).hu.shape == (1, 12, 10)


def test_enhanced_multiframe(tmp_path: Path) -> None:
    """Frames in any order, each with its place in its functional groups."""
    scan = made.scan()
    dataset = made.enhanced(tmp_path / "one", scan, [3, 0, 7, 1, 2, 6, 5, 4])
    same(read(tmp_path), scan)
    for frames in (1, None):
        dataset.NumberOfFrames = frames
        dataset.save_as(tmp_path / "one")
        with pytest.raises(ScanError, match="1 frame and the places of 8"):
            read(tmp_path)
    dataset.NumberOfFrames = 8
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.save_as(tmp_path / "one")
    with pytest.raises(ScanError, match="8 frames and the places of 0"):
        read(tmp_path)


def test_an_enhanced_file_that_is_there_twice_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = made.scan()
    made.enhanced(tmp_path / "one", scan, range(8))
    shutil.copy(tmp_path / "one", tmp_path / "two")
    decoded, decode = [], dicom_pixels._decode
    monkeypatch.setattr(dicom_pixels, "_decode", lambda plane: decoded.append(plane.file.name) or decode(plane))
    same(read(tmp_path), scan)
    assert sorted(decoded) == ["one", "two"]


@pytest.mark.parametrize(("unit", "taken"), [("HU", True), ("US", True), ("", True), ("Z_EFF", False), ("DOE", False)])
def test_another_unit_than_hounsfield_is_refused(tmp_path: Path, unit: str, taken: bool) -> None:
    made.series(tmp_path, RescaleType=unit)
    if taken:
        same(read(tmp_path), made.scan())
        return
    with pytest.raises(ScanError, match="8 of 8 slices state another unit than HU") as error:
        read(tmp_path)
    assert unit not in str(error.value)


def test_progress_runs_from_0_to_1(tmp_path: Path) -> None:
    made.series(tmp_path)
    shares: list[float] = []
    read(tmp_path, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 8


def test_no_marker_of_any_header_field_leaks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every text field of every slice is a marker; none is in a notice, an error or what is told."""
    from pydicom import datadict
    from pydicom.datadict import DicomDictionary

    marker = "QZMARK"
    kept = {"ImageType", "Modality", "PhotometricInterpretation", "SpecificCharacterSet"}
    texts = {"LO", "SH", "PN", "ST", "LT", "UT", "AE", "UC", "CS", "UI", "DA", "TM", "AS", "DT", "DS", "IS"}
    needed = {
        *kept, "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleType",
        "RescaleIntercept", "RescaleSlope", "SOPClassUID", "SpacingBetweenSlices", "NumberOfFrames",
        "BurnedInAnnotation",
    }  # fmt: skip
    for path in made.series(tmp_path):
        dataset = pydicom.dcmread(path)
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            if vr in texts and keyword not in needed and tag >> 16 not in (0, 2) and keyword != "SeriesInstanceUID":
                if datadict.dictionary_VR(tag) in ("DS", "IS", "DA", "TM", "AS", "DT"):
                    dataset._dict[pydicom.tag.Tag(tag)] = raw(tag, vr, marker)
                else:
                    dataset.add(pydicom.DataElement(tag, vr, marker, validation_mode=0))
        dataset.save_as(path)
    found = read(tmp_path)
    assert marker not in repr(found.source) + repr(found)
    paths = sorted(tmp_path.iterdir())
    for elements in (
        {"ImagePositionPatient": None},
        {"Modality": "MR"},
        {"Modality": marker},
        {"PixelSpacing": [0, 0]},
    ):
        for path in paths[:3]:
            made.change(path, **elements)
        try:
            said = made.texts(read(tmp_path))
        except GroundglassError as error:
            said = str(error)
        assert marker not in said
    assert capfd.readouterr() == ("", "")


def raw(tag: int, vr: str, value: str) -> object:
    from pydicom.dataelem import RawDataElement

    return RawDataElement(pydicom.tag.Tag(tag), vr, len(value), value.encode(), 0, False, True)


def test_only_damaged_files(tmp_path: Path) -> None:
    for path in made.series(tmp_path):
        path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ReadError, match="cut short or damaged"):
        read(tmp_path)

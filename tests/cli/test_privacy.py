"""A series whose every header field holds a marker: no output and no stream may hold it."""

import warnings

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from tests.cli.conftest import FILES

MARKER = "MARKERXQZ"
TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"}
NEEDED = {
    "SpecificCharacterSet",
    "Modality",
    "ImageType",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
    "PixelPresentation",
    "VolumetricProperties",
    "PatientPosition",
    "RescaleType",
    "LossyImageCompression",
}


@pytest.fixture(scope="session")
def marked(dicom, tmp_path_factory):
    """The patient's series with the marker in every text field, in UIDs, file names and in the folder's name."""
    folder = tmp_path_factory.mktemp("marked") / f"{MARKER}_folder"
    folder.mkdir()
    fields = [
        (tag, vr, keyword)
        for tag, (vr, multiplicity, _, retired, keyword) in DicomDictionary.items()
        if vr in TEXT and keyword and keyword not in NEEDED and tag >> 16 > 2 and not (tag >> 16) & 1
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, file in enumerate(sorted(dicom.iterdir())):
            dataset = pydicom.dcmread(file)
            for tag, vr, _ in fields:
                dataset.add_new(tag, vr, MARKER)
            for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "PatientBirthDate"):
                setattr(dataset, keyword, "19770707")
            dataset.StudyInstanceUID = dataset.SeriesInstanceUID = dataset.FrameOfReferenceUID = f"1.2.{MARKER}"
            block = dataset.private_block(0x0011, MARKER, create=True)
            block.add_new(0x01, "LO", MARKER)
            dataset.save_as(folder / f"{MARKER}_{number}.dcm", enforce_file_format=False)
    return folder


@pytest.mark.parametrize("label_format", ["nifti", "nrrd"])
def test_no_output_and_no_stream_holds_a_header_field(run, marked, tmp_path, label_format):
    ended = run("segment", marked, "-o", tmp_path / "out", "--format", label_format)
    assert ended.code == 0
    assert MARKER not in ended.out + ended.err
    assert len(list((tmp_path / "out").iterdir())) == len(FILES)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        if path.suffix == ".gz":
            import gzip

            content = gzip.decompress(content)
        for secret in (MARKER, "19770707", str(tmp_path), str(marked)):
            assert secret.encode() not in content, path.name
        assert MARKER not in path.name


def test_no_error_holds_a_header_field(run, marked, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = tmp_path / "mr"
        folder.mkdir()
        for file in marked.iterdir():
            dataset = pydicom.dcmread(file)
            dataset.Modality = "MR"
            dataset.save_as(folder / file.name, enforce_file_format=False)
    ended = run("segment", folder, "-o", tmp_path / "out")
    assert ended.code == 1
    assert MARKER not in ended.err + ended.out


def test_the_names_of_pictures_and_volumes_stay_out(run, marked, patient, tmp_path):
    import nibabel
    import numpy as np

    path = tmp_path / f"{MARKER}.nii"
    image = nibabel.Nifti1Image(np.asarray(patient.hu.T), patient.affine)
    image.header["descrip"] = image.header["intent_name"] = image.header["aux_file"] = MARKER
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", MARKER.encode()))
    nibabel.save(image, path)
    ended = run("segment", path, "-o", tmp_path / "out")
    assert ended.code == 0
    assert MARKER not in ended.out + ended.err
    for output in (tmp_path / "out").iterdir():
        assert MARKER.encode() not in output.read_bytes()
    assert MARKER not in str(nibabel.load(tmp_path / "out" / "labels.nii.gz").header)

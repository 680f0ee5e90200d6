"""A scan as a DICOM CT series, for demonstrations and tests. Of no patient: every identifier is synthetic."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import WriteError
from groundglass.io.atomic import OutputFolder
from groundglass.io.quiet import quiet
from groundglass.scan import Scan

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
_TEXTS: Final = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "Modality": "CT",
    "Manufacturer": "groundglass",
    "SeriesDescription": "Phantom",
    "PatientName": "PHANTOM",
    "PatientID": "PHANTOM",
    "StudyID": "1",
    "PatientPosition": "HFS",
    "PhotometricInterpretation": "MONOCHROME2",
    "RescaleType": "HU",
}
_EMPTY: Final = (
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex"),
    *("PositionReferenceIndicator", "KVP", "ContentDate", "ContentTime"),
)


def write_series(scan: Scan, folder: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
    """Write a scan as one DICOM file a slice (``IM0001.dcm`` is the lowest), explicit VR little endian.

    The same scan gives the same files, UIDs included. Values are rounded to whole HU.

    Args:
        scan: any scan; it is written on its canonical grid, columns to the patient's left, rows to the back.
        folder: made if it is not there; must hold no DICOM files.
        extra: keyword -> value of elements to set at last; a callable is called with the slice's index, and
            None removes the element.

    Raises:
        WriteError: the folder holds DICOM files, or cannot be written to.
    """
    stored, intercept = _stored(scan)
    uid_of = _uids(scan)
    with OutputFolder(folder) as output, quiet():
        if any(output.folder.glob("*.dcm")):
            raise WriteError(
                "The folder holds DICOM files already.",
                expected="a folder without any",
                remedy="Choose another, or empty it: slices of two series must not mix.",
            )
        for index, plane in enumerate(stored):
            dataset = _dataset(scan, index, plane, intercept, uid_of)
            _override(dataset, extra or {}, index)
            dataset.save_as(output.path(f"IM{index + 1:04d}.dcm"), enforce_file_format=True)


def _stored(scan: Scan) -> tuple[NDArray[Any], int]:
    """Stored values ``[z, y, x]`` and the rescale intercept, HU."""
    hu = scan.hu if scan.hu.dtype == np.int16 else np.clip(np.rint(scan.hu), -32768, 32767).astype(np.int16)
    if hu.min() >= -1024 and hu.max() < 32767 - 1024:
        return (hu + np.int16(1024)).astype(np.uint16), -1024
    return hu, 0


def _uids(scan: Scan) -> Mapping[str, str]:
    """Valid UIDs that depend on the scan alone."""
    from pydicom.uid import generate_uid

    digest = hashlib.sha256(scan.affine.tobytes())
    for plane in scan.hu:
        digest.update(plane.tobytes())
    roles = ("study", "series", "frame", *(f"slice {index}" for index in range(len(scan.hu))))
    return {role: str(generate_uid(entropy_srcs=[digest.hexdigest(), role])) for role in roles}


def _dataset(scan: Scan, index: int, plane: NDArray[Any], intercept: int, uid_of: Mapping[str, str]) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset

    dataset = Dataset()
    for keyword in _EMPTY:
        setattr(dataset, keyword, None)
    for keyword, value in {**_TEXTS, **_numbers(scan, index, plane, intercept)}.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_IMAGE, uid_of[f"slice {index}"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid_of["study"], uid_of["series"]
    dataset.FrameOfReferenceUID = uid_of["frame"]
    dataset.PixelData = plane.astype(plane.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CT_IMAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE
    return dataset


def _numbers(scan: Scan, index: int, plane: NDArray[Any], intercept: int) -> dict[str, Any]:
    in_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    spacing_z, spacing_y, spacing_x = scan.spacing_mm
    directions = in_lps[:3, :2] / (spacing_x, spacing_y)
    position = in_lps @ (0, 0, index, 1)
    return {
        "SeriesNumber": 1,
        "AcquisitionNumber": 1,
        "InstanceNumber": index + 1,
        "ImagePositionPatient": [_decimal(value) for value in position[:3]],
        "ImageOrientationPatient": [_decimal(value) for value in directions.T.ravel()],
        "PixelSpacing": [_decimal(spacing_y), _decimal(spacing_x)],
        "SliceThickness": _decimal(spacing_z),
        "SamplesPerPixel": 1,
        "Rows": plane.shape[0],
        "Columns": plane.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(plane.dtype.kind == "i"),
        "RescaleIntercept": intercept,
        "RescaleSlope": 1,
    }


def _decimal(value: float) -> str:
    """A number in the 16 characters that DICOM allows."""
    value = float(value) + 0.0
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def _override(dataset: Any, extra: Mapping[str, Any], index: int) -> None:
    for keyword, given in extra.items():
        value = given(index) if callable(given) else given
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)

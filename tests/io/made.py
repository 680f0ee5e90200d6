"""Tiny scans and series that tests are made of."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pydicom
from pydicom import datadict
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from groundglass.io import write_series
from groundglass.scan import Scan


def scan(slices: int = 8, rows: int = 12, columns: int = 10, seed: int = 0) -> Scan:
    """Noise in HU, no two planes alike, another spacing along each axis."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 1500, (slices, rows, columns)).astype(np.int16)
    affine = np.diag([-0.75, -0.5, 2.5, 1.0])
    affine[:3, 3] = 11, 22, -33
    return Scan(hu, affine)


def series(folder: Path, made: Scan | None = None, **extra: Any) -> list[Path]:
    """A series in a folder; keywords override elements. Returns its files, the lowest slice first."""
    write_series(made or scan(), folder, extra=extra)
    return sorted(folder.glob("*.dcm"))


def change(path: Path, **elements: Any) -> None:
    """Set elements of a DICOM file; None removes one."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def enhanced(path: Path, made: Scan, order: Sequence[int]) -> pydicom.Dataset:
    """A scan as one enhanced file, frames in this order, each with its place in its functional groups."""
    paths = series(path.parent / "classic", made)
    dataset = pydicom.dcmread(paths[0])
    frames = []
    for index in order:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = position_of(paths[index])
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    plane, measures, values, shared = Dataset(), Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, 2.5
    values.RescaleIntercept, values.RescaleSlope = -1024, 1
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    shared.PixelValueTransformationSequence = [values]
    for keyword in (
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
        *("RescaleIntercept", "RescaleSlope", "RescaleType"),
    ):
        delattr(dataset, keyword)
    dataset.PerFrameFunctionalGroupsSequence, dataset.SharedFunctionalGroupsSequence = frames, [shared]
    dataset.SOPClassUID, dataset.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.2.1", len(order)
    dataset.PixelData = (made.hu[list(order)] + 1024).astype("<u2").tobytes()
    path.parent.mkdir(exist_ok=True)
    dataset.save_as(path)
    shutil.rmtree(path.parent / "classic")
    return dataset


def unreadable(path: Path, keyword: str, text: str) -> None:
    """Set a number of a DICOM file to a text that is none."""
    dataset = pydicom.dcmread(path)
    tag = pydicom.tag.Tag(keyword)
    dataset._dict[tag] = pydicom.dataelem.RawDataElement(
        tag, datadict.dictionary_VR(tag), len(text), text.encode(), 0, False, True
    )
    dataset.save_as(path)


def position_of(path: Path) -> list[float]:
    return [float(value) for value in pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient]


def move(paths: Sequence[Path], z: Sequence[float], y: Sequence[float] | None = None) -> None:
    """Put slices at other heights, and if wished at other places in their planes."""
    for index, path in enumerate(paths):
        x0, y0, _ = position_of(path)
        change(path, ImagePositionPatient=[x0, y0 if y is None else y[index], z[index]])


def fresh_uid() -> str:
    return str(generate_uid())


def texts(read: Any) -> str:
    return "\n".join(notice.text for notice in read.source.notices)


def write_nrrd(path: Path, values: Any, header: Mapping[str, Any] | None = None) -> None:
    """pynrrd's writer, which on Python 3.12 and later warns of its own use of the clock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        nrrd.write(str(path), values, dict(header or {}))

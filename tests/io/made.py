"""Tiny scans and series that tests are made of."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pydicom
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

"""COVID-CT-MD: low-dose chest CT of COVID-19, community-acquired pneumonia and healthy people, as DICOM.

| | |
|---|---|
| publisher | P. Afshar et al., "COVID-CT-MD", Scientific Data 8:121, 2021; figshare.com/s/c20215f3d42c98f09ad0 |
| counts | 305 patients, a volume each: 169 of COVID-19, 60 of community-acquired pneumonia, 76 healthy |
| images | DICOM, a folder a patient (P001, cap001, normal001), 512 x 512, 2 mm, Hounsfield units |
| labels | no masks: all slices are unlabelled here. For some patients: infection by slice and by lobe |
| terms | for public use, citation asked |

What is made of it:

- A patient is a case and a group of its own, called as the publisher's folder.
- Slices without lung are left out, others keep their number from 1, feet to head.
- Where ``slice_labels.csv`` (case, k, infected, then a column a lobe; k from 0, feet to head, though the file names run
  head to feet) lies in the folder, its words become tags of the slices: ``infected=1``, ``lobes=LLL+RLL``. They are
  metadata: no pixel's label comes from them. Checked on P002 and normal002 by slice location; the publisher's own
  ``.npy`` tables were not at hand and are not read.
- Deviations from DICOM (no SOPInstanceUID, UUIDs for UIDs) are met by the DICOM reader.

How this was checked: files, values and orientation on the two patients at hand; counts and terms are the paper's, as
others quote it.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.errors import LabelError, ReadError, ScanError
from groundglass.io import list_files
from groundglass.io import read as read_scan
from groundglass.io.files import InputFile, shown
from groundglass.scan import Scan

TABLE: Final = "slice_labels.csv"
LOBES: Final = ("LLL", "LUL", "RLL", "RML", "RUL")

Rows = Mapping[str, Mapping[int, Mapping[str, str]]]  # case -> k -> tags


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each folder that holds DICOM files as a case, sorted by name.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: no DICOM, or a table of slice labels that is none.
        GroundglassError: (when a case's turn comes) whatever reading DICOM refuses.
    """
    refuse_orientation(asked)
    files = list_files(root).files
    folders = sorted({PurePosixPath(file.name).parent for file in files if file.suffix == ".dcm"})
    if not folders:
        raise ReadError(
            "The folder holds no DICOM files (.dcm).",
            expected="a folder for each patient, as the publisher packs them",
            remedy="Unpack COVID-CT-MD and give the folder that holds the patients' folders.",
        )
    names = [folder.name or root.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise ReadError(
            "Two folders of patients have one name.", expected="each patient once", remedy="Remove the copy."
        )
    rows = _table(next((file for file in files if file.name == TABLE), None))
    loaders = [
        partial(_case, root / folder, name, rows.get(name, {})) for folder, name in zip(folders, names, strict=True)
    ]
    return Cases(tuple(loaders), public=True)


def _case(folder: Path, name: str, rows: Mapping[int, Mapping[str, str]]) -> Case:
    scan = read_scan(folder)
    if not isinstance(scan, Scan):
        raise ScanError(f"{shown(name)} holds no CT.", expected="DICOM", remedy="Unpack the data set again.")
    if rows and sorted(rows) != list(range(len(scan.hu))):
        raise LabelError(
            f"{name} has {len(scan.hu)} slices, and {TABLE} speaks of {len(rows)}.",
            expected="a row for each slice, k from 0",
            remedy="Correct the table, or move it away.",
        )
    count = len(scan.hu)
    return Case(
        name=name,
        images=scan,
        labels=None,
        groups=(name,) * count,
        tags=tuple(rows.get(k, {}) for k in range(count)),
        notices=scan.source.notices,
    )


def _table(file: InputFile | None) -> Rows:
    rows: dict[str, dict[int, Mapping[str, str]]] = defaultdict(dict)
    if file is None:
        return rows
    try:
        for row in csv.DictReader(io.StringIO(file.read().decode("utf-8-sig"))):
            lobes = [lobe for lobe in LOBES if row.get(lobe) == "1"]
            rows[row["case"]][int(row["k"])] = {"infected": _flag(row["infected"]), **_lobes(lobes)}
    except (KeyError, ValueError, TypeError, csv.Error):
        raise ReadError(
            f"{TABLE} is no table of slices.",
            expected="the columns case, k and infected (0 or 1)",
            remedy="Correct it, or move it away.",
        ) from None
    return rows


def _flag(cell: str) -> str:
    if cell not in ("0", "1"):
        raise ValueError("no flag")
    return cell


def _lobes(names: Sequence[str]) -> Mapping[str, str]:
    return {"lobes": "+".join(names)} if names else {}

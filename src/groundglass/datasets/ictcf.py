"""iCTCF (HUST-19): pictures of chest CT of 1,338 patients with pneumonia, and what became of them. No masks.

| | |
|---|---|
| publisher | W. Ning et al., "Open resource of clinical data from patients with pneumonia for the prediction of COVID-19 outcomes via deep learning", Nature Biomedical Engineering 4, 2020; ngdc.cncb.ac.cn/ictcf (once ictcf.biocuckoo.cn) |
| counts | 1,521 patients, 130 clinical features; 1,338 patients with pictures in the papers that this project follows, 6,654 pictures of them: the few that each patient's page shows |
| images | JPG, 8-bit; no Hounsfield units, no size of a pixel |
| labels | none: all slices are unlabelled here |
| terms | open, says the paper; the site's own terms could not be seen |

Layout: a folder a patient, ``Patient 1`` or the like (``Patient%201``, ``patient_1``), with pictures at any depth: the
archives hold ``Patient 1/CT/IMG-0001-00001.jpg``, the papers' own collector wrote ``Patient 1/0.jpg``. The publisher's
set of slices sorted by content (nCT, pCT, NiCT: 19,685 pictures) names no patients and is not read; DICOM is not read.

What is made of it:

- Each folder of pictures is a case: one volume, one window, estimated from its histogram.
- Names of one patient are brought together: ``Patient 1`` and ``Patient%201`` are one group.
- Pictures are taken to lie as radiologists look at them.
- Where ``data.csv`` or ``clinical.csv`` lies in the folder (columns patient, and covid, morbidity, mortality as far as
  there), its words become tags of the patient's slices, in lower case with dashes: ``morbidity=critically-ill``. What
  is no short word is left out; age and sex are. A patient without a row has no tags. These are metadata: no pixel's
  label comes from them. The columns are those of the collector; the publisher offers no table as a file that was seen.
- All pictures are kept, those without lung too: nothing here says which they are.

How this was checked: counts against the abstract (a stored copy) and two of the five papers; the archives' layout and
that pictures stand upright against a public program that reads them as they are and turns other sets; the other layout
and the columns against the program that collected the papers' pictures. No file of the set was at hand: its windows are
unknown.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.datasets._pictures import by_folder, numbers, read_picture, read_table
from groundglass.datasets._volumes import Files, files_below
from groundglass.errors import ReadError
from groundglass.io import InputFile

TABLES: Final = ("data.csv", "clinical.csv")
TAGS: Final = ("covid", "morbidity", "mortality")
_PATIENT: Final = re.compile(r"patient(?:%20|[ _-])*([0-9]{1,6})", re.IGNORECASE)
_FOLDER: Final = re.compile(rf"(?:^|/){_PATIENT.pattern}(?:/|$)", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z][a-z ()+-]{0,31}")


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each folder of pictures as a case, by the number of its patient.

    Args:
        root: the folder that holds the patients' folders.
        asked: no orientation: it is known.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: not this layout, or a table that is none; (when a case's turn comes) a damaged picture.
    """
    refuse_orientation(asked)
    files = files_below(root)
    folders = {
        folder: (int(match[1]), pictures)
        for folder, pictures in by_folder(files.values()).items()
        if (match := _FOLDER.search(folder))
    }
    if not folders:
        raise ReadError(
            "The folder holds no folder of a patient with pictures.",
            expected='"Patient 1" and so on, with JPGs in them',
            remedy="Unpack the patients' archives and give the folder that holds them.",
        )
    tags, count = _tags(files), dict[int, int]()
    loaders = []
    for _, (patient, pictures) in sorted(folders.items(), key=lambda entry: (entry[1][0], entry[0])):
        count[patient] = count.get(patient, 0) + 1
        loaders.append(partial(_case, patient, count[patient], pictures, tags.get(patient, {})))
    return Cases(tuple(loaders), public=True, intensity="calibrated")


def _case(patient: int, folder: int, pictures: Sequence[InputFile], tags: Mapping[str, str]) -> Case:
    name, places = f"patient-{patient:04d}", numbers(pictures)
    return Case(
        name=name if folder == 1 else f"{name}-{folder}",
        images=tuple(read_picture(file) for file in pictures),
        labels=None,
        groups=(name,) * len(pictures),
        slices=tuple(f"{place:04d}" for place in places),
        positions=places,
        tags=(tags,) * len(pictures),
    )


def _tags(files: Files) -> dict[int, Mapping[str, str]]:
    """Patient -> words of the table, where there is one."""
    table = next((files[name] for name in TABLES if name in files), None)
    found: dict[int, Mapping[str, str]] = {}
    for row in read_table(table, ("patient",)) if table is not None else ():
        match = _PATIENT.fullmatch(row["patient"].strip())
        words = {name: (row.get(name) or "").strip().lower() for name in TAGS}
        if match is not None:
            found[int(match[1])] = {
                name: word.replace(" ", "-") for name, word in words.items() if _WORD.fullmatch(word)
            }
    return found

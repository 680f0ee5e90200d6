"""CC-CCII: chest CT of COVID-19, common pneumonia and healthy people as pictures; 750 slices of 150 scans outlined.

| | |
|---|---|
| publisher | K. Zhang et al., "Clinically applicable AI system for accurate diagnosis, quantitative measurements, and prognosis of COVID-19 pneumonia using computed tomography", Cell 181, 2020; download.cncb.ac.cn/covid-ct (once ncov-ai.big.ac.cn) |
| counts | 2,778 patients, 444,034 slices; outlined: 750 slices of 150 patients with novel-coronavirus pneumonia |
| images | JPG or PNG, 8-bit; outlined ones 512 x 512; no Hounsfield units, no size of a pixel |
| labels | 0 background, 1 lung, 2 ground glass, 3 consolidation; all else is unlabelled |
| terms | the publisher's; they could not be seen |

Layout, either part or both:

- ``ct_lesion_seg.zip``: ``image/0/84.jpg`` and ``mask/0/84.png``, a folder a scan, 0 to 149.
- ``COVID19-*.zip``, ``CP-*.zip``, ``Normal-*.zip``: ``NCP/328/1805/0000.jpg``: diagnosis, patient, scan.
- ``lesions_slices.csv`` (column imgpath) and ``unzip_filenames.csv`` (label, patient_id, scan_id, n_slice) beside them.

What is made of it:

- Each scan is a case: one volume, one window, estimated from its histogram. Scans of one number of a patient are one
  group, whatever their diagnosis: should numbers recur under another diagnosis, two patients are kept together, which
  does no harm. The diagnosis (NCP novel coronavirus, CP common pneumonia, Normal) is a tag of each slice.
- ``lesion=1`` is a tag of slices that ``lesions_slices.csv`` names; what it does not name may hold lesions too.
- Scans with another number of pictures than ``unzip_filenames.csv`` says are counted in a notice.
- An image in ``ct_lesion_seg`` without a mask is unlabelled; a mask without its image is an error.
- Pictures are taken to lie as radiologists look at them. All are kept, those without lung too.
- StitchNet's protocol leaves out common pneumonia: leave CP away.

Traps: **the 150 outlined scans are called 0 to 149 and nobody says which patients they are**: they are surely among the
NCP patients. A model that learns on unlabelled NCP scans has most likely seen the test patients of the outlined part;
where both parts are in the folder a notice says so. He et al. (medRxiv 2020.06.08.20125963) found damaged, repeated,
missing and disordered slices in the large part and published a cleaned one.

How this was checked: folders, codes and size of the outlined part against two public copies of the README in
``ct_lesion_seg.zip`` and two programs that read it; the large part's layout and tables, and that pictures stand
upright, against two more (one reads them as they are and turns other sets); counts against the StitchNet paper. No file
of the set was at hand: its windows are unknown.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.datasets._pictures import by_folder, numbers, read_picture, read_table
from groundglass.datasets._volumes import Files, check_partners, files_below, naming
from groundglass.errors import ReadError
from groundglass.io import InputFile
from groundglass.io.label_maps import read_codes
from groundglass.labels import TISSUE_OF_CODE, sets_from_codes
from groundglass.scan import Notice

LESIONS, INDEX = "lesions_slices.csv", "unzip_filenames.csv"
_OUTLINED: Final = re.compile(r"(?:^|/)image/([0-9]+)$")
_SCAN: Final = re.compile(r"(?:^|/)(NCP|CP|Normal)/([0-9]+)/([0-9]+)$")
_PLACE: Final = re.compile(r"((?:NCP|CP|Normal)/[0-9]+/[0-9]+/[^/]+)$")


def read(root: Path, asked: Asked | None = None) -> Cases:
    """The outlined scans, then those of NCP, CP and Normal, each as a case, by their numbers.

    Args:
        root: the folder that holds ``image`` and ``mask``, or NCP, CP, Normal, or all of them.
        asked: no orientation: it is known.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: not the publisher's layout, a mask without its image, or a table that is none; (when a case's turn
            comes) a damaged picture.
        LabelError: (then) a mask of another shape, or an unknown code.
    """
    refuse_orientation(asked)
    files = files_below(root)
    folders = by_folder(files.values())
    outlined = {match[1]: folder for folder in folders if (match := _OUTLINED.search(folder))}
    scans = {match.groups(): folder for folder in folders if (match := _SCAN.search(folder))}
    if not outlined and not scans:
        raise ReadError(
            "The folder holds neither image with numbered scans nor NCP, CP or Normal with patients.",
            expected="CC-CCII as its publisher packs it",
            remedy="Unpack the archives and give the folder that holds theirs.",
        )
    _check_masks(folders, outlined)
    lesions = _lesions(files)
    loaders = [partial(_outlined, number, folders[outlined[number]], files) for number in sorted(outlined, key=int)]
    loaders += [
        partial(_scan, label, patient, scan, folders[scans[label, patient, scan]], lesions)
        for label, patient, scan in sorted(scans, key=lambda names: (names[0], int(names[1]), int(names[2])))
    ]
    notices = _count(files, {names: len(folders[folder]) for names, folder in scans.items()})
    if outlined and any(label == "NCP" for label, _, _ in scans):
        notices += (
            Notice("The outlined scans are of NCP patients that nobody names: some are here twice, in two groups."),
        )
    return Cases(tuple(loaders), public=True, intensity="calibrated", notices=notices)


def _check_masks(folders: Mapping[str, Sequence[InputFile]], outlined: Mapping[str, str]) -> None:
    """Raise ReadError for a mask without its image."""
    images = {_mask_of(file) for folder in outlined.values() for file in folders[folder]}
    beside = {str(PurePosixPath(folder).parent.parent / "mask") for folder in outlined.values()}
    masks = {file.name for folder in folders if str(PurePosixPath(folder).parent) in beside for file in folders[folder]}
    check_partners(images, masks, "mask", complete=False)


def _mask_of(image: InputFile) -> str:
    """Where the mask of an outlined image lies."""
    path = PurePosixPath(image.name)
    return str(path.parent.parent.parent / "mask" / path.parent.name / f"{path.stem}.png")


def _outlined(number: str, pictures: Sequence[InputFile], files: Files) -> Case:
    labels = tuple(_sets(files.get(_mask_of(file))) for file in pictures)
    name, places = f"outlined-{int(number):03d}", numbers(pictures)
    return Case(
        name=name,
        images=tuple(read_picture(file) for file in pictures),
        labels=labels if any(sets is not None for sets in labels) else None,
        groups=(name,) * len(pictures),
        slices=tuple(f"{place:04d}" for place in places),
        positions=places,
        tags=({"diagnosis": "NCP"},) * len(pictures),
    )


def _sets(mask: InputFile | None) -> NDArray[np.uint8] | None:
    if mask is None:
        return None
    codes = read_codes(mask)
    with naming(mask):
        return sets_from_codes(codes, TISSUE_OF_CODE)


def _scan(label: str, patient: str, scan: str, pictures: Sequence[InputFile], lesions: frozenset[str]) -> Case:
    places = numbers(pictures)
    return Case(
        name=f"{label}-{patient}-{scan}",
        images=tuple(read_picture(file) for file in pictures),
        labels=None,
        groups=(f"patient-{int(patient)}",) * len(pictures),
        slices=tuple(f"{place:04d}" for place in places),
        positions=places,
        tags=tuple(
            {"diagnosis": label, **({"lesion": "1"} if _place(file.name) in lesions else {})} for file in pictures
        ),
    )


def _place(name: str) -> str | None:
    """The path of a picture from its diagnosis on."""
    match = _PLACE.search(name)
    return match[1] if match else None


def _lesions(files: Files) -> frozenset[str]:
    if LESIONS not in files:
        return frozenset()
    places = (_place(row["imgpath"].strip()) for row in read_table(files[LESIONS], ("imgpath",)))
    return frozenset(place for place in places if place is not None)


def _count(files: Files, found: Mapping[tuple[str | None, ...], int]) -> tuple[Notice, ...]:
    """What the publisher's index says against the folders, of the scans that are there."""
    if INDEX not in files:
        return ()
    rows = read_table(files[INDEX], ("label", "patient_id", "scan_id", "n_slice"))
    stated = {(row["label"], row["patient_id"], row["scan_id"]): row["n_slice"].strip() for row in rows}
    differing = sum(names in stated and stated[names] != str(count) for names, count in found.items())
    if not differing:
        return ()
    return (Notice(f"{differing} of {len(found)} scans hold another number of pictures than {INDEX} says."),)

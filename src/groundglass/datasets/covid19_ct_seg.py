"""COVID-19-CT-Seg: 20 volumes of COVID-19 with lungs and infection outlined.

| | |
|---|---|
| publisher | J. Ma et al., "Towards data-efficient learning: a benchmark for COVID-19 CT lung and infection segmentation", Medical Physics 48, 2021 (arXiv 2004.12537); zenodo.org/record/3757476 |
| origin | ten volumes of coronacases.org, ten of Radiopaedia |
| images | NIfTI; coronacases 512 x 512 in HU; Radiopaedia 630 x 630 (one 630 x 401), windowed and scaled to 0..255 |
| labels | 0 background, 1 left lung, 2 right lung, 3 infection (ground glass and consolidation together) |
| terms | CC BY 4.0 on Zenodo, say public programs that quote it |

Layout: ``COVID-19-CT-Seg_20cases``, and ``Lung_and_Infection_Mask`` or ``Lung_Mask`` and ``Infection_Mask``, the four
archives each unpacked to a folder of its own name; or Kaggle's copy: ``ct_scans``, ``lung_and_infection_mask``,
``lung_mask``, ``infection_mask``. Where all three are there, the one with both is read.

Quirks:

- **The stated window is none.** The publisher says that the Radiopaedia volumes were cut to [-1250, 250] HU. By that
  window soft tissue would lie at -15 to 232 HU and lung at -1115 to -697 in the pictures that COVID-SemiSeg made of
  the ten (measured): each has the window that its uploader looked through. So the window is read off the histogram of
  each volume's lungs and their surroundings, the stated one is what is left where that does not tell, and a notice
  gives both. What was outside the window is lost.
- **Front and back are exchanged in the headers of the Radiopaedia volumes**; they are put right, not by exchanging what
  the header says but by what the arrays are: j runs to the back. In ``7_85703_0`` feet and head are exchanged too.
- Volumes go by several names: ``coronacases_007`` is ``coronacases_org_case007`` among Kaggle's images, ``case009`` is
  ``coronacases_009``, ``radiopaedia_10_85902_1`` is ``radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm``. Here a case
  is called as in ``covid_semiseg``, whose unlabelled pictures are these volumes: never test on one what was trained on
  the other.
- 10_85902_1 and 10_85902_3 are one patient, 29_86490_1 and 29_86491_1 too, by their naming: 18 groups.
- The sizes of voxels of the Radiopaedia volumes are as the headers say; a picture does not hold them.

How this was checked: names, codes, terms, sizes and the stated window against three public programs that read the set
and quote its page (the page itself was not at hand); front and back against two programs that turn them and against
COVID-SemiSeg, whose pictures of these volumes are transposed where those of coronacases are turned; feet and head of
``7_85703_0`` against one program only. No file of the set was at hand.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.datasets._volumes import (
    INFECTION,
    LUNG_CODES,
    check_partners,
    files_below,
    is_windowed,
    mirrored,
    naming,
    read_hounsfield,
    read_mask,
    read_stored,
    undo_window,
    whole_labels,
)
from groundglass.errors import ReadError, ScanError
from groundglass.io import InputFile
from groundglass.io.files import shown
from groundglass.labels import NOT_LESION, Tissue
from groundglass.scan import Notice, Scan

STATED_WINDOW_HU: Final = (-1250.0, 250.0)
HEAD_FIRST: Final = frozenset({"radiopaedia-7_85703_0"})
INFECTION_CODES: Final[Mapping[int, Tissue]] = {0: NOT_LESION, 1: INFECTION}
BOTH_CODES: Final[Mapping[int, Tissue]] = {**LUNG_CODES, 3: INFECTION}
_KIND_OF_FOLDER: Final = {
    "covid-19-ct-seg_20cases": "image",
    "ct_scans": "image",
    "lung_mask": "lung mask",
    "infection_mask": "infection mask",
    "lung_and_infection_mask": "mask",
}
_CORONACASES: Final = re.compile(r"(?:coronacases_(?:org_)?)?(?:case)?([0-9]{3})")
_RADIOPAEDIA: Final = re.compile(r"radiopaedia_(?:org_covid-19-pneumonia-)?([0-9]+(?:_[0-9]+)+)(?:-dcm)?")


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each volume as a case, coronacases first.

    Args:
        root: the folder that holds ``COVID-19-CT-Seg_20cases`` or ``ct_scans``.
        asked: no orientation: it is known.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: not the publisher's layout, or a volume or mask without its partner.
        ScanError: (when a case's turn comes) values that are not what its publisher made them.
        LabelError: (then) a mask of another shape, or an unknown code.
    """
    refuse_orientation(asked)
    files: dict[str, dict[str, InputFile]] = defaultdict(dict)
    for name, file in files_below(root).items():
        kinds = [_KIND_OF_FOLDER[part.lower()] for part in PurePosixPath(name).parts if part.lower() in _KIND_OF_FOLDER]
        if kinds and name.endswith((".nii", ".nii.gz")):
            files[kinds[-1]][name] = file
    found = {kind: _by_volume(entries) for kind, entries in files.items()}
    images = found.pop("image", {})
    if not images:
        raise ReadError(
            "The folder holds no COVID-19-CT-Seg_20cases with volumes.",
            expected="each of the publisher's archives in a folder of its own name",
            remedy="Unpack COVID-19-CT-Seg_20cases.zip and the masks beside it, each to its own folder.",
        )
    for kind, masks in found.items():
        check_partners(images, masks, kind)
    loaders = [
        partial(_case, volume, file, {kind: masks[volume] for kind, masks in found.items()})
        for volume, file in sorted(images.items())
    ]
    return Cases(tuple(loaders), public=True, intensity="calibrated")


def _by_volume(files: Mapping[str, InputFile]) -> dict[str, InputFile]:
    """Files by the one name of their volume, whatever they are called."""
    named: dict[str, InputFile] = {}
    for name, file in files.items():
        volume = _volume(PurePosixPath(name).name)
        if volume in named:
            raise ReadError(
                f"{shown(named[volume].name)} and {shown(name)} are the same volume.",
                expected="one of each",
                remedy="Remove the copy.",
            )
        named[volume] = file
    return named


def _volume(name: str) -> str:
    stem = name.removesuffix(".gz").removesuffix(".nii")
    for site, pattern in (("coronacases", _CORONACASES), ("radiopaedia", _RADIOPAEDIA)):
        match = pattern.fullmatch(stem)
        if match is not None:
            return f"{site}-{match[1]}"
    raise ReadError(
        f"{shown(name)} names no volume.",
        expected="coronacases_001 or radiopaedia_10_85902_1, or as Kaggle calls them",
        remedy="Leave only the publisher's files in the folder.",
    )


def _case(volume: str, image: InputFile, masks: Mapping[str, InputFile]) -> Case:
    scan, notices = _read(volume, image)
    sets = _sets(scan, masks)
    return Case(
        name=volume,
        images=scan,
        labels=None if sets is None else tuple(sets),
        groups=(volume.split("_")[0],) * len(scan.hu),
        notices=notices,
    )


def _read(volume: str, file: InputFile) -> tuple[Scan, tuple[Notice, ...]]:
    if volume.startswith("coronacases"):
        scan = read_hounsfield(file)
        return scan, scan.source.notices
    values, affine = read_stored(file)
    if not is_windowed(values):
        raise ScanError(
            f"{shown(file.name)} holds values from {values.min():g} to {values.max():g}.",
            expected="0 to 255, to which its publisher scaled it",
            remedy="Take the file as it is published.",
        )
    if aff2axcodes(affine)[1] == "A":
        affine = mirrored(affine, 1, values.shape[1])
    if volume in HEAD_FIRST:
        affine = mirrored(affine, 2, values.shape[2])
    with naming(file):
        scan, told = undo_window(values, affine, STATED_WINDOW_HU)
    return scan, (Notice(f"{volume}: {told.text}"),)


def _sets(scan: Scan, masks: Mapping[str, InputFile]) -> NDArray[np.uint8] | None:
    if "mask" in masks:
        return read_mask(masks["mask"], BOTH_CODES, scan)
    lungs = read_mask(masks["lung mask"], LUNG_CODES, scan) == Tissue.LUNG if "lung mask" in masks else None
    lesions = read_mask(masks["infection mask"], INFECTION_CODES, scan) if "infection mask" in masks else None
    return whole_labels(lesions, lungs)

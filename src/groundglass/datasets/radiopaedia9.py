"""Radiopaedia-9: nine chest CT of COVID-19 with lungs, ground glass and consolidation, MedSeg's second set.

| | |
|---|---|
| publisher | MedSeg, medicalsegmentation.com/covid19 (segmentation dataset nr. 2); figshare 13521509; as arrays in Kaggle's competition covid-segmentation |
| origin | volumes of nine patients shown on Radiopaedia |
| images | NIfTI, 630 x 630, 829 slices in all; said to be in HU |
| labels | 1 ground glass, 2 consolidation, 3 pleural effusion (background here); lungs in a mask of their own |
| terms | as for MedSeg-100: free to use, acknowledgement asked; a public program that reads it says CC0 |

Layout, either of:

- ``rp_im/1.nii.gz`` to ``9.nii.gz``, ``rp_msk`` and ``rp_lung_msk`` with the same names. Without ``rp_lung_msk`` what is
  no lesion is background **or** lung.
- ``images_radiopedia.npy`` (829, 512, 512) and ``masks_radiopedia.npy``: channels as in `medseg`.

What is made of it:

- A volume is a case and a group of its own. Slices whose mask is empty hold no lesion: 373 slices have some, says the
  publisher (a radiologist took them for positive); the DRSegUNet thesis says 323 in one place.
- Volumes that hold grey values, 0 to 255, in place of HU are taken too: their window is read off their histogram, and a
  notice says so. Radiopaedia shows pictures drawn with their uploader's window, so whatever HU there are were computed
  back from such pictures, and what the window cut off is lost.
- The arrays do not say where a volume ends, so all their slices are one group and no split can part them: use the NIfTI
  form for anything but unlabelled slices. How they lie could not be checked; they are left as they are unless an
  orientation is given.

Trap: COVID-19-CT-Seg took ten volumes from the same site; nobody says which are in both.

How this was checked: layout, sizes, codes and that the headers say rightly how the patient lies against three public
programs that read the set; counts against two public programs that quote the publisher's page and against the papers;
that the values are HU, from the thesis and from programs that window them so. No file of the set was at hand.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.datasets._stacks import ORIENTATION_UNKNOWN, array_stack, slice_case
from groundglass.datasets._volumes import (
    LUNG_CODES,
    check_partners,
    files_below,
    is_windowed,
    naming,
    one_each,
    read_mask,
    read_stored,
    undo_window,
    whole_labels,
)
from groundglass.datasets.medseg import TISSUES
from groundglass.errors import ReadError
from groundglass.io import InputFile
from groundglass.io.volume import to_scan
from groundglass.labels import Tissue
from groundglass.scan import Notice, Scan

USUAL_WINDOW_HU: Final = (-1250.0, 250.0)
_IMAGE, _LESIONS, _LUNGS = (
    re.compile(rf"(?:^|/){folder}/([0-9]+)\.nii(?:\.gz)?$") for folder in ("rp_im", "rp_msk", "rp_lung_msk")
)
_ARRAY: Final = re.compile(r"(?:^|/)(images|masks)[_-]radiopedia\.npy$")


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each volume as a case, by its number; of the arrays each slice.

    Args:
        root: the folder that holds either form.
        asked: an orientation for the arrays only.

    Raises:
        UsageError: nothing there, or an orientation for the NIfTI form.
        ReadError: neither form, or a volume or mask without its partner.
        LabelError: (some when a case's turn comes) masks of another shape, or an unknown code.
    """
    files = files_below(root)
    images = one_each(files, _IMAGE)
    if not images:
        return _from_arrays(root, one_each(files, _ARRAY), asked)
    refuse_orientation(asked)
    lesions, lungs = one_each(files, _LESIONS), one_each(files, _LUNGS)
    check_partners(images, lesions, "lesion mask")
    check_partners(images, lungs, "lung mask")
    return Cases(
        tuple(partial(_case, number, file, lesions.get(number), lungs.get(number)) for number, file in images.items()),
        public=True,
    )


def _case(number: str, image: InputFile, lesions: InputFile | None, lungs: InputFile | None) -> Case:
    scan, notices = _read(number, image)
    sets = whole_labels(
        None if lesions is None else read_mask(lesions, TISSUES, scan),
        None if lungs is None else read_mask(lungs, LUNG_CODES, scan) == Tissue.LUNG,
    )
    return Case(
        name=f"volume-{number}",
        images=scan,
        labels=None if sets is None else tuple(sets),
        groups=(f"volume-{number}",) * len(scan.hu),
        notices=notices,
    )


def _read(number: str, file: InputFile) -> tuple[Scan, tuple[Notice, ...]]:
    values, affine = read_stored(file)
    with naming(file):
        if not is_windowed(values):
            return to_scan(values, affine, format="nifti", header=None), ()
        scan, told = undo_window(values, affine, USUAL_WINDOW_HU)
    return scan, (Notice(f"volume-{number}: {told.text}"),)


def _from_arrays(root: Path, arrays: Mapping[str, InputFile], asked: Asked | None) -> Cases:
    if "images" not in arrays:
        raise ReadError(
            "The folder holds neither rp_im with numbered volumes nor images_radiopedia.npy.",
            expected="MedSeg's second set as it is published",
            remedy="Unpack rp_im.zip, rp_msk.zip and rp_lung_msk.zip and give the folder that holds theirs.",
        )
    orientation = asked.orientation if asked is not None else None
    masks = root / arrays["masks"].name if "masks" in arrays else None
    stack = array_stack(root / arrays["images"].name, masks, orientation or "as-is")
    told = Notice("The arrays do not say where a volume ends: all slices are one group, which no split can part.")
    return Cases(
        tuple(partial(slice_case, stack, number, f"slice-{number:03d}", "volumes") for number in range(stack.count)),
        public=True,
        notices=(told,) if orientation else (told, ORIENTATION_UNKNOWN),
    )

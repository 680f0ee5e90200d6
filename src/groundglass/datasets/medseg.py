"""MedSeg-100: 100 single slices of COVID-19 with ground glass and consolidation, from pictures that SIRM published.

| | |
|---|---|
| publisher | MedSeg (H. B. Jenssen, T. Sakinis), medicalsegmentation.com/covid19; figshare 13521488; as arrays in Kaggle's competition covid-segmentation |
| origin | axial slices of more than 40 patients (about 60 by the authors' first word) from JPGs of cases of the Italian radiological society (SIRM) |
| images | 512 x 512, one stack of 100; HU, which the publisher computed back from grey by the air and the fat of each picture |
| labels | NIfTI: 1 ground glass, 2 consolidation, 3 pleural effusion (background here); NumPy: four channels |
| terms | free to use, acknowledgement asked, says its page; CC0 on figshare, say public programs |

Layout, either of:

- ``tr_im.nii.gz``, ``tr_mask.nii.gz``, and ``tr_lungmasks_updated.nii.gz`` (1 and 2, the lungs) where lungs are to be
  told from the rest: without it what is no lesion is background **or** lung.
- ``images_medseg.npy`` and ``masks_medseg.npy``: channels 0 ground glass, 1 consolidation, 2 other lung, 3 background.

Where both are there, the NIfTI files are read, whose orientation is known.

What is made of it:

- Each slice is a case of one slice, called by its number from 0 in the file. Its pixels have no size.
- In the NIfTI stack x runs to the patient's left and y to the back, whatever the header says.
- How the slices of the arrays lie could not be checked: they are left as they are unless an orientation is given.
- ``groups.csv`` beside the files (slice from 0, group) says which slices a split must keep together. The publisher has
  a table of slices and SIRM's case numbers from which to make it; its columns are not known, so it is not read. Without
  groups each slice is its own group, and a notice says so: two of one patient may then be parted.
- Ten more slices (``val_im.nii.gz``, ``test_images_medseg.npy``) are a competition's test images; they are not read.

Traps: COVID-SemiSeg's 50 training **and 48 test** slices are slices of this set: who trains on it has seen that test.
HU are as good as an estimate from two points of a JPG; what its window cut off is lost.

How this was checked: origin, codes, terms against public copies of the publisher's page; the way to HU against a stored
copy of its own article (H. B. Jenssen, Medium, 28 March 2020); counts and channels against two of the five papers;
layout against nine public programs; orientation of the NIfTI form by COVID-SemiSeg, whose pictures were cut from it and
are transposed. No file of the set was at hand.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Asked, Cases, refuse_orientation
from groundglass.datasets._stacks import ORIENTATION_UNKNOWN, Stack, array_stack, read_groups, slice_case
from groundglass.datasets._volumes import (
    LUNG_CODES,
    files_below,
    naming,
    one_each,
    read_stored,
    stored_shape,
    to_codes,
    whole_labels,
)
from groundglass.errors import LabelError, ReadError
from groundglass.io import InputFile
from groundglass.labels import NOT_LESION, Tissue, sets_from_codes
from groundglass.scan import Notice

TISSUES: Final[Mapping[int, Tissue]] = {
    0: NOT_LESION,
    1: Tissue.GROUND_GLASS,
    2: Tissue.CONSOLIDATION,
    3: Tissue.BACKGROUND,
}
IMAGES, LESIONS, LUNGS = "tr_im", "tr_mask", "tr_lungmasks_updated"
_NIFTI: Final = re.compile(rf"(?:^|/)({IMAGES}|{LESIONS}|{LUNGS})\.nii(?:\.gz)?$")
_ARRAY: Final = re.compile(r"(?:^|/)(images|masks)[_-]medseg\.npy$")


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each slice as a case, in the order of the file.

    Args:
        root: the folder that holds either form.
        asked: an orientation for the arrays only.

    Raises:
        UsageError: nothing there, or an orientation for the NIfTI form.
        ReadError: neither form, masks without images, or a groups.csv that is no table.
        LabelError: (some when a case's turn comes) masks of another shape, or an unknown code.
    """
    files = files_below(root)
    nifti, arrays = one_each(files, _NIFTI), one_each(files, _ARRAY)
    notices: tuple[Notice, ...] = ()
    if IMAGES in nifti:
        refuse_orientation(asked)
        stack = _nifti_stack(nifti)
    elif "images" in arrays:
        orientation = asked.orientation if asked is not None else None
        notices = () if orientation else (ORIENTATION_UNKNOWN,)
        masks = root / arrays["masks"].name if "masks" in arrays else None
        stack = array_stack(root / arrays["images"].name, masks, orientation or "as-is")
    else:
        raise ReadError(
            f"The folder holds neither {IMAGES}.nii.gz nor images_medseg.npy.",
            expected="MedSeg's files as they are published",
            remedy="Unpack the data set and give its folder.",
        )
    groups = read_groups(files)
    alone = sum(str(number) not in groups for number in range(stack.count))
    if alone:
        told = f"groups.csv does not name {alone} of {stack.count} slices: each is its own group, though"
        notices += (Notice(f"{told} some are of one patient."),)
    return Cases(
        tuple(
            partial(slice_case, stack, number, f"slice-{number:03d}", groups.get(str(number), f"slice-{number:03d}"))
            for number in range(stack.count)
        ),
        public=True,
        notices=notices,
    )


def _nifti_stack(files: Mapping[str, InputFile]) -> Stack:
    """The stack of the NIfTI form; the files are unpacked when the first slice is asked for."""
    shape = stored_shape(files[IMAGES])
    for name in (LESIONS, LUNGS):
        if name in files and stored_shape(files[name])[:3] != shape[:3]:
            raise LabelError(
                f"{name} has {stored_shape(files[name])} voxels and {IMAGES} {shape}.",
                expected="the images' own shape",
                remedy="Download both again.",
            )
    images = cache(partial(_values, files[IMAGES], lambda stored: stored.astype(np.float32)))
    masks = {name: cache(partial(_values, files[name], to_codes)) for name in (LESIONS, LUNGS) if name in files}

    def sets(number: int) -> NDArray[np.uint8] | None:
        found = {name: values()[:, :, number].T for name, values in masks.items()}
        lungs = sets_from_codes(found[LUNGS], LUNG_CODES) == Tissue.LUNG if LUNGS in found else None
        return whole_labels(sets_from_codes(found[LESIONS], TISSUES) if LESIONS in found else None, lungs)

    return Stack(count=shape[2] if len(shape) > 2 else 1, plane=lambda number: images()[:, :, number].T, sets=sets)


def _values(file: InputFile, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    with naming(file):
        values, _ = read_stored(file)
        return convert(values)

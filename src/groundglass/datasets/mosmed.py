"""MosMedData: 1,110 chest CT of Moscow, graded by severity, 50 of them with infection outlined.

| | |
|---|---|
| publisher | S. P. Morozov et al., "MosMedData: chest CT scans with COVID-19 related findings dataset", medRxiv 2020.05.20.20100362 (arXiv 2005.06465); mosmed.ai/datasets/covid191110 (once covid19_1110) |
| images | NIfTI, 512 x 512, Hounsfield units; about 30 to 60 slices each |
| counts | CT-0 254, CT-1 684, CT-2 125, CT-3 45, CT-4 2 studies |
| labels | of 50 studies of CT-1 (0255 to 0304): 0 neither, 1 infection (ground glass and consolidation together) |
| terms | CC BY-NC-ND 3.0: no commercial use, and nothing derived may be passed on - a prepared store is derived |

Layout: ``studies/CT-0/study_0001.nii.gz`` and so on, ``masks/study_0255_mask.nii.gz`` and so on; where the folders CT-0
to CT-4 and the masks lie does not matter. A study without a mask is unlabelled.

What is made of it:

- The grade is a tag of each slice, ``severity=CT-1``. It is metadata: no pixel's label comes from it.
- 0 is background **or** lung: no lung mask exists. A slice of a study with a mask whose mask is empty holds no lesion.
- Each study is taken to be a patient of its own: the publisher counts studies and names no patient.
- The slices are a selection of the scan's, so that slices lie about 8 mm apart.

How this was checked: counts of grades against the publisher's page, annotation (binary masks of ground glass and
consolidation) and terms against the abstract of its paper, both as stored copies; layout, codes, units and that the
headers say rightly how the patient lies, against four public programs that read the set. One table of the DRSegUNet
thesis says 150 annotated studies where the other and the publisher's files say 50. The distance of slices is from
programs that assume it. No file of the set was at hand.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.datasets._volumes import INFECTION, check_partners, files_below, one_each, read_hounsfield, read_mask
from groundglass.errors import ReadError
from groundglass.io import InputFile
from groundglass.labels import NOT_LESION, Tissue

TISSUES: Final[Mapping[int, Tissue]] = {0: NOT_LESION, 1: INFECTION}
_STUDY: Final = re.compile(r"(?:^|/)CT-?[0-4]/study_([0-9]{4})\.nii(?:\.gz)?$", re.IGNORECASE)
_MASK: Final = re.compile(r"(?:^|/)study_([0-9]{4})_mask\.nii(?:\.gz)?$", re.IGNORECASE)
_GRADE: Final = re.compile(r"CT-?([0-4])/[^/]*$", re.IGNORECASE)


def read(root: Path, asked: Asked | None = None) -> Cases:
    """Each study as a case, by its number.

    Args:
        root: a folder that holds CT-0 to CT-4, or some of them.
        asked: no orientation: it is known.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: not the publisher's layout, a study twice, or a mask without its study.
        LabelError: (when a case's turn comes) a mask of another shape, or an unknown code.
    """
    refuse_orientation(asked)
    files = files_below(root)
    studies, masks = one_each(files, _STUDY), one_each(files, _MASK)
    if not studies:
        raise ReadError(
            "The folder holds no studies in CT-0 to CT-4.",
            expected="studies/CT-1/study_0255.nii.gz and the like, as the publisher packs them",
            remedy="Unpack COVID19_1110 and give the folder that holds studies.",
        )
    check_partners(studies, masks, "mask", complete=False)
    return Cases(
        tuple(partial(_case, number, file, masks.get(number)) for number, file in studies.items()), public=True
    )


def _case(number: str, image: InputFile, mask: InputFile | None) -> Case:
    scan = read_hounsfield(image)
    grade, count = _GRADE.search(image.name), len(scan.hu)
    return Case(
        name=f"study-{number}",
        images=scan,
        labels=None if mask is None else tuple(read_mask(mask, TISSUES, scan)),
        groups=(f"study-{number}",) * count,
        tags=({"severity": f"CT-{grade[1]}"} if grade else {},) * count,
        notices=scan.source.notices,
    )

"""COVID-SemiSeg: 50 labelled slices of COVID-19 and 1,600 unlabelled ones (Inf-Net).

| | |
|---|---|
| publisher | D.-P. Fan et al., "Inf-Net", IEEE TMI 39(8), 2020; github.com/DengPingFan/Inf-Net |
| origin | labelled: slices of the 100-slice set of MedSeg and the Italian radiological society (SIRM); unlabelled: 20 volumes of the COVID-19-CT-Seg collection (coronacases.org, Radiopaedia) |
| images | JPG, 8-bit, crops around the lungs, cut slice by slice; no Hounsfield units, no size of a pixel |
| labels | 0 neither, 1 ground glass, 2 consolidation. 0 is background **or** lung: no lung mask exists |
| terms | non-commercial use only |
| test slices | 48 more, which this reader does not touch |

Quirks, each checked on the files (``tests/datasets/test_covid_semiseg.py``):

- Labelled slices and unlabelled ones of Radiopaedia are transposed, those of coronacases turned by 90 degrees. As read
  here the front is up and the patient's right is on the left.
- The class maps are palette PNGs: their bytes are the codes, and converting them to grey changes them.
- The binary infection masks beside them are the same pixels; where they are there, they are compared.
- Labelled slices are single: each has a window of its own. Unlabelled ones share a volume's.
- Soft tissue is clipped to white in 11, 30 and 47; marks are burnt into 1 and 49.
- ``groups.csv`` beside the folder (slice, group) names near-duplicates among the labelled, which a split must keep
  together. Without it each slice is its own group, and a notice says so.
- Volumes 10_85902_1 and 10_85902_3 are one patient, 29_86490_1 and 29_86491_1 too, by their naming.
- What nobody knows: whether a labelled slice is of a patient of the unlabelled volumes.
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Asked, Case, Cases, refuse_orientation
from groundglass.errors import LabelError, ReadError
from groundglass.io import InputFile, list_files
from groundglass.io.files import shown
from groundglass.io.image import read_images
from groundglass.io.label_maps import read_codes
from groundglass.labels import NOT_LESION, Region, Tissue, inside, sets_from_codes
from groundglass.preprocess.calibrate import CLIPPED_WINDOW_HU
from groundglass.preprocess.orient import Orientation, orient
from groundglass.scan import Notice

TISSUES: Final[Mapping[int, Tissue]] = {0: NOT_LESION, 1: Tissue.GROUND_GLASS, 2: Tissue.CONSOLIDATION}
CLASSES: Final = "TrainingSet/MultiClassInfection-Train"
INFECTION: Final = "TrainingSet/LungInfection-Train/Doctor-label/GT"
UNLABELLED: Final = "TrainingSet/LungInfection-Train/Pseudo-label/Imgs"
MARKED: Final = frozenset({"1", "49", "60", "95"})
_VOLUME: Final = re.compile(
    r"Data-1_(coronacases|radiopaedia)_org_(?:covid-19-pneumonia-)?([0-9_]+?)(?:-dcm)?_([0-9]+)"
)


@dataclass(frozen=True)
class _Slice:
    """An unlabelled picture, by its name."""

    volume: str
    patient: str
    number: int
    file: InputFile


def read(root: Path, asked: Asked | None = None) -> Cases:
    """The labelled slices as one case, then each unlabelled volume as one.

    Args:
        root: the folder that holds ``TrainingSet``.
        asked: no orientation: it is known.

    Raises:
        UsageError: nothing there, or an orientation.
        ReadError: not the publisher's layout.
        LabelError: (when a case's turn comes) class map and infection mask differ, or an unknown code.
    """
    refuse_orientation(asked)
    files = {file.name: file for file in list_files(root).files}
    labelled = sorted(_stems(files, f"{CLASSES}/Imgs", ".jpg"), key=int)
    if not labelled:
        raise ReadError(
            f"The folder holds no {CLASSES}/Imgs with numbered pictures.",
            expected="COVID-SemiSeg as its publisher packs it, with TrainingSet in it",
            remedy="Unpack COVID-SemiSeg.zip and give the folder that holds TrainingSet.",
        )
    volumes = defaultdict[str, list[_Slice]](list)
    for stem, file in _stems(files, UNLABELLED, ".jpg").items():
        found = _parse(stem, file)
        volumes[found.volume].append(found)
    groups = _groups(files.get("groups.csv"))
    loaders = [partial(_labelled, files, labelled, groups)]
    loaders += [
        partial(_unlabelled, sorted(slices, key=lambda slice_: slice_.number)) for _, slices in sorted(volumes.items())
    ]
    return Cases(tuple(loaders), public=True, intensity="calibrated")


def _stems(files: Mapping[str, InputFile], folder: str, suffix: str) -> dict[str, InputFile]:
    return {
        name[len(folder) + 1 : -len(suffix)]: file
        for name, file in files.items()
        if name.startswith(f"{folder}/") and name.endswith(suffix)
    }


def _parse(stem: str, file: InputFile) -> _Slice:
    match = _VOLUME.fullmatch(stem)
    if match is None:
        raise ReadError(
            f"{shown(stem)} names no volume and slice.",
            expected="Data-1_coronacases_org_001_12 or the like",
            remedy="Leave only the publisher's files in the folder.",
        )
    site, volume, number = match.groups()
    return _Slice(f"{site}-{volume}", f"{site}-{volume.split('_')[0]}", int(number), file)


def _groups(file: InputFile | None) -> Mapping[str, str] | None:
    if file is None:
        return None
    try:
        rows = list(csv.DictReader(io.StringIO(file.read().decode("utf-8-sig"))))
        return {row["slice"]: row["group"] for row in rows}
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise ReadError(
            "groups.csv is no table of slices and groups.",
            expected="the columns slice and group",
            remedy="Correct it, or move it away: each slice is then its own group.",
        ) from None


def _labelled(files: Mapping[str, InputFile], stems: Sequence[str], groups: Mapping[str, str] | None) -> Case:
    labels = tuple(orient(_sets(files, stem), "transpose") for stem in stems)
    alone = sum(groups is None or stem not in groups for stem in stems)
    told = Notice(f"groups.csv does not name {alone} of {len(stems)} labelled slices: each is its own group.")
    return Case(
        name="labelled",
        images=tuple(_picture(files[f"{CLASSES}/Imgs/{stem}.jpg"], "transpose") for stem in stems),
        labels=labels,
        groups=tuple((groups or {}).get(stem, f"slice-{stem}") for stem in stems),
        slices=tuple(stems),
        positions=tuple(int(stem) for stem in stems),
        one_volume=False,
        cropped=True,
        fallback_hu=CLIPPED_WINDOW_HU,
        tags=tuple({"mark": "burnt-in"} if stem in MARKED else {} for stem in stems),
        notices=(told,) if alone else (),
    )


def _sets(files: Mapping[str, InputFile], stem: str) -> NDArray[np.uint8]:
    """Label sets of a class map, as the file lies."""
    name = f"{CLASSES}/GT/{stem}.png"
    if name not in files:
        raise ReadError(
            f"Slice {stem} has an image and no {name}.",
            expected="a class map for each image of MultiClassInfection-Train",
            remedy="Unpack the data set again.",
        )
    sets = sets_from_codes(read_codes(files[name]), TISSUES)
    mask = files.get(f"{INFECTION}/{stem}.png")
    if mask is not None:
        infected = read_codes(mask) > 127
        if infected.shape != sets.shape or (infected != inside(sets, Region.INFECTION)).any():
            raise LabelError(
                f"The infection mask of slice {stem} is not where its classes are.",
                expected="the same pixels in Doctor-label/GT and MultiClassInfection-Train/GT",
                remedy="Unpack the data set again.",
            )
    return sets


def _unlabelled(slices: Sequence[_Slice]) -> Case:
    orientation: Orientation = "turn-90" if slices[0].volume.startswith("coronacases") else "transpose"
    return Case(
        name=slices[0].volume,
        images=tuple(_picture(slice_.file, orientation) for slice_ in slices),
        labels=None,
        groups=tuple(slice_.patient for slice_ in slices),
        slices=tuple(f"{slice_.number:04d}" for slice_ in slices),
        positions=tuple(slice_.number for slice_ in slices),
        cropped=True,
        fallback_hu=CLIPPED_WINDOW_HU,
    )


def _picture(file: InputFile, orientation: Orientation) -> NDArray[np.uint8]:
    return orient(read_images([file]).grey[0], orientation)

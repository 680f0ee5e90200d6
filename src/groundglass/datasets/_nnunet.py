"""nnU-Net's raw layout (version 2) as cases.

What `groundglass.datasets._converting` wrote beside nnU-Net's own keys is taken up again: what the codes mean, which
pictures are one volume, who is whose. Of anybody else's data set the classes are told by their names, and each image is
a patient of its own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets import folder
from groundglass.datasets._case import Case, Cases
from groundglass.datasets._converting import CHANNEL, DATASET, SECTION, TRAINING, TRUTH, UNLABELLED
from groundglass.datasets._volumes import read_mask
from groundglass.errors import LabelError, ReadError, ScanError
from groundglass.io import list_files
from groundglass.io import read as read_scan
from groundglass.io.files import shown
from groundglass.io.image import read_images
from groundglass.io.label_maps import read_codes
from groundglass.labels import NOT_LESION, UNKNOWN, Tissue, sets_from_codes
from groundglass.scan import Scan

_NAMES: Final[Mapping[str, Tissue]] = {
    **folder.TISSUES,
    **dict.fromkeys(("lungs", "left-lung", "right-lung", "lung-left", "lung-right"), Tissue.LUNG),
    **dict.fromkeys(("ggo", "ground-glass-opacity", "groundglass"), Tissue.GROUND_GLASS),
    **dict.fromkeys(("lesion", "covid", "covid-19"), folder.TISSUES["infection"]),
    "ignore": UNKNOWN,
}


@dataclass(frozen=True)
class _Description:
    """What dataset.json says: the files' ending, what codes mean, and of each image what we wrote of it."""

    ending: str
    tissues: Mapping[int, Tissue]
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Image:
    """An image's name, its file, and its labels' where it has some."""

    name: str
    file: Path
    labels: Path | None


def read(root: Path) -> Cases:
    """Each image as a case; pictures that were written from one volume as one.

    Args:
        root: the folder that holds dataset.json.

    Raises:
        ReadError: no such layout, several channels, or labels without an image.
        LabelError: classes whose names say no tissue; (when a case's turn comes) another shape, or an unknown code.
    """
    told = _description(root / DATASET)
    labels = {path.name.removesuffix(told.ending): path for path in _files(root / TRUTH, told.ending)}
    images = [
        _Image(path.name.removesuffix(CHANNEL + told.ending), path, labels.get(_stem(path, told.ending)))
        for where in (TRAINING, UNLABELLED)
        for path in _files(root / where, told.ending)
    ]
    _check(root, images, labels)
    volumes = defaultdict[str, list[_Image]](list)
    for image in images:
        volumes[str(told.images.get(image.name, {}).get("case", image.name))].append(image)
    one = _pictures if told.ending == ".png" else _scan
    return Cases(tuple(partial(one, name, members, told) for name, members in volumes.items()))


def _stem(path: Path, ending: str) -> str:
    return path.name.removesuffix(CHANNEL + ending)


def _files(where: Path, ending: str) -> list[Path]:
    return sorted(path for path in where.iterdir() if path.name.endswith(ending)) if where.is_dir() else []


def _check(root: Path, images: Sequence[_Image], labels: Mapping[str, Path]) -> None:
    if not images:
        raise ReadError(
            f"{shown(root.name)} holds no images in {TRAINING} or {UNLABELLED}.",
            expected="nnU-Net's raw layout, version 2",
            remedy="Give the folder DatasetNNN_Name.",
        )
    names = [image.name for image in images]
    channels = [name for name in names if name.endswith((".nii.gz", ".png"))]  # what is left of another channel's
    alone = sorted(set(labels) - set(names))
    if channels or alone or len(set(names)) < len(names):
        bad = (channels or alone or names)[0]
        raise ReadError(
            f"{shown(bad)} has several channels, no image, or is there twice.",
            expected=f"one image {CHANNEL} of each name, and labels of images only",
            remedy="Correct the data set.",
        )


def _description(path: Path) -> _Description:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        labels, ending = dict(told["labels"]), str(told.get("file_ending", ".nii.gz"))
        ours = dict(told.get(SECTION, {}))
        sets = {"-or-".join(words): int(code) for code, words in ours.get("label_sets", {}).items()}
        images = {str(name): dict(image) for name, image in ours.get("images", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ReadError(
            f"There is no {DATASET} that can be read.",
            expected="nnU-Net's raw layout, version 2",
            remedy="Give the folder DatasetNNN_Name.",
        ) from None
    if ending not in (".nii.gz", ".png"):
        raise ReadError(f"Images end in {shown(ending)}.", expected=".nii.gz or .png", remedy="Convert them first.")
    tissues = _by_name(labels)
    if Tissue.LUNG not in tissues.values():
        tissues[0] = NOT_LESION  # lung is no class of its own, so it lies in the background
    return _Description(ending, {**tissues, **_by_name(sets)}, images)


def _by_name(labels: Mapping[str, Any]) -> dict[int, Tissue]:
    """What codes mean by the names of their classes."""
    words = {str(name).strip().lower().replace("_", "-").replace(" ", "-"): code for name, code in labels.items()}
    strange = [name for name, code in words.items() if not isinstance(code, int) or not _known(name)]
    if strange:
        raise LabelError(
            f"The class {shown(strange[0])} is several codes, or says no tissue.",
            expected=f"classes called {', '.join(folder.TISSUES)}",
            remedy=f"Rename it in {DATASET}; a region of several codes cannot be read.",
        )
    return {code: _meaning(name) for name, code in words.items()}


def _known(name: str) -> bool:
    return all(part in _NAMES for part in name.split("-or-"))


def _meaning(name: str) -> Tissue:
    found = Tissue(0)
    for part in name.split("-or-"):
        found |= _NAMES[part]
    return found


def _scan(name: str, members: Sequence[_Image], told: _Description) -> Case:
    image = members[0]
    scan = read_scan(image.file)
    if not isinstance(scan, Scan):
        raise ScanError(f"{shown(name)} is no scan.", expected="NIfTI", remedy="Correct the data set.")
    sets = None if image.labels is None else read_mask(list_files(image.labels).files[0], told.tissues, scan)
    group = str(told.images.get(image.name, {}).get("group", name))
    return Case(
        name=name,
        images=scan,
        labels=None if sets is None else tuple(sets),
        groups=(group,) * len(scan.hu),
        notices=scan.source.notices,
    )


def _pictures(name: str, members: Sequence[_Image], told: _Description) -> Case:
    ours = [told.images.get(image.name, {}) for image in members]
    order = sorted(range(len(members)), key=lambda k: (ours[k].get("position", k), members[k].name))
    first, labels = ours[order[0]], tuple(_sets(members[k], told) for k in order)
    window = first.get("window")
    return Case(
        name=name,
        images=tuple(read_images([list_files(members[k].file).files[0]]).grey[0] for k in order),
        labels=labels if any(sets is not None for sets in labels) else None,
        groups=tuple(str(ours[k].get("group", members[k].name)) for k in order),
        slices=tuple(str(ours[k].get("slice", f"{number:04d}")) for number, k in enumerate(order, start=1)),
        positions=tuple(int(ours[k].get("position", number)) for number, k in enumerate(order, start=1)),
        one_volume=bool(first.get("one_volume", True)),
        cropped=bool(first.get("cropped", False)),
        window_hu=(float(window[0]), float(window[1])) if window else None,
    )


def _sets(image: _Image, told: _Description) -> NDArray[np.uint8] | None:
    if image.labels is None:
        return None
    return sets_from_codes(read_codes(list_files(image.labels).files[0]), told.tissues)

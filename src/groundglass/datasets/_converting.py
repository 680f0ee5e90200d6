"""Cases as files that other programs read: nnU-Net's raw layout, and plain folders (`groundglass.datasets.folder`).

Scans are written in canonical order, with the values they were read with; pictures as PNG. Nothing is resampled.

A folder holds any label set: codes 0 to 3 as everywhere, further codes for sets of several tissues, all named in its
``labels.toml``. nnU-Net knows one class a pixel, so of the sets that occur the most precise become classes, as far as
they do not overlap, and what overlaps one of them or is unknown becomes nnU-Net's ignore label. COVID-SemiSeg's
"background or lung" is thus the background, and infection as one class a class; but where some slices tell lung from
background, the others' "background or lung" is ignored. nnU-Net's regions were not taken: they say of a pixel which
larger classes it is surely in, never that it may be one of two.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Case, Cases
from groundglass.datasets._checking import set_name, tissues_of
from groundglass.datasets.folder import IMAGES, LABELS, TABLE
from groundglass.errors import UsageError
from groundglass.io import OutputFolder
from groundglass.labels import UNKNOWN, Tissue
from groundglass.scan import Notice, Scan

CHANNEL: Final = "_0000"
TRAINING, TRUTH, UNLABELLED, DATASET = "imagesTr", "labelsTr", "imagesTs", "dataset.json"
SECTION: Final = "groundglass"
# Of label sets, in a plain folder; others are 16 + the set.
_CODES: Final = {1: 0, 2: 1, 4: 2, 8: 3, 12: 4, 3: 5, 14: 6, 15: 15}
_STAGED: Final = ".staged"


@dataclass(frozen=True)
class Converted:
    """What was written: images with and without labels, the label set of each code, and what is to be known."""

    labelled: int
    unlabelled: int
    sets: Mapping[int, int]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, eq=False)
class _Item:
    """An image that becomes a file, or a file and its labels: a scan, or one picture of a case.

    Attributes:
        name: of the file, without suffix.
        image: a scan, or a picture (y, x).
        sets: its label sets, (z, y, x) or (y, x); unknown where a slice of a labelled scan has none.
        group: its patient.
        case: it comes from.
        number: of the picture in its case, from 0.
    """

    name: str
    image: Scan | NDArray[np.uint8]
    sets: NDArray[np.uint8] | None
    group: str
    case: Case
    number: int = 0

    @property
    def suffix(self) -> str:
        """Of the image's file and of its labels'."""
        return ".nii.gz" if isinstance(self.image, Scan) else ".png"

    def packed_image(self) -> bytes:
        """The image's file."""
        return _nifti(self.image.hu, self.image.affine) if isinstance(self.image, Scan) else _png(self.image)

    def packed_labels(self, codes: NDArray[np.uint8]) -> bytes:
        """The labels' file, of codes on the grid of the image."""
        return _nifti(codes, self.image.affine) if isinstance(self.image, Scan) else _png(codes)


@dataclass
class _Tally:
    """What has been written so far."""

    labelled: int = 0
    unlabelled: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    notices: dict[str, Notice] = field(default_factory=dict)
    items: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, item: _Item) -> None:
        """Count an image; no two may have one name."""
        if item.name in self.items:
            raise UsageError(
                f"Two images would be called {item.name}.", expected="one of each name", remedy="Rename one."
            )
        if item.sets is None:
            self.unlabelled += 1
        else:
            self.labelled += 1
            counts = np.bincount(item.sets.ravel(), minlength=16)
            self.pixels.update({int(value): int(counts[value]) for value in np.flatnonzero(counts)})
        case = item.case
        self.items[item.name] = {
            "case": case.name,
            "slice": case.slices[item.number],
            "position": case.positions[item.number],
            "group": item.group,
            "one_volume": case.one_volume,
            "cropped": case.cropped,
            "window": case.window_hu,
        }
        for text in _lost(case):
            self.notices[text] = Notice(text)

    def settled(self, name: str) -> Any:
        """What all pictures say of something; None where they disagree."""
        said = {json.dumps(item[name]) for item in self.items.values()}
        return json.loads(said.pop()) if len(said) == 1 else None


def to_folder(cases: Cases, out: Path, progress: Callable[[float], None] = lambda _: None) -> Converted:
    """Write cases as a folder that `groundglass.datasets.folder` reads: images, labels, labels.toml.

    A picture with a window of its own becomes a picture by itself, others of a case a folder.

    Raises:
        GroundglassError: whatever reading refuses, or two images of one name.
        WriteError: it could not be written; nothing stays.
    """
    tally = _Tally()
    with OutputFolder(out) as output:
        for item in _items(cases, progress):
            tally.add(item)
            inside = not isinstance(item.image, Scan) and item.case.one_volume
            name = f"{item.case.name}/{item.case.slices[item.number]}" if inside else item.name
            output.path(f"{IMAGES}/{name}{item.suffix}").write_bytes(item.packed_image())
            if item.sets is not None:
                packed = item.packed_labels(_folder_codes()[item.sets])
                output.path(f"{LABELS}/{name}{item.suffix}").write_bytes(packed)
        output.path(TABLE).write_text(_table(tally), encoding="utf-8")
    sets = {int(_folder_codes()[value]): value for value in sorted(tally.pixels)}
    return Converted(tally.labelled, tally.unlabelled, sets, tuple(tally.notices.values()))


def to_nnunet(
    cases: Cases, out: Path, name: str, number: int, progress: Callable[[float], None] = lambda _: None
) -> Converted:
    """Write cases in nnU-Net's raw layout (version 2), unlabelled images to ``imagesTs``.

    Args:
        cases: of scans only, or of pictures only.
        out: nnU-Net's folder of raw data sets.
        name: of the data set; it goes to ``Dataset001_NAME`` and the like.
        number: 1 to 999.
        progress: is called with the share done, from 0 to 1.

    Raises:
        UsageError: scans and pictures, or two images of one name.
        GroundglassError: whatever reading refuses.
        WriteError: it could not be written; nothing stays.
    """
    tally, suffix, folder = _Tally(), None, f"Dataset{number:03d}_{re.sub(r'[^A-Za-z0-9]+', '', name.title())}"
    with OutputFolder(out) as output:
        for item in _items(cases, progress):
            tally.add(item)
            if suffix not in (None, item.suffix):
                raise UsageError(
                    "The data set holds scans and pictures.",
                    expected="one of the two: nnU-Net takes one kind of file",
                    remedy="Convert it to --to folder, and each part by itself from there.",
                )
            suffix = item.suffix
            where = TRAINING if item.sets is not None else UNLABELLED
            output.path(f"{folder}/{where}/{item.name}{CHANNEL}{suffix}").write_bytes(item.packed_image())
            if item.sets is not None:  # which codes there are is known at the end only
                np.savez_compressed(
                    output.path(f"{_STAGED}/{item.name}.npz"),
                    sets=item.sets,
                    affine=item.image.affine if isinstance(item.image, Scan) else np.eye(4),
                )
        codes = class_codes(tally.pixels)
        for staged in sorted(output.path(f"{_STAGED}/none").parent.iterdir()):
            with np.load(staged) as held:
                labels = _class_table(codes)[held["sets"]]
                packed = _png(labels) if suffix == ".png" else _nifti(labels, held["affine"])
            output.path(f"{folder}/{TRUTH}/{staged.stem}{suffix}").write_bytes(packed)
            staged.unlink()
        text = json.dumps(_description(tally, codes, suffix or "", name), indent=2)
        output.path(f"{folder}/{DATASET}").write_text(text + "\n", encoding="utf-8")
    ignored = [value for value in sorted(tally.pixels) if value not in codes and value != UNKNOWN]
    told = [Notice(f"{tally.pixels[value]} pixels of {set_name(value)} became ignored ones.") for value in ignored]
    sets = {code: value for value, code in codes.items()}
    return Converted(tally.labelled, tally.unlabelled, sets, (*tally.notices.values(), *told))


def class_codes(sets: Mapping[int, int] | set[int]) -> dict[int, int]:
    """Label set -> nnU-Net's code, of the sets that become classes: the most precise, as far as they are disjoint.

    What holds background comes first, and is 0; without such a set codes begin at 1.
    """
    kept: list[int] = []
    for value in sorted(set(sets) - {int(UNKNOWN)}, key=lambda value: (value.bit_count(), value)):
        if not any(value & other for other in kept):
            kept.append(value)
    ordered = sorted(kept, key=lambda value: (not value & Tissue.BACKGROUND, value))
    first = 0 if ordered and ordered[0] & Tissue.BACKGROUND else 1
    return {value: code for code, value in enumerate(ordered, start=first)}


def _items(cases: Cases, progress: Callable[[float], None]) -> Iterator[_Item]:
    """The images of all cases, one case in memory at a time."""
    for number, case in enumerate(cases, start=1):
        if isinstance(case.images, Scan):
            yield _Item(case.name, case.images, _volume(case), case.groups[0], case)
        else:
            for k, picture in enumerate(case.images):
                sets = None if case.labels is None else case.labels[k]
                yield _Item(f"{case.name}_{case.slices[k]}", picture, sets, case.groups[k], case, k)
        progress(number / len(cases))


def _volume(case: Case) -> NDArray[np.uint8] | None:
    if case.labels is None or all(sets is None for sets in case.labels):
        return None
    planes = zip(case.labels, case.planes, strict=True)
    return np.stack([np.full(plane.shape, UNKNOWN, np.uint8) if sets is None else sets for sets, plane in planes])


def _lost(case: Case) -> Iterator[str]:
    """What a file does not say of a case."""
    if any(case.tags):
        yield "Tags of slices, such as a diagnosis, are not written."
    if isinstance(case.images, Scan):
        if not case.images.source.spacing_known:
            yield "The size of pixels is not known; the files say what was assumed."
    elif case.fallback_hu is not None and case.window_hu is None:
        yield "The window that the reader falls back to is not written."
    if case.one_volume and len(set(case.groups)) > 1:
        yield "A volume of several patients is written as the first one's."


def _folder_codes() -> NDArray[np.uint8]:
    return np.array([_CODES.get(value, 16 + value) for value in range(16)], np.uint8)


def _class_table(codes: Mapping[int, int]) -> NDArray[np.uint8]:
    table = np.full(16, _ignored(codes), np.uint8)
    for value, code in codes.items():
        table[value] = code
    return table


def _ignored(codes: Mapping[int, int]) -> int:
    """nnU-Net's ignore label, which has to be the highest."""
    return max(codes.values(), default=0) + 1


def _description(tally: _Tally, codes: Mapping[int, int], suffix: str, name: str) -> dict[str, Any]:
    """The content of dataset.json; nnU-Net leaves alone what it does not know."""
    names = {"background": 0, **{"_or_".join(tissues_of(value)): code for value, code in codes.items() if code}}
    ignored = set(tally.pixels) - set(codes)
    return {
        "channel_names": {"0": "CT" if suffix == ".nii.gz" else "grey"},
        "labels": {
            **{word.replace("-", "_"): code for word, code in names.items()},
            **({"ignore": _ignored(codes)} if ignored else {}),
        },
        "numTraining": tally.labelled,
        "file_ending": suffix,
        "name": name,
        SECTION: {
            "label_sets": {code: list(tissues_of(value)) for value, code in codes.items()},
            "images": tally.items,
        },
    }


def _table(tally: _Tally) -> str:
    """The text of labels.toml."""
    codes = {int(_folder_codes()[value]): list(tissues_of(value)) for value in tally.pixels}
    window = tally.settled("window")
    lines = ["[codes]", *(f"{code} = {json.dumps(codes[code])}" for code in sorted(codes))]
    lines += ["", "[pictures]", *([f"window = {json.dumps(window)}"] if window else [])]
    lines += [f"cropped = {json.dumps(tally.settled('cropped') is True)}", "", "[patients]"]
    patients: dict[str, str] = {}
    for name, item in tally.items.items():  # pictures of one volume are a folder, called as the case
        patients.setdefault(item["case"] if item["one_volume"] else name, item["group"])
    lines += [f"{json.dumps(stem)} = {json.dumps(group)}" for stem, group in patients.items()]
    return "\n".join(lines) + "\n"


def _nifti(values: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """A gzipped NIfTI of a canonical array ``[z, y, x]``."""
    import nibabel

    image: Any = nibabel.Nifti1Image(values.T, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header["xyzt_units"] = 2  # millimetres
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=1, fileobj=packed, mtime=0) as stream:  # the same data, the same bytes
        stream.write(image.to_bytes())
    return packed.getvalue()


def _png(plane: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(stream, "PNG")
    return stream.getvalue()

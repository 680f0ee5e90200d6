"""Your own folder: scans or pictures, labels beside some of them.

    ROOT/images/a.nii.gz          a scan: NIfTI, NRRD, or a folder with a DICOM series
    ROOT/images/b/1.png ...       a folder of pictures: the slices of one volume, of any sizes
    ROOT/images/c.png             a picture by itself
    ROOT/labels/a.nii.gz          labels of the same stem, on the grid of the image: NIfTI; NRRD for an NRRD
    ROOT/labels/b/1.png           PNG whose grey or palette values are codes
    ROOT/labels.toml              what the codes mean; needed where there are labels

What has no labels is unlabelled and needs no mask, fake or otherwise. ``labels.toml``:

    [codes]                       # of every value in the labels: the tissues it may be
    0 = ["background", "lung"]
    1 = "ground-glass"
    2 = "consolidation"           # also "infection" (either of the two) and "unknown"

    [pictures]                    # all optional
    window = [-1350, 150]         # HU of black and white; else estimated from the histogram
    orientation = "as-is"         # what turns them until the front is up and the patient's right is on the left
    cropped = true                # they are crops around the lungs; else the lungs are looked for

    [patients]                    # stems of images of one patient; else each is a patient of its own
    a = "patient 1"
    c = "patient 1"

Nothing of a file's or a patient's name reaches the store: cases are called by a keyed hash of their content, as
``groundglass segment`` calls them, and patients by one of their name.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.datasets._case import Asked, Case, Cases
from groundglass.errors import LabelError, ReadError, ScanError, UsageError
from groundglass.io import InputFile, list_files
from groundglass.io import read as read_scan
from groundglass.io.files import hidden, shown
from groundglass.io.image import natural, read_images
from groundglass.io.label_maps import read_codes, read_label_volume
from groundglass.io.reading import kind_of
from groundglass.labels import NOT_LESION, UNKNOWN, Region, Tissue, sets_from_codes
from groundglass.preprocess.orient import Orientation, check_orientation, orient
from groundglass.preprocess.preparation import Intensity
from groundglass.provenance import case_name, content_hash
from groundglass.scan import GreyImage, Notice, Scan

IMAGES, LABELS, TABLE = "images", "labels", "labels.toml"
TISSUES: Final[Mapping[str, Tissue]] = {
    "background": Tissue.BACKGROUND,
    "lung": Tissue.LUNG,
    "ground-glass": Tissue.GROUND_GLASS,
    "consolidation": Tissue.CONSOLIDATION,
    "not-lesion": NOT_LESION,
    "infection": Tissue(Region.INFECTION.value),
    "unknown": UNKNOWN,
}
SAME_PLACE_MM: Final = 0.1  # between a voxel of a scan and of its labels
_SUFFIXES: Final = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Settings:
    """What ``labels.toml`` says, or a command in its stead.

    Attributes:
        codes: what each code may be; empty where nothing is labelled.
        window_hu: HU of black and white of pictures.
        orientation: of pictures.
        cropped: pictures are crops around the lungs.
        patients: stem of an image -> patient.
    """

    codes: Mapping[int, Tissue] = field(default_factory=dict)
    window_hu: tuple[float, float] | None = None
    orientation: Orientation = "as-is"
    cropped: bool = False
    patients: Mapping[str, str] = field(default_factory=dict)


def read(root: Path, asked: Asked) -> Cases:
    """Each scan, picture, or folder of them in ``images`` as a case, in natural order of their names.

    Args:
        root: the folder with ``images``, and ``labels`` where there are some.
        asked: the key of names; an orientation of pictures, in place of what ``labels.toml`` says.

    Raises:
        UsageError: nothing there, or labels that belong to no image.
        ReadError: no ``images``, or a ``labels.toml`` that is none.
        LabelError: labels without a table of codes; (when a case's turn comes) another shape, or an unknown code.
    """
    images, labels = _entries(root / IMAGES), _entries(root / LABELS)
    if not images:
        raise ReadError(
            f"The folder has nothing in {IMAGES}.",
            expected=f"scans or pictures in {IMAGES}, and labels of the same stems in {LABELS}",
            remedy="Put them there.",
        )
    settings = read_settings(root / TABLE)
    if asked.orientation is not None:
        settings = replace(settings, orientation=asked.orientation)
    strange = sorted((set(labels) | set(settings.patients)) - set(images))
    if strange:
        raise UsageError(
            f"{shown(strange[0])} is among the labels or patients, and not among the images.",
            expected=f"an image of the same stem in {IMAGES}",
            remedy="Correct its name.",
        )
    if labels and not settings.codes:
        raise LabelError(
            f"There are labels, and {TABLE} does not say what their codes mean.",
            expected=f'a [codes] table in {TABLE}, for instance 0 = ["background", "lung"] and 1 = "ground-glass"',
            remedy="Write it.",
        )
    loaders = [
        partial(_case, path, labels.get(stem), settings, asked.key, settings.patients.get(stem, f"alone {stem}"))
        for stem, path in sorted(images.items(), key=lambda entry: natural(entry[0]))
    ]
    alone = len(set(images) - set(settings.patients))
    told = Notice(
        f"{alone} of {len(images)} images are taken to be patients of their own: where one patient has several, say so "
        f"under [patients] in {TABLE}, or a split will part them."
    )
    return Cases(tuple(loaders), intensity=_intensity(images, settings), notices=(told,) if alone > 1 else ())


def _intensity(images: Mapping[str, Path], settings: Settings) -> Intensity:
    """Where HU come from: files of their own, or, where some are pictures, what is done to pictures."""
    if not any(
        path.name.lower().endswith((".png", ".jpg", ".jpeg")) or _holds_pictures(path) for path in images.values()
    ):
        return "hu"
    return "calibrated" if settings.window_hu is None else "stated"


def _holds_pictures(path: Path) -> bool:
    return path.is_dir() and any(
        child.suffix.lower() in (".png", ".jpg", ".jpeg") for child in path.iterdir() if not hidden(child.name)
    )


def read_settings(path: Path) -> Settings:
    """What a ``labels.toml`` says; nothing where there is none.

    Raises:
        ReadError: no TOML, or a key or value that is not known.
    """
    if not path.is_file():
        return Settings()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _wrong("It is no TOML.", "a TOML file") from None
    _check_keys(table, ("codes", "pictures", "patients"))
    codes, pictures, patients = (table.get(name, {}) for name in ("codes", "pictures", "patients"))
    for part, known in ((codes, None), (pictures, ("window", "orientation", "cropped")), (patients, None)):
        _check_keys(part, known)
    window = pictures.get("window")
    if window is not None and not (
        isinstance(window, list) and len(window) == 2 and all(isinstance(end, int | float) for end in window)
    ):
        raise _wrong("Its window is not two numbers.", "[BLACK, WHITE] in HU")
    if not isinstance(pictures.get("cropped", False), bool):
        raise _wrong("cropped is neither true nor false.", "true or false")
    return Settings(
        codes={_code(code): _tissue(value) for code, value in codes.items()},
        window_hu=(float(window[0]), float(window[1])) if window else None,
        orientation=check_orientation(str(pictures.get("orientation", "as-is"))),
        cropped=pictures.get("cropped", False),
        patients={str(stem): str(patient) for stem, patient in patients.items()},
    )


def _check_keys(table: Any, known: tuple[str, ...] | None) -> None:
    if not isinstance(table, dict):
        raise _wrong("A table is missing its brackets.", "[codes], [pictures] and [patients], each with entries")
    for key in table:
        if known is not None and key not in known:
            raise _wrong(f"{shown(key)!r} is not known.", f"{', '.join(known)}")


def _code(text: str) -> int:
    if not text.isdecimal():
        raise _wrong(f"The code {shown(text)!r} is no number.", "whole numbers from 0")
    return int(text)


def _tissue(value: Any) -> Tissue:
    """The label set of a word or a list of words."""
    words = value if isinstance(value, list) else [value]
    found = Tissue(0)
    for word in words:
        if word not in TISSUES:
            raise _wrong(f"{shown(str(word))!r} is no tissue.", f"words of {', '.join(TISSUES)}")
        found |= TISSUES[word]
    if not found:
        raise _wrong("A code means no tissue at all.", 'at least one; "unknown" where nothing is known')
    return found


def _wrong(found: str, expected: str) -> ReadError:
    return ReadError(f"{TABLE}: {found}", expected=expected, remedy="Correct it.")


def _entries(folder: Path) -> dict[str, Path]:
    """Stem -> file or folder, of what lies directly in a folder; empty where there is none.

    Raises:
        UsageError: two of one stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if hidden(path.name) or not (path.is_dir() or path.name.lower().endswith(_SUFFIXES)):
            continue
        if _stem(path) in found:
            raise UsageError(
                f"Two entries of {folder.name} are called {shown(_stem(path))}.",
                expected="one of each stem",
                remedy="Rename one.",
            )
        found[_stem(path)] = path
    return found


def _stem(path: Path) -> str:
    if path.is_dir():
        return path.name
    return next(path.name[: -len(suffix)] for suffix in _SUFFIXES if path.name.lower().endswith(suffix))


def _case(path: Path, labels: Path | None, settings: Settings, key: bytes, patient: str) -> Case:
    group = "patient-" + hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:10]
    files = list_files(path).files
    if files and all(kind_of(file) == "image" for file in files):
        ordered = sorted(files, key=lambda file: natural(file.name))
        return _pictures(ordered, labels, settings, key, group)
    scan = read_scan(path)
    if not isinstance(scan, Scan):
        raise ScanError(
            f"{shown(path.name)} holds pictures and other files.",
            expected="a scan, or pictures only",
            remedy="Move the other files away.",
        )
    sets = None if labels is None else sets_from_codes(_codes_on(scan, labels), settings.codes)
    return Case(
        name=case_name(content_hash(scan, key)),
        images=scan,
        labels=None if sets is None else tuple(sets),
        groups=(group,) * len(scan.hu),
        notices=scan.source.notices,
    )


def _pictures(files: list[InputFile], labels: Path | None, settings: Settings, key: bytes, group: str) -> Case:
    pictures = [read_images([file]).grey for file in files]
    digest = hashlib.sha256("".join(content_hash(GreyImage(grey), key) for grey in pictures).encode())
    beside = {} if labels is None else {_stem(Path(file.name)): file for file in list_files(labels).files}
    if labels is not None and labels.is_file():
        beside = {_stem(Path(files[0].name)): next(iter(beside.values()))}
    stems = [_stem(Path(file.name)) for file in files]
    strange = sorted(set(beside) - set(stems))
    if strange:
        raise UsageError(
            f"The labels {shown(strange[0])} have no picture of that name.",
            expected="a picture for each",
            remedy="Correct the name.",
        )
    return Case(
        name=case_name(hmac.new(key, digest.digest(), hashlib.sha256).hexdigest()),
        images=tuple(orient(grey[0], settings.orientation) for grey in pictures),
        labels=tuple(_sets(beside.get(stem), settings) for stem in stems) if beside else None,
        groups=(group,) * len(files),
        cropped=settings.cropped,
        window_hu=settings.window_hu,
    )


def _sets(file: InputFile | None, settings: Settings) -> NDArray[np.uint8] | None:
    return None if file is None else orient(sets_from_codes(read_codes(file), settings.codes), settings.orientation)


def _codes_on(scan: Scan, labels: Path) -> NDArray[np.int64]:
    """The codes of a label volume, ``[z, y, x]``, that lies where the scan does."""
    codes, affine = read_label_volume(labels)
    if codes.shape != scan.hu.shape:
        raise LabelError(
            f"The labels {shown(labels.name)} have {' x '.join(map(str, reversed(codes.shape)))} voxels.",
            expected=f"the scan's {' x '.join(map(str, reversed(scan.hu.shape)))}",
            remedy="Resample them to the grid of the scan.",
        )
    z, y, x = (length - 1 for length in codes.shape)
    corners = np.array([[i, j, k, 1.0] for i in (0, x) for j in (0, y) for k in (0, z)]).T
    if np.abs((affine - scan.affine) @ corners).max() > SAME_PLACE_MM:
        raise LabelError(
            f"The labels {shown(labels.name)} lie elsewhere in space than their scan.",
            expected="the same orientation, spacing and origin",
            remedy="Resample them to the grid of the scan.",
        )
    return codes

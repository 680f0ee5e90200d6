"""What an audit looks at: the slices of a store on the sides of a split, or of two or three folders."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import GroundglassError, ReadError, UsageError
from groundglass.evaluation.audit import AuditItem, Kind, Side, selected_on_test
from groundglass.io import list_files, read
from groundglass.io.files import hidden, shown, unreadable
from groundglass.io.image import natural
from groundglass.io.reading import kind_of
from groundglass.report.figures import WINDOW_HU
from groundglass.scan import Notice, Scan
from groundglass.splits import read_split
from groundglass.store import Store, open_store
from groundglass.store.writer import read_manifest

SIDES: Final[tuple[Side, ...]] = get_args(Side)
_COUNTER: Final = re.compile(r"(im|img|image|pic|picture|slice|frame)?[ _-]?[0-9]+", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"\.(nii(\.gz)?|hdr|nrrd|nhdr|dcm|zip|png|jpe?g)$", re.IGNORECASE)
_BY_NAME: Final = Notice(
    "Whose the pictures are, only their names tell: one name in two folders is taken for one patient, but for names "
    "that only count, such as 12 or slice_12."
)

Sides = Mapping[Side, Sequence[str]]
Advance = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Source:
    """What is audited.

    Attributes:
        name: for a reader, without a path.
        parts: fold, or None for a split without folds -> what reads its slices, one at a time.
        unchecked: kinds that cannot be looked for.
        notices: what a reader has to know.
        settings: of the provenance.
        data: hashes of the provenance.
    """

    name: str
    parts: Mapping[int | None, Callable[[Advance], Iterator[AuditItem]]]
    unchecked: frozenset[Kind]
    notices: tuple[Notice, ...]
    settings: Mapping[str, Any]
    data: Mapping[str, str]


def find_source(paths: Sequence[Path], fold: int | None, record: Mapping[str, Any] | None, names: bool) -> Source:
    """What the paths of a command are.

    Args:
        paths: a store and a split's JSON, or two or three folders.
        fold: the one that is asked for; all if None.
        record: of a model.
        names: call what lies in folders by its names.

    Raises:
        GroundglassError: they are neither, or the split is not of the store.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(
                f"There is nothing at {shown(path.name)}.",
                expected="a store and a split, or folders",
                remedy="Check the path for a misspelling.",
            )
    if len(paths) == 2 and paths[0].is_dir() and paths[1].is_file():
        return _of_store(open_store(paths[0]), paths[1], fold, record)
    if not 2 <= len(paths) <= len(SIDES) or not all(path.is_dir() for path in paths):
        raise UsageError(
            f"{len(paths)} paths that are no store with its split and no two or three folders.",
            expected="STORE SPLIT, or FOLDER FOLDER: to train on, to test on, and perhaps without labels",
            remedy="Give each side in a folder of its own.",
        )
    if any(read_manifest(path) is not None for path in paths):
        raise UsageError(
            "A store among folders.", expected="a store and a split's JSON", remedy="Give the split after the store."
        )
    if fold is not None or record is not None:
        raise UsageError(
            "A fold or a model's record, of folders.",
            expected="them with a store: they name its slices",
            remedy="Leave them out.",
        )
    return _of_folders(paths, names)


def _of_store(store: Store, split: Path, fold: int | None, record: Mapping[str, Any] | None) -> Source:
    sides = _sides(store, split, fold)
    if record is not None and len(sides) > 1:
        raise UsageError(
            f"A model's record for {len(sides)} folds.",
            expected="the fold that the model was trained on: of the others it may have seen anything",
            remedy="Say which: --fold N.",
        )
    unchecked: set[Kind] = {"prior-is-truth"}  # a store holds none
    if record is None or "selected_on" not in record:
        unchecked.add("selected-on-test")
    by_slices, single = None in sides, _single(store)
    what = "a split by slices" if by_slices else f"fold{'s' * (len(sides) > 1)} {', '.join(map(str, sides))}"
    return Source(
        name=f"{store.dataset}, {what}",
        parts={number: partial(_slices, store, ids, single) for number, ids in sides.items()},
        unchecked=frozenset(unchecked),
        notices=tuple(map(Notice, (*_left_out(store, sides), *_unknown(store, record)))),
        settings={"split": "slices" if by_slices else "folds", **({} if fold is None else {"fold": fold})},
        data={"store": store.content},
    )


def _left_out(store: Store, sides: Mapping[int | None, Sides]) -> Iterator[str]:
    if None in sides:  # a fold leaves out what it has to
        left = {info.id for info in store.slices}.difference(*sides[None].values())
        if left:
            yield f"{len(left)} of the store's {len(store)} slices are on no side, and were not looked at."


def _unknown(store: Store, record: Mapping[str, Any] | None) -> Iterator[str]:
    if record is None:
        return
    if "selected_on" not in record:
        yield "The record does not say which slices the model was chosen by."
        return
    known = selected_on_test(record, {info.id for info in store.slices})
    left = len(record["selected_on"]) - len(known)
    if left:
        yield f"{left} of the {len(record['selected_on'])} slices that the model was chosen by are not in the store."


def _sides(store: Store, path: Path, fold: int | None) -> dict[int | None, Sides]:
    """The sides of each fold; under None those of a split by slices."""
    values = read_object(path, "split")
    if "folds" in values:
        split = read_split(path)
        numbers = range(split.folds) if fold is None else (fold,)
        dealt = {number: split.fold(number, store.slices) for number in numbers}
        return {number: {side: getattr(ids, side) for side in SIDES} for number, ids in dealt.items()}
    if fold is not None:
        raise UsageError("A fold of a split by slices.", expected="a split with folds", remedy="Leave --fold out.")
    lists = {name: ids for name, ids in values.items() if isinstance(ids, list)}
    are_names = all(isinstance(name, str) for ids in lists.values() for name in ids)
    if (
        not are_names
        or not set(lists) <= set(SIDES)
        or not lists.get("test")
        or not any(lists.get(side) for side in ("train", "unlabelled"))
    ):
        raise ReadError(
            f"The split lists {', '.join(map(shown, lists)) or 'nothing'}, or what it lists are no ids.",
            expected='{"train": [id, ...], "test": [id, ...], "unlabelled": [id, ...]}, or folds of groundglass',
            remedy="Write it so; what a model is chosen by belongs to train here.",
        )
    return {None: {side: lists.get(side, []) for side in SIDES}}


def _slices(store: Store, sides: Sides, single: Collection[str], advance: Advance) -> Iterator[AuditItem]:
    numbers = [(side, store.number(name)) for side in SIDES for name in sides[side]]
    for done, (side, number) in enumerate(numbers, 1):
        info = store.slices[number]
        yield AuditItem(
            id=info.id,
            group=info.group,
            series=None if info.case in single else info.case,
            side=side,
            image=_in_window(store.image(number), store.preparation.window_hu),
            labels=store.label_set(number),
        )
        advance(done / len(numbers))


def _single(store: Store) -> frozenset[str]:
    """Cases that are no volume: of one slice, or of pictures that each have a window of their own."""
    windows = defaultdict[str, list[Any]](list)
    for info in store.slices:
        windows[info.case].append((info.black_hu, info.white_hu, info.how) if info.source == "picture" else None)
    return frozenset(case for case, found in windows.items() if len(found) == 1 or len(set(found)) > 1)


def _of_folders(folders: Sequence[Path], names: bool) -> Source:
    sides, notices = [], [_BY_NAME]
    for number, folder in enumerate(folders, 1):
        entries, others = _entries(folder, number)
        sides.append(entries)
        if others:
            text = f"Left out of folder {number}, for they are no pictures and no scans: {len(others)}."
            notices.append(Notice(text, others))
    return Source(
        name=f"{len(folders)} folders",
        parts={None: partial(_pictures, sides, names)},
        unchecked=frozenset({"same-item", "same-series", "labels-on-unlabelled", "prior-is-truth", "selected-on-test"}),
        notices=tuple(notices),
        settings={"split": "folders"},
        data={},
    )


def _entries(folder: Path, number: int) -> tuple[list[Path], tuple[str, ...]]:
    """What is a picture or a scan in a folder, in natural order of the names; and the names of what is not."""
    try:
        paths = sorted(
            (path for path in folder.iterdir() if not hidden(path.name)), key=lambda path: natural(path.name)
        )
    except OSError:
        raise unreadable(folder.name) from None
    found = [path for path in paths if any(kind_of(file) != "other" for file in list_files(path).files)]
    if not found:
        raise UsageError(
            f"Folder {number} holds no picture and no scan.",
            expected="PNG, JPG, NIfTI, NRRD, and folders or zips of DICOM or pictures",
            remedy="Give the folder that holds them.",
        )
    return found, tuple(path.name for path in paths if path not in found)


def _pictures(sides: Sequence[Sequence[Path]], names: bool, advance: Advance) -> Iterator[AuditItem]:
    """The slices of folders; an entry is read when its turn comes."""
    total, done = sum(map(len, sides)), 0
    groups: dict[str, str] = {}
    for number, (side, paths) in enumerate(zip(SIDES, sides, strict=False), 1):
        for place, path in enumerate(paths, 1):
            yield from _of_entry(path, f"folder {number}", None if names else place, side, groups)
            done += 1
            advance(done / total)


def _of_entry(path: Path, folder: str, place: int | None, side: Side, groups: dict[str, str]) -> Iterator[AuditItem]:
    planes = _planes(path)
    one = len(planes) == 1
    called = f"{folder}, {shown(path.name)}" if place is None else f"{folder}, {'picture' if one else 'scan'} {place}"
    stem = _SUFFIX.sub("", path.name)
    # a group is called by the entry that was met first: its name may be a person's
    group = called if _COUNTER.fullmatch(stem) else groups.setdefault(stem, called)
    for z, plane in enumerate(planes, 1):
        yield AuditItem(
            id=called if one else f"{called}, slice {z}",
            group=group,
            series=None if one else called,
            side=side,
            image=plane if plane.dtype == np.uint8 else _in_window(plane, WINDOW_HU),
        )


def _planes(path: Path) -> NDArray[Any]:
    try:
        found = read(path)
    except GroundglassError as error:
        raise type(error)(f"{shown(path.name)}: {error.found}", expected=error.expected, remedy=error.remedy) from None
    return found.hu if isinstance(found, Scan) else found.grey


def _in_window(hu: NDArray[Any], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """HU as [0, 1]."""
    black, white = window_hu
    cut: NDArray[np.float32] = np.clip(hu.astype(np.float32), np.float32(black), np.float32(white))
    return (cut - np.float32(black)) / np.float32(white - black)


def read_object(path: Path, what: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        ReadError: it is none; ``what`` says of what.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError):
        raise ReadError(f"The {what} cannot be read.", expected="a JSON object", remedy="Write it again.") from None
    return values

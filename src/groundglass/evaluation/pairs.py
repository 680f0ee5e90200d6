"""Predictions and truths that belong together, by their names, read one pair at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.io.files import shown
from groundglass.io.label_maps import read_label_map, read_map, spacing_of
from groundglass.labels import Tissue, sets_from_codes
from groundglass.store import Store, open_store
from groundglass.store.writer import MANIFEST

SUFFIXES: Final = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".png")
DEFAULT_CODES: Final = "0=background,1=lung,2=ground_glass,3=consolidation"
Table = Mapping[int, Tissue]


@dataclass(frozen=True, eq=False)
class Pair:
    """A prediction and its truth on the truth's grid, ``[z, y, x]``.

    Attributes:
        name: that both files have.
        group: the patient.
        truth: label sets.
        labels: predicted label sets, or None where the prediction is a map.
        scores: predicted map in [0, 1], float32, or None.
        spacing_mm: of (z, y, x); None for pictures.
        resized: whether the prediction had another size.
    """

    name: str
    group: str
    truth: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    scores: NDArray[np.float32] | None
    spacing_mm: tuple[float, float, float] | None
    resized: bool = False


@dataclass(frozen=True)
class Source:
    """Where pairs come from and what their codes mean.

    Attributes:
        predictions: a folder of label maps or maps, or one.
        truth: the same, of label maps, with the same stems; or a prepared store, whose slice ``case/3`` is met by
            ``case_3.png``.
        codes: what the predictions' codes mean.
        truth_codes: what the truth's codes mean; those of a store are sets already.
        maps: whether predictions are maps.
        groups: name -> patient; None: each is one.
        resize: whether predictions of another size are brought to the truth's.
    """

    predictions: Path
    truth: Path
    codes: Table
    truth_codes: Table
    maps: bool = False
    groups: Mapping[str, str] | None = None
    resize: bool = True

    def pairs(self) -> Iterator[Pair]:
        """The pairs, in order of their names.

        Raises:
            UsageError: nothing there, partners missing, a name that two files have, or one without a group.
            ReadError, LabelError: (when its turn comes) damaged, other sizes, unknown codes.
        """
        if is_store(self.truth):
            return self._pairs_of_store(open_store(self.truth))
        partners = _partners(label_maps(self.predictions), label_maps(self.truth))
        self._require_groups(partners)
        return (self._pair(name, *files) for name, files in partners.items())

    def _require_groups(self, names: Iterable[str]) -> None:
        lonely = sorted(set(names) - set(self.groups)) if self.groups is not None else []
        if lonely:
            raise UsageError(
                f"{len(lonely)} images have no group, the first is {shown(lonely[0])}.",
                expected="a row for each",
                remedy="Add them to the table of groups.",
            )

    def _pairs_of_store(self, store: Store) -> Iterator[Pair]:
        """The labelled slices that are predicted; a patient is the store's group unless a table says otherwise."""
        numbers = {store.slices[number].id.replace("/", "_"): number for number in store.labelled}
        found = label_maps(self.predictions)
        strange = sorted(set(found) - set(numbers))
        if strange:
            raise UsageError(
                f"{len(strange)} predictions are of no labelled slice of the store, the first is {shown(strange[0])}.",
                expected="CASE_SLICE.png, as the store's index has CASE/SLICE",
                remedy="Rename them.",
            )
        self._require_groups(found)
        for name, file in found.items():
            info, sets = store.slices[numbers[name]], store.label_set(numbers[name])
            if sets is not None:
                group = info.group if self.groups is None else self.groups[name]
                yield self._with_truth(name, group, file, sets[None], info.spacing_mm)

    def _pair(self, name: str, found: Path, true: Path) -> Pair:
        truth = _named(name, lambda: sets_from_codes(read_label_map(true), self.truth_codes))
        group = self.groups[name] if self.groups is not None else name
        return self._with_truth(name, group, found, truth, spacing_of(true))

    def _with_truth(
        self,
        name: str,
        group: str,
        found: Path,
        truth: NDArray[np.uint8],
        spacing_mm: tuple[float, float, float] | None,
    ) -> Pair:
        if self.maps:
            values: NDArray[Any] = read_map(found)
        else:
            values = _named(name, lambda: sets_from_codes(read_label_map(found), self.codes))
        resized = values.shape != truth.shape
        if resized:
            self._check_size(name, values.shape, truth.shape)
            values = np.stack([_resized(plane, truth.shape[1:]) for plane in values])
        return Pair(
            name=name,
            group=group,
            truth=truth,
            labels=None if self.maps else values,
            scores=values if self.maps else None,
            spacing_mm=spacing_mm,
            resized=resized,
        )

    def _check_size(self, name: str, found: tuple[int, ...], true: tuple[int, ...]) -> None:
        if self.resize and found[0] == true[0]:
            return
        raise LabelError(
            f"{shown(name)}: the prediction has shape {found}, the truth {true}.",
            expected="the same grid" if found[0] == true[0] else "as many slices",
            remedy="Resample one of them to the other's grid first.",
        )


def is_store(path: Path) -> bool:
    """Whether a folder is a prepared store."""
    return (path / MANIFEST).is_file()


def truth_table(path: Path, codes: Table) -> Table:
    """What the truth's codes mean: as stated, or the label sets that occur in a store."""
    if not is_store(path):
        return codes
    return {value: Tissue(value) for info in open_store(path).slices for value in info.sets}


def parse_codes(text: str) -> Table:
    """``0=background|lung,1=ground_glass`` as a table from code to tissues.

    Raises:
        UsageError: an entry that says no code's meaning.
    """
    table: dict[int, Tissue] = {}
    for entry in text.split(","):
        code, _, names = entry.partition("=")
        try:
            tissue = Tissue(0)
            for name in names.split("|"):
                tissue |= Tissue[name.strip().upper().replace("-", "_")]
            table[int(code)] = tissue
        except (KeyError, ValueError):
            raise UsageError(
                f"{entry.strip()!r} says no code's meaning.",
                expected=f"CODE=TISSUE|TISSUE with {', '.join(t.name.lower() for t in Tissue if t.name)}",
                remedy=f"For instance: {DEFAULT_CODES}",
            ) from None
    return table


def read_groups(path: Path) -> Mapping[str, str]:
    """Name -> group, of a CSV with a header whose first two columns are these.

    Raises:
        UsageError: it is not there.
        ReadError: no such table, or a name with two groups.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row[:2] for row in csv.reader(stream) if row][1:]
        groups = {name.strip(): group.strip() for name, group in rows}
        if len(groups) != len({tuple(row) for row in rows}) or not groups:
            raise ValueError("a name with two groups, or nothing")
    except FileNotFoundError:
        raise UsageError(
            f"There is no table of groups called {path.name}.", expected="a CSV", remedy="Check its path."
        ) from None
    except (OSError, ValueError, UnicodeDecodeError, csv.Error):
        raise ReadError(
            f"{path.name} is no table of groups.",
            expected="a CSV with a header and two columns, name and group, a name once",
            remedy="Correct it.",
        ) from None
    return groups


def label_maps(path: Path) -> dict[str, Path]:
    """Label maps of a folder by their stems, or the one that is given.

    Raises:
        UsageError: nothing there, or two of one stem.
    """
    if not path.exists():
        raise UsageError(
            f"There is nothing at {path.name}.", expected="a label map or a folder of them", remedy="Check the path."
        )
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    maps: dict[str, Path] = {}
    for file in files:
        stem = next((file.name.removesuffix(end) for end in SUFFIXES if file.name.endswith(end)), file.stem)
        if stem in maps:
            raise UsageError(
                f"Two label maps are called {shown(stem)}.", expected="one of each name", remedy="Remove one of them."
            )
        maps[stem] = file
    if not maps:
        raise UsageError(
            f"There is no label map in {path.name}.",
            expected=f"files that end in {', '.join(SUFFIXES)}",
            remedy="Check the folder.",
        )
    return maps


def _partners(found: Mapping[str, Path], true: Mapping[str, Path]) -> dict[str, tuple[Path, Path]]:
    if len(found) == len(true) == 1:
        return {next(iter(true)): (next(iter(found.values())), next(iter(true.values())))}
    lonely = sorted(found.keys() ^ true.keys())
    if lonely:
        raise UsageError(
            f"{len(lonely)} label maps have no partner, the first is {shown(lonely[0])}.",
            expected="the same stems in both folders",
            remedy="Add what is missing, or leave the others out.",
        )
    return {stem: (found[stem], true[stem]) for stem in sorted(true)}


def _named(name: str, read: Any) -> NDArray[np.uint8]:
    try:
        sets: NDArray[np.uint8] = read()
    except LabelError as error:
        raise LabelError(f"{shown(name)}: {error.found}", expected=error.expected, remedy=error.remedy) from None
    return sets


def _resized(plane: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """A map bilinear, label sets by the nearest pixel's centre, (H, W)."""
    if plane.dtype == np.uint8:
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(np.intp) for new, old in zip(shape, plane.shape, strict=True)
        )
        return plane[np.ix_(rows, columns)]
    picture = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)).clip(0, 1)

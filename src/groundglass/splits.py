"""Splits by group: folds that part no patient, seeded, in a JSON that knows what it was made for.

Only labelled slices are dealt to folds. An unlabelled slice belongs to none, but where its group is tested it must not
be trained on either: a picture of a test patient is a leak even without its label.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from groundglass.errors import ReadError, UsageError

FORMAT: Final = 1
_REMEDY: Final = "Make the split again, or take the store that it was made for."


class Item(Protocol):
    """A slice, as far as a split sees it; `groundglass.store.SliceInfo` is one."""

    @property
    def id(self) -> str:
        """Unique in its data set."""

    @property
    def group(self) -> str:
        """What is kept together."""

    @property
    def hash(self) -> str:
        """Of its content."""

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""


@dataclass(frozen=True)
class Fold:
    """Ids of slices, in the order of the store.

    Attributes:
        train: labelled, to train on.
        test: labelled, of other groups.
        unlabelled: of no group that is tested.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    unlabelled: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Which fold tests which labelled group.

    Attributes:
        seed: that it was drawn with.
        folds: how many.
        fold_of_group: for each labelled group the fold in which it is tested.
        hashes: id of each labelled slice -> hash of its content; None where a split is shared by its groups alone.
    """

    seed: int
    folds: int
    fold_of_group: Mapping[str, int]
    hashes: Mapping[str, str] | None

    def fold(self, number: int, items: Sequence[Item]) -> Fold:
        """The slices of a fold, of the store that the split was made for.

        Raises:
            UsageError: no such fold.
            ReadError: labelled slices were added, removed, changed, or put into other groups.
        """
        if not 0 <= number < self.folds:
            raise UsageError(
                f"There is no fold {number}.", expected=f"0 to {self.folds - 1}", remedy="Choose one of these."
            )
        self._check(items)
        tested = {group for group, fold in self.fold_of_group.items() if fold == number}
        return Fold(
            train=tuple(item.id for item in items if item.labelled and item.group not in tested),
            test=tuple(item.id for item in items if item.labelled and item.group in tested),
            unlabelled=tuple(item.id for item in items if not item.labelled and item.group not in tested),
        )

    def _check(self, items: Sequence[Item]) -> None:
        now = {item.id: item.hash for item in items if item.labelled}
        made_for = now if self.hashes is None else self.hashes
        odd = [name for name in {**made_for, **now} if made_for.get(name) != now.get(name)]
        if odd:
            what = "was changed" if odd[0] in now and odd[0] in made_for else "was added or removed"
            raise ReadError(
                f"The store is not the one that the split was made for: {len(odd)} labelled slices differ "
                f"({odd[0]} {what}).",
                expected="the same slices with the same content",
                remedy=_REMEDY,
            )
        strange = sorted({item.group for item in items if item.labelled} ^ set(self.fold_of_group))
        if strange:
            raise ReadError(
                f"The store is not the one that the split was made for: the group {strange[0]} is not in both.",
                expected="the same groups",
                remedy=_REMEDY,
            )


def make_folds(items: Iterable[Item], folds: int, seed: int) -> Split:
    """Deal the labelled groups to folds of nearly equal numbers of slices.

    Groups are shuffled, then dealt from the largest to the smallest, each to the fold with the fewest slices.

    Raises:
        UsageError: fewer than two folds, or fewer labelled groups than folds: a fold would have no labelled slice.
    """
    labelled = [item for item in items if item.labelled]
    sizes = Counter(item.group for item in labelled)
    if folds < 2 or len(sizes) < folds:
        raise UsageError(
            f"{len(sizes)} labelled groups for {folds} folds.",
            expected="at least two folds, and a labelled group for each",
            remedy="Ask for fewer folds, or label slices of more patients.",
        )
    groups = sorted(sizes)
    shuffled = [groups[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    dealt = [0] * folds
    fold_of_group: dict[str, int] = {}
    for group in sorted(shuffled, key=lambda group: -sizes[group]):
        fewest = dealt.index(min(dealt))
        fold_of_group[group] = fewest
        dealt[fewest] += sizes[group]
    return Split(seed, folds, dict(sorted(fold_of_group.items())), {item.id: item.hash for item in labelled})


def as_json(split: Split) -> str:
    """The text of a split's file."""
    return json.dumps({"format": FORMAT, **asdict(split)}, indent=2) + "\n"


def read_split(path: Path) -> Split:
    """Read a split.

    Raises:
        ReadError: it is not there, damaged, or of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError("another version")
        fold_of_group = {str(group): int(fold) for group, fold in values["fold_of_group"].items()}
        made_for = values.get("hashes")
        folds = int(values["folds"])
        if not all(0 <= fold < folds for fold in fold_of_group.values()):
            raise ValueError("a fold that there is none of")
        hashes = None if made_for is None else {str(name): str(value) for name, value in made_for.items()}
        return Split(int(values["seed"]), folds, fold_of_group, hashes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ReadError(
            "The split cannot be read.",
            expected=f"a JSON of format {FORMAT} that groundglass wrote",
            remedy="Make it again.",
        ) from None

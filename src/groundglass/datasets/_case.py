"""What a reader yields: images, the label sets that belong to them, and who must not be parted in a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, ScanError, UsageError
from groundglass.labels import check_label_sets
from groundglass.preprocess.orient import Orientation
from groundglass.preprocess.preparation import Intensity
from groundglass.scan import Notice, Scan

_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
LONGEST_NAME: Final = 64

Pictures = tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A volume, or a collection of pictures that are kept together.

    Attributes:
        name: unique in its data set, fit for a folder; a publisher's public name or a keyed hash, never a person's.
        images: a scan, or pictures (y, x) of any sizes, uint8, already in radiological orientation as far as known.
        labels: for each slice its label sets, uint8 (y, x), or None for one without; None where none has any.
        groups: for each slice its patient, or its group of near-duplicates: what a split keeps together.
        slices: for each slice its name in the case; by default its number from 1 (for a scan feet to head).
        positions: for each slice its place in the volume; by default its number from 1.
        one_volume: pictures that share one window; else each was drawn with its own.
        cropped: pictures that are crops around the lungs already.
        window_hu: HU of black and white of pictures, where they are known.
        fallback_hu: the same, to be taken only where the histogram does not tell.
        tags: for each slice what else is known of it: words, no free text.
        notices: what a reader of the result has to know.

    Raises:
        ScanError: no picture, or lists of different lengths.
        LabelError: labels of another shape than their slice, or what is no label set.
    """

    name: str
    images: Scan | Pictures
    labels: tuple[NDArray[np.uint8] | None, ...] | None
    groups: tuple[str, ...]
    slices: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()
    one_volume: bool = True
    cropped: bool = False
    window_hu: tuple[float, float] | None = None
    fallback_hu: tuple[float, float] | None = None
    tags: tuple[Mapping[str, str], ...] = ()
    notices: tuple[Notice, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        numbers = range(1, len(self) + 1)
        object.__setattr__(self, "slices", self.slices or tuple(f"{number:04d}" for number in numbers))
        object.__setattr__(self, "positions", self.positions or tuple(numbers))
        object.__setattr__(self, "tags", self.tags or ({},) * len(self))
        lists: tuple[tuple[Any, ...], ...] = (self.groups, self.slices, self.positions, self.tags)
        if not len(self) or any(len(given) != len(self) for given in (*lists, self.labels or self.groups)):
            raise ScanError(
                f"A case of {len(self)} slices whose lists have other lengths.",
                expected="at least one slice, and one entry for each",
                remedy="Correct the reader of the data set.",
            )
        if not all(map(_is_name, (self.name, *self.slices))) or len(set(self.slices)) != len(self):
            raise ScanError(
                "A case or slice has a name that is no folder's, or two slices share one.",
                expected=f"1 to {LONGEST_NAME} plain letters, digits, dots, dashes and underscores",
                remedy="Correct the reader of the data set.",
            )
        for plane, sets, name in zip(self.planes, self.labels or (), self.slices, strict=False):
            if sets is not None:
                _check_labels(plane.shape, sets, name)

    def __len__(self) -> int:
        return len(self.planes)

    @property
    def planes(self) -> Pictures | NDArray[np.int16] | NDArray[np.float32]:
        """The slices, whatever they are: (y, x) each."""
        return self.images.hu if isinstance(self.images, Scan) else self.images

    def digest(self) -> str:
        """A hash of everything in the case: the same content is prepared to the same bytes."""
        text = repr((self.name, self.groups, self.slices, self.positions, [sorted(tags.items()) for tags in self.tags]))
        settings = repr((self.one_volume, self.cropped, self.window_hu, self.fallback_hu))
        digest = hashlib.blake2b(f"{text} {settings}".encode(), digest_size=16)
        if isinstance(self.images, Scan):
            digest.update(self.images.affine.tobytes())
        for plane in (*self.planes, *(self.labels or ())):
            digest.update(b"none" if plane is None else f"{plane.shape} {plane.dtype}".encode() + plane.tobytes())
        return digest.hexdigest()


def _check_labels(shape: tuple[int, ...], sets: NDArray[np.uint8], name: str) -> None:
    if sets.shape != shape:
        raise LabelError(
            f"Slice {name} has {shape[1]} x {shape[0]} pixels and its labels {_size(sets.shape)}.",
            expected="labels of their slice's own size",
            remedy="Give labels on the grid of the image.",
        )
    check_label_sets(sets)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in reversed(shape))


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and set(name) <= _NAME_CHARACTERS and name[0] not in ".-"


@dataclass(frozen=True)
class Asked:
    """What a command says to a reader.

    Attributes:
        key: of the hashes that cases and patients of a user's own data are called by.
        orientation: of pictures whose reader does not know how they lie.
    """

    key: bytes = b""
    orientation: Orientation | None = None


def refuse_orientation(asked: Asked | None) -> None:
    """Raise UsageError where an orientation is asked of a reader that knows better."""
    if asked is not None and asked.orientation is not None:
        raise UsageError(
            "An orientation was given for a data set whose reader knows how its images lie.",
            expected="an orientation for a folder of your own",
            remedy="Leave it out.",
        )


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of a data set: each is read only when its turn comes.

    Attributes:
        loaders: one for each case, in an order that is always the same.
        public: the names and images are published ones; else hashes of them are keyed.
        intensity: where HU of the set come from.
        notices: what was found in the folder as a whole.
    """

    loaders: tuple[Callable[[], Case], ...]
    public: bool = False
    intensity: Intensity = "hu"
    notices: tuple[Notice, ...] = ()

    def __len__(self) -> int:
        return len(self.loaders)

    def __iter__(self) -> Iterator[Case]:
        return (load() for load in self.loaders)

"""What a data set's folder holds, counted through its reader, and how that differs from its publisher's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from groundglass.datasets._case import Case, Cases
from groundglass.datasets._catalogue import Card
from groundglass.errors import GroundglassError
from groundglass.labels import Tissue
from groundglass.scan import Notice

_WORDS: Final = {tissue: (tissue.name or "").lower().replace("_", "-") for tissue in Tissue}


@dataclass
class Found:
    """What was found; counts grow while cases are read, and nothing of a case is kept.

    Attributes:
        cases: that could be read.
        slices: of them.
        labelled: slices with labels.
        without_partner: slices without labels in cases where others have some.
        groups: patients, or groups of near-duplicates.
        sizes: (width, height) in pixels -> slices.
        pixels: label set -> pixels of labelled slices.
        slices_with: label set -> slices that hold it.
        problems: what could not be read, a line each.
        notices: of the reader, each once.
    """

    cases: int = 0
    slices: int = 0
    labelled: int = 0
    without_partner: int = 0
    groups: set[str] = field(default_factory=set)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    slices_with: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    notices: dict[str, Notice] = field(default_factory=dict)

    @property
    def shares(self) -> Mapping[int, float]:
        """Label set -> its share of the pixels of labelled slices, ascending by set."""
        total = sum(self.pixels.values())
        return {value: self.pixels[value] / total for value in sorted(self.pixels)}


def survey(
    cases: Cases, progress: Callable[[float], None] = lambda _: None, look: Callable[[Case], None] = lambda _: None
) -> Found:
    """Read every case once and count; one that cannot be read is told of, and the others are read all the same.

    Args:
        cases: what a reader gave.
        progress: is called with the share done, from 0 to 1.
        look: is called with each case.
    """
    found, names = Found(notices={notice.text: notice for notice in cases.notices}), set[str]()
    for number, load in enumerate(cases.loaders, start=1):
        try:
            case = load()
        except GroundglassError as error:
            found.problems.append(f"case {number} of {len(cases)}: {error.found}")
        else:
            if case.name in names:
                found.problems.append(f"{case.name} is there twice")
            names.add(case.name)
            _count(case, found)
            look(case)
        progress(number / len(cases))
    return found


def _count(case: Case, found: Found) -> None:
    found.cases += 1
    found.slices += len(case)
    found.groups.update(case.groups)
    found.notices.update({notice.text: notice for notice in case.notices})
    found.sizes.update((plane.shape[1], plane.shape[0]) for plane in case.planes)
    known = [sets for sets in case.labels or () if sets is not None]
    found.labelled += len(known)
    found.without_partner += len(case) - len(known) if known else 0
    for sets in known:
        counts = np.bincount(sets.ravel(), minlength=16)
        held = [int(value) for value in np.flatnonzero(counts)]
        found.slices_with.update(held)
        found.pixels.update({value: int(counts[value]) for value in held})


def differences(found: Found, card: Card) -> tuple[str, ...]:
    """Where what was found is not what a publisher says, a line each."""
    told = (
        ("cases", found.cases, card.cases),
        ("slices", found.slices, card.slices),
        ("labelled slices", found.labelled, card.labelled),
        ("patients", len(found.groups), card.groups),
    )
    strange = [] if card.sets is None else sorted(set(found.pixels) - set(card.sets))
    return (
        *(f"{count} {what}, by the card {said}" for what, count, said in told if said is not None and said != count),
        *(f"labels that the card does not know: {set_name(value)}" for value in strange),
    )


def tissues_of(value: int) -> tuple[str, ...]:
    """The tissues of a label set in words: ``("background", "lung")`` for 3."""
    return tuple(word for tissue, word in _WORDS.items() if value & tissue)


def set_name(value: int) -> str:
    """A label set in words: ``background or lung`` for 3, ``unknown`` for 15."""
    return "unknown" if value == 15 else " or ".join(tissues_of(value))


def report(found: Found) -> Iterator[str]:
    """What was found, in lines."""
    yield f"{found.cases} cases, {found.slices} slices, {len(found.groups)} patients (or groups of near-duplicates)"
    yield f"{found.labelled} slices with labels, {found.slices - found.labelled} without"
    if found.without_partner:
        yield f"{found.without_partner} slices have no labels though others of their case do"
    yield f"sizes: {_sizes(found.sizes)}"
    for value, share in found.shares.items():
        yield f"{set_name(value)}: {share:.2%} of the labelled pixels, in {found.slices_with[value]} slices"
    for problem in found.problems:
        yield f"problem: {problem}"


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    if not sizes:
        return "none"
    if len(sizes) <= 3:
        return ", ".join(f"{width} x {height} ({count})" for (width, height), count in sizes.most_common())
    (least, _), (most, _) = min(sizes), max(sizes)
    low, high = min(height for _, height in sizes), max(height for _, height in sizes)
    return f"{len(sizes)} different, {least} to {most} pixels wide and {low} to {high} high"

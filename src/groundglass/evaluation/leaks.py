"""What two sides of a split can share, each sort of leak a function over the slices of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from groundglass.evaluation.near_duplicates import Match, Views, alike, near_duplicates

Side = Literal["train", "test", "unlabelled"]
Kind = Literal[
    "same-item",
    "same-group",
    "same-series",
    "identical",
    "near-duplicate",
    "labels-on-unlabelled",
    "prior-is-truth",
    "selected-on-test",
    "alike",
]
PRIOR_IS_TRUTH: Final = 0.99  # of the lesion pixels; ours: outlines that were drawn twice differ in more


@dataclass(frozen=True)
class Finding:
    """Something that two sides share, or that should not be there.

    Attributes:
        kind: of what sort.
        items: ids of the slices it is about.
        sides: that they are on, in the order of ``Side``.
        score: for ``near-duplicate`` and ``alike`` a correlation (`near_duplicates`, `alike`), for ``prior-is-truth``
            the least share of agreeing pixels; else None.
        text: a sentence.
    """

    kind: Kind
    items: tuple[str, ...]
    sides: tuple[Side, ...]
    score: float | None
    text: str


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of a slice: 16 or 32 kB.

    Attributes:
        id: in its data set.
        group: patient.
        series: volume; None for a single slice.
        side: of the split.
        digest: of the image's content; None where it shows nothing, for all such are identical.
        views: of the image.
        labelled: whether labels that say anything come with it.
        agreement: of its prior with its truth; None without both, or without a lesion.
    """

    id: str
    group: str
    series: str | None
    side: Side
    digest: bytes | None
    views: Views
    labelled: bool
    agreement: float | None


def same_items(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Ids that the test side shares with another."""
    return _shared(seen, "same-item", "Slice", lambda one: one.id)


def same_groups(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Groups that the test side shares with another."""
    return _shared(seen, "same-group", "Group", lambda one: one.group)


def same_series(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Series on both sides that no group gives away: one patient's slices that were given several groups."""
    groups = defaultdict[str | None, set[str]](set)
    for one in seen:
        groups[one.series].add(one.group)
    return _shared(seen, "same-series", "Series", lambda one: one.series if len(groups[one.series]) > 1 else None)


def same_pictures(tested: Sequence[Seen], others: Sequence[Seen]) -> Iterator[Finding]:
    """Identical, near-duplicate and alike pairs; each pair once, as the first of these that it is."""
    told = set[tuple[int, int]]()
    places = defaultdict[bytes | None, list[int]](list)
    for place, other in enumerate(others):
        places[other.digest].append(place)
    for first, one in enumerate(tested):
        for second in places[one.digest] if one.digest else ():
            told.add((first, second))
            yield _pair("identical", one, others[second], None, "are the same picture")
    sides = [one.views for one in tested], [one.views for one in others]
    for match in near_duplicates(*sides):
        if (match.first, match.second) not in told:
            told.add((match.first, match.second))
            yield _matched("near-duplicate", match, tested, others, "are nearly one picture: correlation of detail")
    for match in alike(*sides):
        one, other = tested[match.first], others[match.second]
        # among the hundreds of slices of two volumes some always look alike, be they strangers'
        if (match.first, match.second) not in told and (one.series is None or other.series is None):
            yield _matched("alike", match, tested, others, "look alike and may be one patient's: correlation")


def labelled_unlabelled(seen: Sequence[Seen]) -> Iterator[Finding]:
    """A finding if labels come with slices of the unlabelled side, be they of background only."""
    ones = [one for one in seen if one.side == "unlabelled" and one.labelled]
    if ones:
        text = f"Slices of the unlabelled side that come with labels: {len(ones)}."
        yield Finding("labels-on-unlabelled", _ids(ones), ("unlabelled",), None, text)


def priors_of_truth(seen: Sequence[Seen]) -> Iterator[Finding]:
    """A finding for each side on which priors are the truth."""
    for side in get_args(Side):
        ones = [one for one in seen if one.side == side and (one.agreement or 0) >= PRIOR_IS_TRUTH]
        if ones:
            least = min(one.agreement or 0 for one in ones)
            text = f"Priors that are the truth, in {side}: {len(ones)}, in {least:.1%} of lesion pixels or more."
            yield Finding("prior-is-truth", _ids(ones), (side,), least, text)


def selected(ids: tuple[str, ...]) -> Iterator[Finding]:
    """A finding if a model was chosen by slices of the test side."""
    if ids:
        text = f"Slices of the test side that the model was chosen by: {len(ids)}."
        yield Finding("selected-on-test", ids, ("test",), None, text)


def _shared(seen: Sequence[Seen], kind: Kind, what: str, key: Callable[[Seen], str | None]) -> Iterator[Finding]:
    """A finding for each name that slices of the test side and of another have in common."""
    named = defaultdict[str, list[Seen]](list)
    for one in seen:
        name = key(one)
        if name is not None:
            named[name].append(one)
    for name, ones in named.items():
        sides = _sides(ones)
        if "test" in sides and len(sides) > 1:
            numbers = ", ".join(f"{sum(one.side == side for one in ones)} in {side}" for side in sides)
            yield Finding(kind, _ids(ones), sides, None, f"{what} {name} is on several sides: {numbers}.")


def _matched(kind: Kind, match: Match, tested: Sequence[Seen], others: Sequence[Seen], text: str) -> Finding:
    turned = "" if match.orientation == "as-is" else f" ({match.orientation})"
    pair = tested[match.first], others[match.second]
    return _pair(kind, *pair, match.score, f"{text} {match.score:.2f}{turned}")


def _pair(kind: Kind, one: Seen, other: Seen, score: float | None, text: str) -> Finding:
    sentence = f"{one.id} ({one.side}) and {other.id} ({other.side}) {text}."
    return Finding(kind, (one.id, other.id), _sides([one, other]), score, sentence)


def _sides(ones: Iterable[Seen]) -> tuple[Side, ...]:
    present = {one.side for one in ones}
    return tuple(side for side in get_args(Side) if side in present)


def _ids(ones: Iterable[Seen]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.id for one in ones))

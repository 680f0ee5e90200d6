"""An audit as a table, a JSON and a page: what was looked for, what was found, likely pairs side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from groundglass.evaluation.audit import Audit, Finding, Kind, Side
from groundglass.preprocess.orient import Orientation
from groundglass.provenance import Provenance
from groundglass.report import tables, words
from groundglass.report.figures import data_uri
from groundglass.report.frame import page
from groundglass.scan import Notice

HINT: Final[Kind] = "alike"
MOST_SHOWN: Final = 60  # of what is listed, and of pairs
MOST_NAMED: Final = 12  # slices of a finding
LONGEST: Final = 160  # side of a small picture, in pixels
PICTURED: Final[Mapping[Kind, tuple[str, str]]] = {  # a title, and what the score is
    "identical": ("The same picture", ""),
    "near-duplicate": ("Nearly the same picture", "correlation of detail"),
    "alike": ("Alike (a hint)", "correlation as framed"),
}
MEANING: Final[Mapping[Kind, str]] = {
    "same-item": "The same slice on the test side and another.",
    "same-group": "Slices of one patient, or of what is kept together, on the test side and another.",
    "same-series": "Slices of one volume on the test side and another, where groups do not give it away.",
    "identical": "The same picture under two names.",
    "near-duplicate": "The same slice or the next one, turned, mirrored, cropped or windowed otherwise.",
    "labels-on-unlabelled": "Slices of the unlabelled side that come with labels.",
    "prior-is-truth": "A prior, such as another network's answer, that is the true label.",
    "selected-on-test": "Slices of the test side that a model's settings or checkpoint were chosen by.",
    "alike": "Single slices that look alike and may be one patient's: a hint, no leak.",
}
TURNED: Final[Mapping[Orientation, str]] = {
    "turn-90": "one turned by a quarter",
    "turn-180": "one turned upside down",
    "turn-270": "one turned by a quarter",
    "flip-left-right": "one mirrored left to right",
    "flip-up-down": "one mirrored top to bottom",
    "transpose": "one mirrored and turned by a quarter",
    "anti-transpose": "one mirrored and turned by a quarter",
}
LIMITS: Final = (
    "Two slices of one patient at different heights of the chest share nothing that a picture tells. Of 19 pairs of "
    "one patient among the 50 labelled slices of COVID-SemiSeg 9 were told, 2 of them as near-duplicates, the others "
    "as alike; of the rest only groups tell.",
    "Of neighbouring slices of a volume 98 % were told as near-duplicates, of slices of different patients none; "
    "phantoms are liker than patients, and some pairs of different ones are told. Only the 12 likest of each test "
    "slice are compared in detail. Of slices of different patients 3 % look alike, which is why that is a hint, and is "
    "not told of two volumes.",
    "Whether a model's settings were tried out on the test side, only its maker knows, or its record.",
)


@dataclass(frozen=True)
class Part:
    """What was audited at once.

    Attributes:
        fold: its number; None for a split that has no folds.
        slices: of each side, how many.
        groups: of each side, how many.
    """

    fold: int | None
    slices: Mapping[Side, int]
    groups: Mapping[Side, int]


@dataclass(frozen=True)
class Told:
    """A finding, told once however many folds it is in; ``folds`` are empty for a split that has none."""

    finding: Finding
    folds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class AuditContent:
    """What the outputs of an audit tell.

    Attributes:
        name: of what was audited.
        parts: in order.
        told: kinds in order, in each the strongest first.
        unchecked: kinds that could not be looked for.
        volumes: id of a slice -> its volume, if it has one.
        pictures: id of a slice -> a small picture of it, a ``data:`` URI.
        notices: what a reader has to know; only their text is shown.
        provenance: how this came about.
        seconds: of each phase, in order.
    """

    name: str
    parts: tuple[Part, ...]
    told: tuple[Told, ...]
    unchecked: frozenset[Kind]
    volumes: Mapping[str, str]
    pictures: Mapping[str, str]
    notices: tuple[Notice, ...]
    provenance: Provenance
    seconds: Mapping[str, float]

    @property
    def leaks(self) -> int:
        """How many findings are no hints."""
        return sum(told.finding.kind != HINT for told in self.told)

    @property
    def numbers(self) -> Mapping[Kind, int | None]:
        """Findings of each kind; None for a kind that could not be looked for."""
        kinds = [told.finding.kind for told in self.told]
        return {kind: None if kind in self.unchecked else kinds.count(kind) for kind in get_args(Kind)}


@dataclass(frozen=True)
class Pair:
    """Two slices beside each other.

    Attributes:
        title: what they are.
        said: score, orientation, folds, and how many pairs of the same volumes there are besides, in words.
        slices: (caption, picture) of each.
    """

    title: str
    said: str
    slices: tuple[tuple[str, str], ...]


def merged(audits: Sequence[tuple[int | None, Audit]]) -> tuple[Told, ...]:
    """The findings of all folds, each once with its highest score; two slices are one pair whichever is tested."""
    told: dict[tuple[Kind, frozenset[str]], Told] = {}
    for fold, audited in audits:
        for finding in audited.findings:
            key = finding.kind, frozenset(finding.items)
            before = told.get(key, Told(finding, ()))
            higher = max(before.finding, finding, key=lambda one: one.score or 0)
            told[key] = Told(higher, before.folds if fold is None else (*before.folds, fold))
    order = get_args(Kind)
    return tuple(sorted(told.values(), key=lambda one: (order.index(one.finding.kind), -(one.finding.score or 0))))


def small_picture(image: NDArray[Any]) -> str:
    """A slice, (H, W) in [0, 1] or 8-bit, as a small JPEG in a ``data:`` URI."""
    grey = image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)
    scale = min(LONGEST / max(grey.shape), 1)
    return data_uri(
        np.ascontiguousarray(grey), (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    )


def findings_csv(content: AuditContent) -> str:
    """A row for each finding."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["kind", "items", "sides", "score", "text", "folds"])
    for told in content.told:
        found = told.finding
        score = "" if found.score is None else f"{found.score:.4f}"
        folds = " ".join(map(str, told.folds))
        writer.writerow([found.kind, "; ".join(found.items), " ".join(found.sides), score, found.text, folds])
    return stream.getvalue()


def as_json(content: AuditContent) -> dict[str, Any]:
    """The audit as plain JSON types."""
    return {
        "audited": content.name,
        "leaks": content.leaks,
        "hints": len(content.told) - content.leaks,
        "kinds": dict(content.numbers),
        "parts": [{"fold": part.fold, "slices": part.slices, "groups": part.groups} for part in content.parts],
        "findings": [
            {
                "kind": told.finding.kind,
                "items": list(told.finding.items),
                "sides": list(told.finding.sides),
                "score": told.finding.score,
                "text": told.finding.text,
                "folds": list(told.folds),
            }
            for told in content.told
        ],
        "notices": [notice.text for notice in content.notices],
        "provenance": content.provenance.as_json(),
    }


def render(content: AuditContent) -> str:
    """The page as HTML, in one piece."""
    named = [told for told in content.told if told.finding.kind not in PICTURED]
    shown, left_out = pairs(content)
    return page(
        "audit.html",
        version=content.provenance.version,
        notices=tuple(dict.fromkeys(notice.text for notice in content.notices)),
        sheets=("audit.css",),
        content=content,
        sentence=sentence(content),
        sides=get_args(Side),
        kinds=[(kind, _count(number), MEANING[kind]) for kind, number in content.numbers.items()],
        listed=[_listed(told) for told in named[:MOST_SHOWN]],
        unlisted=len(named[MOST_SHOWN:]),
        pairs=shown,
        left_out=left_out,
        limits=LIMITS,
        made=tables.how_it_was_made(content.provenance),
        durations=tables.durations(content.seconds),
    )


def sentence(content: AuditContent) -> str:
    """What was found, in one sentence."""
    hints = len(content.told) - content.leaks
    found = f"{content.leaks} leak{'s' * (content.leaks > 1)} found" if content.leaks else "No leak found"
    return f"{found}; {hints} pair{'s look' if hints > 1 else ' looks'} alike." if hints else f"{found}."


def pairs(content: AuditContent) -> tuple[tuple[Pair, ...], int]:
    """The pairs to show, those of the same volumes as one; and how many pairs are not among them."""
    groups: dict[tuple[Kind, frozenset[str]], list[Told]] = {}
    for told in content.told:
        if told.finding.kind in PICTURED:
            volumes = frozenset(content.volumes.get(name, name) for name in told.finding.items)
            groups.setdefault((told.finding.kind, volumes), []).append(told)
    shown = list(groups.values())[:MOST_SHOWN]
    left_out = sum(map(len, groups.values())) - sum(map(len, shown))
    return tuple(_pair(ones[0], len(ones) - 1, content.pictures) for ones in shown), left_out


def _pair(told: Told, more: int, pictures: Mapping[str, str]) -> Pair:
    found = told.finding
    tested, other = found.items  # as the finder has them: the tested slice first
    side = next(side for side in found.sides if side != "test")
    turned = next((text for name, text in TURNED.items() if found.text.endswith(f"({name}).")), "")
    title, measure = PICTURED[found.kind]
    score = "" if found.score is None else f"{measure} {words.number(found.score, 2)}"
    besides = f"{more} more of the same two" if more else ""
    said = ", ".join(filter(None, (score, turned, _folds(told), besides)))
    return Pair(title, said, ((f"{tested} · test", pictures[tested]), (f"{other} · {side}", pictures[other])))


def _listed(told: Told) -> tuple[Kind, str, str]:
    """Kind, text and slices of a finding that is no pair of pictures."""
    items = told.finding.items
    rest = f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
    return (
        told.finding.kind,
        " ".join(filter(None, (told.finding.text, _folds(told)))),
        "; ".join(items[:MOST_NAMED]) + rest,
    )


def _folds(told: Told) -> str:
    if not told.folds:
        return ""
    return f"in fold{'s' * (len(told.folds) > 1)} {', '.join(map(str, told.folds))}"


def _count(number: int | None) -> str:
    return "not looked for" if number is None else str(number)

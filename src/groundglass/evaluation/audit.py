"""Leaks between the sides of a split: what of the test side was seen before, by name, by patient or by picture.

Sought between the test side and each of the two others; what train and unlabelled share is no leak. A hint (`alike`)
is told apart from a leak: two slices of different patients can look alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import LabelError, UsageError
from groundglass.evaluation.leaks import (
    Finding,
    Kind,
    Seen,
    Side,
    labelled_unlabelled,
    priors_of_truth,
    same_groups,
    same_items,
    same_pictures,
    same_series,
    selected,
)
from groundglass.evaluation.near_duplicates import views
from groundglass.labels import UNKNOWN, Region, inside

__all__ = ["Audit", "AuditItem", "Finding", "Kind", "Side", "audit", "equals_truth", "selected_on_test"]


@dataclass(frozen=True, eq=False)
class AuditItem:
    """A slice, as an audit sees it.

    Attributes:
        id: of the slice in its data set.
        group: the patient, or whatever was kept together.
        series: the volume that it is from; None for a single slice.
        side: of the split.
        image: (H, W), in [0, 1] or 8-bit, or what returns it; asked for once and not kept.
        labels: label sets, uint8 (H, W), that come with it; None where none do.
        prior: label sets, uint8 (H, W), that a method is given besides the image: another network's, or pseudo labels.
    """

    id: str
    group: str
    series: str | None
    side: Side
    image: NDArray[Any] | Callable[[], NDArray[Any]]
    labels: NDArray[np.uint8] | None = None
    prior: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Audit:
    """What was found: kinds in the order of ``Kind``, in each the highest scores first."""

    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """All but the hints."""
        return tuple(finding for finding in self.findings if finding.kind != "alike")


def audit(items: Iterable[AuditItem], record: Mapping[str, Any] | None = None) -> Audit:
    """Look for leaks.

    A second for 50 slices; for 1,650, half of them tested, a minute on one core. 16 to 32 kB a slice are kept.

    Args:
        items: of all sides, in any order.
        record: of how a model came about; ``selected_on`` lists the ids of the slices that its settings or its
            checkpoint were chosen by.

    Raises:
        UsageError: an unknown side, an image that is no finite (H, W), or a ``selected_on`` that is no list of ids.
        LabelError: labels and prior of other shapes.
    """
    seen = [_look(item) for item in items]
    tested, others = [one for one in seen if one.side == "test"], [one for one in seen if one.side != "test"]
    findings = [
        *same_items(seen),
        *same_groups(seen),
        *same_series(seen),
        *same_pictures(tested, others),
        *labelled_unlabelled(seen),
        *priors_of_truth(seen),
        *selected(selected_on_test(record or {}, {one.id for one in tested})),
    ]
    order = get_args(Kind)
    return Audit(tuple(sorted(findings, key=lambda finding: (order.index(finding.kind), -(finding.score or 0)))))


def equals_truth(prior: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float | None:
    """How far a prior is the truth: the share of lesion pixels where the two agree, [0, 1].

    Counted are the pixels that either holds for infection; the two agree where both do and have a class in common, so
    that a prior of infection as one class can equal a truth of two. None where neither has a lesion.

    Args:
        prior: label sets, uint8 (H, W).
        truth: likewise.

    Raises:
        LabelError: other shapes.
    """
    if prior.shape != truth.shape:
        raise LabelError(
            f"A prior of shape {prior.shape} for a truth of {truth.shape}.",
            expected="the same pixels",
            remedy="Compare them before either is cropped or resized.",
        )
    mine, true = inside(prior, Region.INFECTION), inside(truth, Region.INFECTION)
    either = int((mine | true).sum())
    return int((mine & true & ((prior & truth) > 0)).sum()) / either if either else None


def selected_on_test(record: Mapping[str, Any], tested: Collection[str]) -> tuple[str, ...]:
    """The test slices that a model's settings or checkpoint were chosen by, from its record.

    Args:
        record: its ``selected_on``, where it has one, lists ids.
        tested: ids of the test side.

    Raises:
        UsageError: ``selected_on`` is no list of ids.
    """
    ids = record.get("selected_on", [])
    if isinstance(ids, str) or not isinstance(ids, Sequence) or not all(isinstance(name, str) for name in ids):
        raise UsageError(
            "A selected_on that is no list of ids.", expected='["id", ...]', remedy="Write the record again."
        )
    return tuple(name for name in ids if name in tested)


def _look(item: AuditItem) -> Seen:
    if item.side not in get_args(Side):
        raise UsageError(
            f"No side {item.side!r}.", expected=f"one of {', '.join(get_args(Side))}", remedy="Choose one of these."
        )
    image = item.image() if callable(item.image) else item.image
    pictures = views(image)
    return Seen(
        id=item.id,
        group=item.group,
        series=item.series,
        side=item.side,
        digest=_digest(image) if pictures.any() else None,
        views=pictures,
        labelled=item.labels is not None and bool((item.labels != UNKNOWN).any()),
        agreement=None if item.prior is None or item.labels is None else equals_truth(item.prior, item.labels),
    )


def _digest(image: NDArray[Any]) -> bytes:
    content = hashlib.blake2b(f"{image.shape} {image.dtype}".encode(), digest_size=16)
    content.update(image.tobytes())
    return content.digest()

"""Tissue groups: what labels never told apart, a model does not answer. No torch.

From {background | lung}, {ground glass}, {consolidation} alone a network that had a channel for each of the
four tissues would learn lung = nothing at all. So a network has one channel a *group*: tissues that some
label set holds one without the other are in different groups, all others share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from groundglass.errors import LabelError
from groundglass.labels import UNKNOWN, Region, Tissue


def tissue_groups(sets: Iterable[int]) -> tuple[int, ...]:
    """The groups of tissues that a collection of label sets tells apart, in the order of their lowest bits.

    Two tissues share a group unless some set holds one without the other, so no set of the collection splits
    a group: it holds a group whole or not at all. Sets of several data sets may be put together, and
    "unknown" tells nothing apart.

    Args:
        sets: the label sets that occur, each 1 to 15, in any order and as often as they like.

    Returns:
        Disjoint sets whose union is 15. A single group, (15,), says that there is nothing to learn.

    Raises:
        LabelError: a value that is no label set.
    """
    occurring = sorted({int(held) for held in sets})
    for held in occurring:
        if not 1 <= held <= UNKNOWN:
            raise LabelError(
                f"{held} is no label set.",
                expected="1 to 15, one bit a tissue",
                remedy="Use 15 where nothing is known.",
            )
    groups: dict[tuple[bool, ...], int] = {}
    for tissue in Tissue:
        held_by = tuple(bool(held & tissue) for held in occurring)
        groups[held_by] = groups.get(held_by, 0) | int(tissue)
    return tuple(sorted(groups.values(), key=lambda group: group & -group))


def check_outputs(outputs: Sequence[int]) -> tuple[int, ...]:
    """Return ``outputs``, the tissue group of each channel, if every tissue is in exactly one of them.

    Raises:
        LabelError: a tissue in no group or in two, or an empty group.
    """
    union = 0
    for group in outputs:
        if group < 1 or group & union:
            raise LabelError(
                f"The output groups {tuple(outputs)} overlap or hold an empty one.",
                expected="disjoint groups of tissues",
                remedy="Compute them with groundglass.losses.groups.tissue_groups.",
            )
        union |= group
    if union != UNKNOWN:
        raise LabelError(
            f"The output groups {tuple(outputs)} hold the tissues {union}.",
            expected="every tissue (15) in one group",
            remedy="Compute them with groundglass.losses.groups.tissue_groups.",
        )
    return tuple(int(group) for group in outputs)


def answers(outputs: Sequence[int], region: Region) -> bool:
    """Whether channels of these groups can say what is in the region: no group lies partly in it."""
    held = int(region.value)
    return all(group & held in (0, group) for group in outputs)


def regions_of(outputs: Sequence[int]) -> tuple[Region, ...]:
    """The regions that channels of these groups can answer."""
    return tuple(region for region in Region if answers(outputs, region))

"""How numbers of images become one number, by name. No score means anything without it.

| name | rule |
|---|---|
| ``empty-zero`` | per image, then mean; an image whose truth lacks the region scores 0 |
| ``empty-one`` | as above, but 1 when truth and prediction both lack it |
| ``present`` | per image, then mean over the images whose truth has the region; 0/0 scores 0 |
| ``defined`` | per metric, images where it is 0/0 are left out (SSInfNet) |
| ``pooled`` | all pixels of all images together |
| ``patient`` | pooled per patient or group, then mean over the patients whose truth has the region |
| ``volume`` | in three dimensions per scan, then mean over the scans whose truth has the region |
| modifier ``curve`` | a map, stretched to [0, 1] per image; the metric at 256 thresholds, mean over them; then the rule. Alone: with ``empty-zero`` (Inf-Net's evaluator); ``curve+present`` is what its paper prints for consolidation |
| modifier ``adaptive`` | a map cut at twice its mean (Inf-Net's ``adp`` columns); alone: with ``empty-zero`` |
| modifier ``background`` | the overall mean over classes includes background (SSInfNet's "overall", DRSegUNet) |

Distances, errors and counts are no shares: nothing can be said of them for an image that lacks the region, so
``empty-zero`` and ``empty-one`` have no number for them, and ``present`` leaves out the images where nothing was
found (the number of images is told).
"""  # noqa: E501 - a table's row is a line

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Final, Literal, get_args

from groundglass.errors import UsageError
from groundglass.evaluation.metrics import METRICS, Evidence, measured, value

Rule = Literal["empty-zero", "empty-one", "present", "defined", "pooled", "patient", "volume"]
Cut = Literal["fixed", "curve", "adaptive"]
RULES: Final[tuple[Rule, ...]] = get_args(Rule)
PER_IMAGE: Final[tuple[Rule, ...]] = ("empty-zero", "empty-one", "present", "defined")
MODIFIERS: Final = ("curve", "adaptive", "background")


@dataclass(frozen=True)
class Convention:
    """A rule and what modifies it.

    Attributes:
        rule: how images are averaged.
        cut: how a map becomes a mask; label maps have only ``fixed``.
        background: the mean over classes includes background.
    """

    rule: Rule
    cut: Cut = "fixed"
    background: bool = False

    @property
    def name(self) -> str:
        """As users write it."""
        cut = [] if self.cut == "fixed" else [self.cut]
        return "+".join([*cut, self.rule, *(["background"] if self.background else [])])

    @property
    def is_of_counts(self) -> bool:
        """Whether an image's counts are all that it takes: a fixed cut, each image by itself, and no other class."""
        return self.cut == "fixed" and self.rule in PER_IMAGE and not self.background

    @classmethod
    def parse(cls, text: str) -> Convention:
        """A convention by name: ``present``, ``curve+present``, ``defined+background``.

        Raises:
            UsageError: no such rule or modifier, or two of a kind.
        """
        words = text.split("+")
        rules = [rule for rule in RULES if rule in words]
        cuts: list[Cut] = [cut for cut in get_args(Cut) if cut in words and cut != "fixed"]
        strange = [word for word in words if word not in (*RULES, *MODIFIERS)]
        if strange or len(rules) > 1 or len(cuts) > 1 or len(set(words)) != len(words) or not (rules or cuts):
            near = difflib.get_close_matches(strange[0], (*RULES, *MODIFIERS), 1) if strange else []
            raise UsageError(
                f"There is no convention {text!r}." + (f" Did you mean {near[0]!r}?" if near else ""),
                expected=f"one of {', '.join(RULES)}, with + and {', '.join(MODIFIERS)} where wanted",
                remedy="For instance: present, curve+present, defined+background",
            )
        rule = rules[0] if rules else "empty-zero"
        if cuts and cuts[0] == "curve" and rule not in PER_IMAGE:
            raise UsageError(
                f"{text}: a curve is of one image.", expected=f"curve with {', '.join(PER_IMAGE)}", remedy="Choose one."
            )
        return cls(rule, cuts[0] if cuts else "fixed", "background" in words)


@dataclass(frozen=True, eq=False)
class Scored:
    """What one image, or one scan, tells of one region.

    Attributes:
        name: of the image.
        group: patient or whatever belongs together; the image itself where nothing is known.
        region: key of the region.
        evidence: for each way that the prediction was cut.
    """

    name: str
    group: str
    region: str
    evidence: dict[Cut, Evidence]


@dataclass(frozen=True)
class Sample:
    """The numbers that a mean is taken of, and the group of each. None of them: there is nothing to average."""

    values: tuple[float, ...]
    groups: tuple[str, ...]

    @property
    def mean(self) -> float | None:
        """Their mean."""
        return sum(self.values) / len(self.values) if self.values else None


def sample(metric: str, images: Sequence[Scored], scans: Sequence[Scored], convention: Convention) -> Sample:
    """The numbers that a convention averages.

    Args:
        metric: one of ``METRICS``.
        images: of one region.
        scans: the same in three dimensions, for ``volume``.
        convention: which.
    """
    cut = convention.cut
    if convention.rule in PER_IMAGE:
        told = [(image.group, _per_image(metric, image.evidence[cut], convention.rule)) for image in images]
    elif convention.rule == "volume":
        told = [(scan.group, _of_present(metric, scan.evidence[cut])) for scan in scans]
    elif convention.rule == "patient":
        told = [(group, _of_present(metric, _pooled(members, cut))) for group, members in _by_group(images).items()]
    else:
        told = [("all", value(metric, _pooled(images, cut)))] if images else []
    kept = [(group, number) for group, number in told if number is not None]
    return Sample(tuple(number for _, number in kept), tuple(group for group, _ in kept))


def _by_group(images: Sequence[Scored]) -> dict[str, list[Scored]]:
    groups: dict[str, list[Scored]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    return groups


def _pooled(images: Sequence[Scored], cut: Cut) -> Evidence:
    """All images together; what cannot be pooled is left out even where there is but one."""
    return replace(reduce(add, (image.evidence[cut] for image in images)), alone={})


def _of_present(metric: str, evidence: Evidence) -> float | None:
    return _per_image(metric, evidence, "present")


def _per_image(metric: str, evidence: Evidence, rule: Rule) -> float | None:
    """The number of an image; None if it is left out, or does not tell the metric."""
    if not measured(metric, evidence):
        return None
    number = value(metric, evidence)
    if rule == "defined":
        return number
    if not METRICS[metric].is_share:
        return number if rule == "present" and evidence.present else None
    if evidence.present:
        return number or 0.0
    if rule == "present":
        return None
    return 1.0 if rule == "empty-one" and not evidence.found else 0.0

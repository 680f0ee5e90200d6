"""The metrics by name: what each is made of, its unit and range, and whether images can be pooled for it.

What a metric is made of (`Evidence`) adds over images wherever it is a count or a sum, so a pooled metric is exact.
Formulas, and what happens when a set is empty, stand where each is computed: `overlap`, `surface`, `detection`,
`structure`, `curves`, `calibration`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from groundglass.evaluation import overlap
from groundglass.evaluation.calibration import Calibration
from groundglass.evaluation.curves import Curve, Histogram, Map, Mask, precision_recall, roc, stretch, threshold_curve
from groundglass.evaluation.detection import Lesions, match_lesions
from groundglass.evaluation.overlap import Counts, count
from groundglass.evaluation.structure import (
    balanced_absolute_error,
    e_measure_curve,
    mean_absolute_error,
    s_measure,
)
from groundglass.evaluation.surface import SurfaceDistances

TOLERANCE_MM: Final = 2.0  # of the surface Dice
Kind = Literal["overlap", "surface", "lesions", "volume", "map"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one image tells of a region, or several pooled with ``+``.

    Attributes:
        overlap: pixels found and true.
        lesions: connected lesions, where asked for.
        volumes_ml: found and true, mL, where asked for and the size of a voxel is known.
        levels: pixels at each level of the map, where there is one.
        calibration: sums over the probabilities, where there is a map.
        alone: metrics that cannot be made of sums; lost when images are pooled.
    """

    overlap: Counts
    lesions: Lesions | None = None
    volumes_ml: tuple[float, float] | None = None
    levels: Histogram | None = None
    calibration: Calibration | None = None
    alone: Mapping[str, float | None] = field(default_factory=dict)

    def __add__(self, other: Evidence) -> Evidence:
        """What both images tell together."""
        return Evidence(
            self.overlap + other.overlap,
            None if self.lesions is None or other.lesions is None else self.lesions + other.lesions,
            _both(self.volumes_ml, other.volumes_ml),
            None if self.levels is None or other.levels is None else self.levels + other.levels,
            None if self.calibration is None or other.calibration is None else self.calibration + other.calibration,
        )

    @property
    def present(self) -> bool:
        """Whether the truth has the region."""
        return self.overlap.both + self.overlap.true_only > 0

    @property
    def found(self) -> bool:
        """Whether the prediction has the region."""
        return self.overlap.both + self.overlap.found_only > 0


def _both(one: tuple[float, float] | None, other: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if one is None or other is None else (one[0] + other[0], one[1] + other[1])


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        title: for people.
        unit: empty for a share in [0, 1]; mm where the size of a pixel is known, else pixels.
        better: which end is good: ``high``, ``low``, or ``zero``.
        kind: what has to be measured for it.
        of: its value, None where it is 0/0; None instead of a function where it cannot be made of sums.
    """

    title: str
    unit: str
    better: Literal["high", "low", "zero"]
    kind: Kind
    of: Callable[[Evidence], float | None] | None = None

    @property
    def is_share(self) -> bool:
        """Whether an image can be given 0 for nothing and 1 for all."""
        return self.better == "high"


def _overlap(name: str, title: str) -> Metric:
    share = overlap.METRICS[name]
    return Metric(title, "", "high", "overlap", lambda evidence: share(evidence.overlap))


def _lesions(title: str, of: Callable[[Lesions], float | None], unit: str = "") -> Metric:
    return Metric(
        title,
        unit,
        "low" if unit else "high",
        "lesions",
        lambda evidence: None if evidence.lesions is None else of(evidence.lesions),
    )


def _volume(title: str, better: Literal["low", "zero"], of: Callable[[float, float], float]) -> Metric:
    return Metric(
        title,
        "mL",
        better,
        "volume",
        lambda evidence: None if evidence.volumes_ml is None else of(*evidence.volumes_ml),
    )


def _area(title: str, curve: Callable[[Histogram], Curve | None]) -> Metric:
    def area(evidence: Evidence) -> float | None:
        made = None if evidence.levels is None else curve(evidence.levels)
        return None if made is None else made.area

    return Metric(title, "", "high", "map", area)


def _calibrated(title: str, of: Callable[[Calibration], float | None]) -> Metric:
    return Metric(
        title,
        "",
        "low",
        "map",
        lambda evidence: None if evidence.calibration is None else of(evidence.calibration),
    )


METRICS: Final[Mapping[str, Metric]] = {
    "dice": _overlap("dice", "Dice"),
    "iou": _overlap("iou", "IoU"),
    "precision": _overlap("precision", "Precision"),
    "recall": _overlap("recall", "Recall"),
    "specificity": _overlap("specificity", "Specificity"),
    "accuracy": _overlap("accuracy", "Accuracy"),
    "hausdorff_95": Metric("Hausdorff distance, 95 %", "mm", "low", "surface"),
    "average_surface_distance": Metric("Average surface distance", "mm", "low", "surface"),
    "surface_dice": Metric(f"Surface Dice at {TOLERANCE_MM:g} mm", "", "high", "surface"),
    "volume_error": _volume("Volume error", "low", lambda found, true: abs(found - true)),
    "volume_difference": _volume("Volume found less true", "zero", lambda found, true: found - true),
    "lesion_sensitivity": _lesions("Lesions found", lambda lesions: lesions.sensitivity),
    "lesion_precision": _lesions("Found lesions that are true", lambda lesions: lesions.precision),
    "lesion_false_positives": _lesions("False lesions", lambda lesions: float(lesions.found_false), "lesions"),
    "s_measure": Metric("S-measure", "", "high", "map"),
    "e_mean": Metric("E-measure, mean", "", "high", "map"),
    "e_max": Metric("E-measure, maximum", "", "high", "map"),
    "mean_absolute_error": Metric("Mean absolute error", "", "low", "map"),
    "balanced_absolute_error": Metric("Balanced absolute error", "", "low", "map"),
    "roc_auc": _area("Area under the ROC", roc),
    "average_precision": _area("Average precision", precision_recall),
    "brier": _calibrated("Brier score", lambda sums: sums.brier),
    "calibration_error": _calibrated("Expected calibration error", lambda sums: sums.expected_calibration_error),
}


def value(name: str, evidence: Evidence) -> float | None:
    """A metric of what an image (or several pooled) tells; None where it is 0/0 or was not measured."""
    if name in evidence.alone:
        return evidence.alone[name]
    made = METRICS[name].of
    return None if made is None else made(evidence)


def measured(name: str, evidence: Evidence) -> bool:
    """Whether an image tells a metric at all: one that it does not tell is no 0/0."""
    there = {
        "overlap": True,
        "surface": False,
        "lesions": evidence.lesions is not None,
        "volume": evidence.volumes_ml is not None,
        "map": METRICS[name].of is not None and evidence.levels is not None,
    }
    return name in evidence.alone or there[METRICS[name].kind]


def examine(
    found: Mask,
    true: Mask,
    known: Mask,
    names: Collection[str],
    spacing_mm: Sequence[float] | None = None,
    scores: Map | None = None,
) -> Evidence:
    """What an image tells of a region.

    Args:
        found: where the region was found, 2 or 3 dimensions.
        true: where it is.
        known: where that is known.
        names: the metrics that are asked for.
        spacing_mm: of (z, y, x), also for a slice; None: distances are in pixels, and there is no volume.
        scores: the map in [0, 1] that ``found`` was cut from, or None.
    """
    kinds = {METRICS[name].kind for name in names}
    alone: dict[str, float | None] = {}
    if "surface" in kinds:
        distances = SurfaceDistances.between(found, true, (spacing_mm or (1.0,) * 3)[-true.ndim :], known)
        alone["hausdorff_95"], alone["average_surface_distance"] = distances.hausdorff_95(), distances.average()
        alone["surface_dice"] = distances.dice(TOLERANCE_MM)
    if scores is not None and "map" in kinds:
        alone |= _of_map(scores, true, known, names)
    counts = count(found, true, known)
    volumes = None
    if spacing_mm is not None:
        voxel_ml = float(np.prod(spacing_mm)) / 1000
        volumes = (counts.both + counts.found_only) * voxel_ml, (counts.both + counts.true_only) * voxel_ml
    return Evidence(
        counts,
        match_lesions(found, true, known) if "lesions" in kinds else None,
        volumes,
        Histogram.of(scores, true, known) if scores is not None and "map" in kinds else None,
        Calibration.of(scores, true, known) if scores is not None and "map" in kinds else None,
        alone,
    )


def _of_map(scores: Map, true: Mask, known: Mask, names: Collection[str]) -> dict[str, float | None]:
    alone: dict[str, float | None] = {}
    if "s_measure" in names and true.ndim == 2:
        alone["s_measure"] = s_measure(scores, true)
    if {"e_mean", "e_max"} & set(names):
        curve = e_measure_curve(scores, true, known)
        alone["e_mean"], alone["e_max"] = (None, None) if curve is None else (float(curve.mean()), float(curve.max()))
    alone["mean_absolute_error"] = mean_absolute_error(scores, true, known)
    alone["balanced_absolute_error"] = balanced_absolute_error(scores, true, known)
    return alone


def examine_curve(scores: Map, true: Mask, known: Mask) -> Evidence:
    """The same by Inf-Net's evaluator: means over 256 thresholds of the stretched map.

    Dice, IoU, precision, recall, specificity and (not in theirs) accuracy are 0 at a threshold without a true positive;
    the E-measure is cut with > and the others with >= there, and here. What is not known is not stretched by, and the
    S-measure, which needs whole images, sees 0 there. The prediction counts as having the region unless it is 0
    all over.
    """
    curve = threshold_curve(scores, true, known)
    stretched = np.where(known, stretch(scores, known), 0.0)
    aligned = e_measure_curve(stretched, true, known, ">")
    alone: dict[str, float | None] = {
        name: float(getattr(curve, name).mean())
        for name in ("dice", "iou", "precision", "recall", "specificity", "accuracy")
    }
    alone["e_mean"], alone["e_max"] = (None, None) if aligned is None else (float(aligned.mean()), float(aligned.max()))
    alone["mean_absolute_error"] = mean_absolute_error(stretched, true, known)
    if true.ndim == 2:
        alone["s_measure"] = s_measure(stretched, true)
    return Evidence(count(scores > 0, true, known), alone=alone)

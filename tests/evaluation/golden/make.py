"""Asks other implementations about the inputs and keeps their answers with their versions.

Run in an environment of its own with numpy, scipy, torch, monai, pysodmetrics,
scikit-learn, surface-distance and torchmetrics:

    python tests/evaluation/golden/make.py

It imports nothing of groundglass: what it writes can only be what the others say.
"""

import json
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sklearn.metrics
import surface_distance
import torch
from inputs import MAPS, PAIRS, SAMPLED, TOLERANCES_MM
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from py_sod_metrics import MAE, Emeasure, Smeasure
from py_sod_metrics.fmeasurev2 import DICEHandler, FmeasureV2, IOUHandler, PrecisionHandler, RecallHandler
from torchmetrics.functional import classification as tm

PACKAGES = ("numpy", "scipy", "monai", "pysodmetrics", "scikit-learn", "surface-distance", "torch", "torchmetrics")
OVERLAP = {
    "dice": tm.binary_f1_score,
    "iou": tm.binary_jaccard_index,
    "precision": tm.binary_precision,
    "recall": tm.binary_recall,
    "specificity": tm.binary_specificity,
    "accuracy": tm.binary_accuracy,
}


def overlap(found, true, _):
    pair = torch.tensor(found.ravel()).int(), torch.tensor(true.ravel()).int()
    return {name: float(metric(*pair)) for name, metric in OVERLAP.items()}


def monai(found, true, spacing):
    pair = [torch.tensor(mask)[None, None].float() for mask in (found, true)]
    options = {"include_background": True, "spacing": spacing}
    return {
        "hausdorff_95": float(compute_hausdorff_distance(*pair, percentile=95, **options)),
        "average": float(compute_average_surface_distance(*pair, symmetric=True, **options)),
        "dice": [float(compute_surface_dice(*pair, class_thresholds=[mm], **options)) for mm in TOLERANCES_MM],
    }


def deepmind(found, true, spacing):
    distances = surface_distance.compute_surface_distances(true, found, spacing)
    return {"hausdorff_95": float(surface_distance.compute_robust_hausdorff(distances, 95))}


def py_sod(scores, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mean of an empty part
        steps = {"s_measure": Smeasure(), "e_measure": Emeasure(), "mean_absolute_error": MAE()}
        for step in steps.values():
            step.step(scores, truth, normalize=False)
    e = steps["e_measure"].get_results()["em"]
    return {
        "s_measure": float(steps["s_measure"].get_results()["sm"]),
        "mean_absolute_error": float(steps["mean_absolute_error"].get_results()["mae"]),
        "e_measure_adaptive": float(e["adp"]),
        "e_measure_mean": float(e["curve"].mean()),
        "e_measure_max": float(e["curve"].max()),
        "e_measure_curve": e["curve"][SAMPLED].tolist(),
    }


def py_sod_curves(scores, truth):
    """Of the stretched map; its specificity is none that is 0 without a true positive, and left out."""
    options = {"with_adaptive": False, "with_dynamic": True, "with_binary": False, "sample_based": True}
    handlers = {
        "dice": DICEHandler(**options),
        "iou": IOUHandler(**options),
        "precision": PrecisionHandler(**options),
        "recall": RecallHandler(**options),
    }
    metric = FmeasureV2(handlers)
    low, high = scores.min(), scores.max()
    metric.step(scores if low == high else (scores - low) / (high - low), truth, normalize=False)
    return {name: value["dynamic"][SAMPLED].tolist() for name, value in metric.get_results().items()}


def ranking(scores, truth, levels):
    quantised = np.floor(scores * (levels - 1) + 1e-4)
    return {
        "roc": float(sklearn.metrics.roc_auc_score(truth.ravel(), quantised.ravel())),
        "average_precision": float(sklearn.metrics.average_precision_score(truth.ravel(), quantised.ravel())),
    }


def calibration(scores, truth):
    target = torch.tensor(truth.ravel()).int()
    return {
        "brier": float(sklearn.metrics.brier_score_loss(truth.ravel(), scores.ravel(), labels=[0, 1])),
        "expected_calibration_error": float(
            tm.binary_calibration_error(torch.tensor(scores.ravel()), target, n_bins=15, norm="l1")
        ),
    }


def main():
    two_sided = {name: pair for name, pair in MAPS.items() if 0 < pair[1].mean() < 1}
    answers = {
        "versions": {package: version(package) for package in PACKAGES},
        "sums": {name: [int(a.sum()), int(b.sum())] for name, (a, b, _) in PAIRS.items()}
        | {name: [round(float(a.sum()), 6), int(b.sum())] for name, (a, b) in MAPS.items()},
        "overlap": {name: overlap(*pair) for name, pair in PAIRS.items()},
        "monai": {name: monai(*pair) for name, pair in PAIRS.items()},
        "deepmind": {name: deepmind(*pair) for name, pair in PAIRS.items()},
        "py_sod": {name: py_sod(*pair) for name, pair in MAPS.items()},
        "py_sod_curves": {name: py_sod_curves(*pair) for name, pair in MAPS.items()},
        "ranking": {
            str(levels): {name: ranking(*pair, levels) for name, pair in two_sided.items()} for levels in (256, 1024)
        },
        "calibration": {name: calibration(*pair) for name, pair in MAPS.items()},
    }
    text = json.dumps(_plain(answers), indent=1) + "\n"
    Path(__file__).with_name("answers.json").write_text(text, encoding="utf-8")


def _plain(value):
    """NaN as null, numbers to 10 digits."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.10g}")
    return value


if __name__ == "__main__":
    main()

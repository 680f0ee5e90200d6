"""Where the lung is: by the classical field, by what a model calls lung, and on phantoms in truth; and their crops.

    python -m benchmarks.lungs                                   # phantoms: the usual lesions and the hard cases
    python -m benchmarks.lungs P002=RESULTS normal002=RESULTS    # scans: what ``segment --probabilities`` made of each

The model's lung is where its lung field's probability is above 0.5, opened and closed (StitchNet, 2022), in the two
largest pieces; ``found`` is what ``segment`` says, the lesions' percentages being of it. Crops are alike by
intersection over union of a slice's two boxes, the mean over slices that have both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.words import cases_of
from groundglass.cli.ending import ending
from groundglass.errors import ReadError
from groundglass.evaluation.overlap import METRICS, count
from groundglass.io.nifti import write_nifti
from groundglass.phantom import Hard, phantom
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import lung_boxes

SEEDS = 3
Mask = NDArray[np.bool_]


def read(path: Path) -> tuple[NDArray[np.float64], float]:
    """Voxels, and mL of one."""
    if not path.is_file():
        raise ReadError(f"No {path.name}.", expected="what segment --probabilities writes", remedy="Run it first.")
    image = nibabel.load(path)
    return np.asarray(image.dataobj, np.float64), abs(np.linalg.det(image.affine[:3, :3])) / 1000


def by_model(probability: NDArray[np.float64]) -> Mask:
    """The two largest pieces of what it calls lung, slices opened and closed."""
    square = ndimage.generate_binary_structure(2, 2)[..., None]  # voxels are [x, y, z]
    pieces, _ = ndimage.label(ndimage.binary_closing(ndimage.binary_opening(probability > 0.5, square), square))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.isin(pieces, np.argsort(sizes)[-2:]) & (pieces > 0)


def dice(one: Mask, other: Mask) -> float:
    """Of two masks, 0 where both are empty."""
    return METRICS["dice"](count(one, other)) or 0.0


def crops_alike(one: Mask, other: Mask) -> str:
    """Intersection over union of the crops, and of how many slices."""
    scores = []
    for boxes in zip(*(lung_boxes(mask.transpose(2, 1, 0), Preparation()) for mask in (one, other)), strict=True):
        if None in boxes:
            continue
        first, second = (np.array(box) for box in boxes)
        sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
        shared = np.prod(np.maximum(sides, 0))
        scores.append(shared / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared))
    return f"{np.mean(scores):.3f} of {len(scores)}"


def row(name: str, results: Path, truth: Path | None = None) -> None:
    """A line of the table."""
    codes, ml = read(results / "labels.nii.gz")
    found, model = codes > 0, by_model(read(results / "probability_lung_field.nii.gz")[0])
    cells = [name, *(f"{np.count_nonzero(mask) * ml:.0f}" for mask in (found, model, model & ~found, found & ~model))]
    cells += [f"{dice(found, model):.3f}", crops_alike(found, model)]
    if truth is not None:
        true = read(truth)[0] > 0
        cells += [f"{np.count_nonzero(true) * ml:.0f}", f"{dice(found, true):.3f}", f"{dice(model, true):.3f}"]
        cells += [crops_alike(found, true), crops_alike(model, true)]
    print(f"| {' | '.join(cells)} |", flush=True)


def main(cases: dict[str, Path]) -> None:
    """The table, of results or of phantoms."""
    columns = ["case", "found, mL", "model, mL", "model alone, mL", "found alone, mL", "Dice of the two", "crops alike"]
    columns += [] if cases else ["true, mL", "Dice of found", "Dice of model", "crops of found", "crops of model"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, results in cases.items():
        row(name, results)
    if cases:
        return
    with tempfile.TemporaryDirectory() as temporary:
        scan, truth, results = (Path(temporary) / name for name in ("scan.nii.gz", "truth.nii.gz", "results"))
        for hard in (None, *get_args(Hard)):
            for seed in range(SEEDS):
                made = phantom(seed, hard=hard)
                write_nifti(scan, made.scan.hu, made.scan)
                write_nifti(truth, made.codes, made.scan)
                command = [Path(sys.executable).with_name("groundglass"), "segment", scan, "-o", results]
                subprocess.run([*command, "--probabilities", "--quiet"], check=True, capture_output=True)
                row(f"{made.kind}, seed {seed}", results, truth)


if __name__ == "__main__":
    with ending():
        main(cases_of(sys.argv[1:]))

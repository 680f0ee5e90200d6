"""Priors: what another network, trained without a slice, says of infection in it.

For the training slices they are out of fold, made once and kept as a file; later ones are made by the network that was
trained on all training slices and goes into the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.engine import checkpoint
from groundglass.errors import LabelError, ReadError
from groundglass.evaluation.audit import equals_truth
from groundglass.evaluation.leaks import PRIOR_IS_TRUTH
from groundglass.inference.predict import predicted
from groundglass.labels import NOT_LESION, UNKNOWN
from groundglass.methods._method import Method
from groundglass.methods._prior import two_channels
from groundglass.splits import make_folds
from groundglass.store import Store

FOLDER: Final = "prior"
ALL: Final = "all"  # folder of the training on all slices
FILE: Final = "predictions.safetensors"
LEVELS: Final = 255
SEED: Final = 0  # of the folds
# Of numbers of slices to train on, others without labels, and the folder of the run.
Train = Callable[[Sequence[int], Sequence[int], Path], Method]


@dataclass(frozen=True, eq=False)
class Priors:
    """What the training of a method that takes priors needs.

    Attributes:
        method: trained on all slices; makes the priors of others.
        of_slice: number of a training slice -> infection, uint8 (height, width), 255 is certain; out of fold.
    """

    method: Method
    of_slice: Mapping[int, NDArray[np.uint8]]

    def of(self, number: int) -> NDArray[np.float32]:
        """The prior of a training slice, (2, height, width): not lesion, infection."""
        infection = self.of_slice[number].astype(np.float32) / LEVELS
        return np.stack([1 - infection, infection])


def make_priors(
    store: Store,
    numbers: Sequence[int],
    unlabelled: Sequence[int],
    folds: int,
    train: Train,
    output: Path,
    record: Mapping[str, Any],
) -> Priors:
    """Predict each training slice by a training without its group, then train on all.

    Args:
        store: of the slices.
        numbers: of those to train on.
        unlabelled: of those without labels; a fold leaves out the held-out groups' here too.
        folds: how many.
        train: trains, going on where an earlier run stopped.
        output: the run's; everything goes to a folder in it. The folds' trainings are removed once they have predicted.
        record: of what decides the outcome, and provenance; kept with the predictions, those of another are refused.

    Raises:
        LabelError: a prior is the truth.
        ReadError: the file holds the predictions of another run.
        UsageError: fewer groups than folds.
    """
    folder = output / FOLDER
    file, runs = folder / FILE, [folder / f"fold-{number + 1}" for number in range(folds)]
    if not file.exists():
        items = [store.slices[number] for number in numbers]
        split = make_folds(items, folds, SEED)
        predicted: dict[str, torch.Tensor] = {}
        for fold, of_fold in enumerate(runs):
            held = split.fold(fold, items)
            tested = {store.slices[store.number(name)].group for name in held.test}
            bare = [number for number in unlabelled if store.slices[number].group not in tested]
            method = train([store.number(name) for name in held.train], bare, of_fold)
            predicted |= _predictions(method.eval(), store, held.test)
        checkpoint.write(file, predicted, {**record, "folds": folds})
    tensors, told = checkpoint.read(file)
    if told.get("identity") != record["identity"] or set(tensors) != {store.slices[number].id for number in numbers}:
        raise ReadError(
            "The folder holds the priors of another recipe, store or version.",
            expected="the run that is to be resumed, or an empty folder",
            remedy="Choose another folder, or remove this one.",
        )
    for of_fold in runs:
        shutil.rmtree(of_fold, ignore_errors=True)
    of_slice = {number: tensors[store.slices[number].id].numpy() for number in numbers}
    refuse_truth(of_slice, store)
    return Priors(train(numbers, unlabelled, folder / ALL).eval(), of_slice)


def refuse_truth(of_slice: Mapping[int, NDArray[np.uint8]], store: Store) -> None:
    """Refuse priors that are the truth, as `study audit` would: a network would learn to copy them.

    Raises:
        LabelError: one agrees with its labels in 99 % of the lesion pixels or more.
    """
    for number, infection in of_slice.items():
        truth = store.prepared_label_set(number)
        found = np.where(2 * infection.astype(int) > LEVELS, UNKNOWN & ~NOT_LESION, NOT_LESION).astype(np.uint8)
        agreement = None if truth is None else equals_truth(found, truth)
        if agreement is not None and agreement >= PRIOR_IS_TRUTH:
            raise LabelError(
                f"The prior of slice {store.slices[number].id} is the truth: the two agree in {agreement:.1%} of the "
                "lesion pixels.",
                expected="what a network says that was trained without the slice and its patient",
                remedy="Look whether one patient's slices have two groups: groundglass study audit.",
            )


def _predictions(method: Method, store: Store, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Id of each slice and its infection, uint8 (height, width)."""
    probabilities = predicted(store, method, [store.number(name) for name in names])
    for name, (_, probability) in zip(names, probabilities, strict=True):
        infection = two_channels(torch.from_numpy(probability)[None], method.outputs)[0, 1]
        yield name, (LEVELS * infection).round().to(torch.uint8)

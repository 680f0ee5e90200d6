"""One case prepared: calibrated, cropped, resized, with what is known of each slice, and written beside a store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass import __version__
from groundglass.datasets._case import Case
from groundglass.labels import Tissue
from groundglass.preprocess.calibrate import Calibration, calibrate, histogram
from groundglass.preprocess.gaps import blank_slices
from groundglass.preprocess.lung import LungField, find_lungs
from groundglass.preprocess.lung_labels import narrow
from groundglass.preprocess.morphology import Mask
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import Box, frame, lung_boxes, prepare_image, prepare_labels
from groundglass.scan import Notice, Scan
from groundglass.store import Collection, SliceInfo
from groundglass.store.index import slice_hash
from groundglass.store.writer import stored, write_beside

_MM: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Job:
    """What is the same for every case of a store.

    Attributes:
        path: of the store.
        preparation: how to prepare.
        key: of the hashes.
        lungs: the classical lung field decides what labels leave open between background and lung.
    """

    path: Path
    preparation: Preparation
    key: bytes = field(repr=False)
    lungs: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a case: small enough to pass between processes.

    Attributes:
        name: of the case.
        slices: rows of the index; none where no lung was found.
        beside: where it was written; None where the store held it already, or there was nothing to write.
        notices: of the case.
    """

    name: str
    slices: tuple[SliceInfo, ...]
    beside: Path | None
    notices: tuple[Notice, ...]

    def drop(self) -> None:
        """Remove what was written."""
        if self.beside is not None:
            shutil.rmtree(self.beside, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class _Ready:
    """A slice in HU and where its lungs are."""

    number: int
    hu: NDArray[np.int16]
    box: Box | None
    calibration: Calibration | None
    lungs: tuple[Mask, Mask] | None  # and body


def prepare_case(case: Case, job: Job) -> Outcome:
    """Prepare a case and write it beside the store, unless the store holds it.

    Raises:
        GroundglassError: whatever calibrating and writing refuse.
    """
    digest = f"{__version__}-{case.digest()}{'-lungs' * job.lungs}"  # another version may prepare otherwise
    held = stored(job.path, case.name, digest)
    if held is not None:
        return Outcome(case.name, held, None, case.notices)
    made = _collection(case, digest, job)
    if made is None:
        return Outcome(case.name, (), None, case.notices)
    return Outcome(case.name, made.slices, write_beside(job.path, made), case.notices)


def _collection(case: Case, digest: str, job: Job) -> Collection | None:
    preparation = job.preparation
    ready = _in_hounsfield(case, job)
    if not ready:
        return None
    labels = [_labels(case, part) for part in ready]
    frames = [frame((part.hu.shape[0], part.hu.shape[1]), part.box, preparation) for part in ready]
    slices = [
        _info(case, row, part, sets, where.box, job.key)
        for row, (part, sets, where) in enumerate(zip(ready, labels, frames, strict=True))
    ]
    return Collection(
        name=case.name,
        digest=digest,
        slices=tuple(slices),
        images=[part.hu for part in ready],
        labels=labels,
        prepared=[
            prepare_image(part.hu, where, preparation.window_hu) for part, where in zip(ready, frames, strict=True)
        ],
        prepared_labels=[
            None if sets is None else prepare_labels(sets, where) for sets, where in zip(labels, frames, strict=True)
        ],
    )


def _labels(case: Case, part: _Ready) -> NDArray[np.uint8] | None:
    sets = case.labels[part.number] if case.labels else None
    return sets if sets is None or part.lungs is None else narrow(sets, part.hu, *part.lungs)


def _info(case: Case, row: int, part: _Ready, sets: NDArray[np.uint8] | None, box: Box, key: bytes) -> SliceInfo:
    scan, name = case.images if isinstance(case.images, Scan) else None, case.slices[part.number]
    return SliceInfo(
        id=f"{case.name}/{name}",
        case=case.name,
        row=row,
        group=case.groups[part.number],
        source="picture" if scan is None else "scan",
        position=case.positions[part.number],
        height=part.hu.shape[0],
        width=part.hu.shape[1],
        spacing_mm=scan.spacing_mm if scan is not None and scan.source.spacing_known else None,
        box=box,
        sets=() if sets is None else tuple(int(value) for value in np.unique(sets)),
        black_hu=part.calibration.black_hu if part.calibration else None,
        white_hu=part.calibration.white_hu if part.calibration else None,
        how=part.calibration.how if part.calibration else "hu",
        hash=slice_hash(part.hu, sets, key),
        tags=case.tags[part.number],
    )


def _in_hounsfield(case: Case, job: Job) -> list[_Ready]:
    """The slices of a case that hold lung, or labels of any, with their crops."""
    preparation, whole = job.preparation, job.preparation.crop == "none"
    wanted = job.lungs and case.labels is not None
    if isinstance(case.images, Scan):
        hu = np.rint(np.clip(case.images.hu, -32768, 32767)).astype(np.int16)
        field = find_lungs(case.images) if wanted or not whole else None
        seen = None if whole or field is None else field.mask & ~blank_slices(hu)[:, None, None]
        boxes = (None,) * len(hu) if seen is None else lung_boxes(seen, preparation)
        return [
            _Ready(number, plane, box, None, _field_in(field, number) if wanted else None)
            for number, (plane, box) in enumerate(zip(hu, boxes, strict=True))
            if whole or box is not None or _shows_lung(case, number)
        ]
    calibrations = _calibrations(case, case.images)
    ready = []
    for number, (grey, calibration) in enumerate(zip(case.images, calibrations, strict=True)):
        hu = calibration.to_hu(grey)
        uncropped = not whole and not case.cropped
        field = find_lungs(Scan(hu[None], _MM), cropped=case.cropped) if wanted or uncropped else None
        box = lung_boxes(field.mask, preparation)[0] if uncropped and field is not None else None
        ready.append(_Ready(number, hu, box, calibration, _field_in(field, 0) if wanted else None))
    return ready


def _field_in(field: LungField | None, number: int) -> tuple[Mask, Mask] | None:
    """The lungs and the body in a slice."""
    return None if field is None else (field.mask[number], field.body[number])


def _shows_lung(case: Case, number: int) -> bool:
    """Whether the labels of a slice are sure of lung or lesion somewhere."""
    sets = case.labels[number] if case.labels else None
    return sets is not None and bool((sets & np.uint8(Tissue.BACKGROUND) == 0).any())


def _calibrations(case: Case, pictures: Sequence[NDArray[np.uint8]]) -> list[Calibration]:
    """The window of each picture: of all pictures of a volume together, or of each alone."""
    if case.window_hu is not None:
        return [Calibration(*case.window_hu, "stated")] * len(pictures)
    if case.one_volume:
        return [calibrate(histogram(pictures), case.fallback_hu)] * len(pictures)
    return [calibrate(histogram([picture]), case.fallback_hu) for picture in pictures]

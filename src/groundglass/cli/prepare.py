"""``groundglass prepare``: a publisher's folder, or your own, into a prepared store."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.cli.window import parse_window
from groundglass.datasets._case import Asked, Cases
from groundglass.datasets._preparing import Prepared, prepare_into
from groundglass.errors import UsageError
from groundglass.lookup import find_module
from groundglass.preprocess.orient import check_orientation
from groundglass.preprocess.preparation import Crop, Fit, Preparation

FITS: tuple[Fit, ...] = ("letterbox", "stretch")
CROPS: tuple[Crop, ...] = ("lungs", "none")


@dataclass(frozen=True)
class Options:
    """What ``prepare`` was called with, but the data set and the folders."""

    size: int = 288
    fit: str = "letterbox"
    orientation: str | None = None
    key: Path | None = None
    quiet: bool = False
    workers: int = 1
    window: str = "-1350,150"
    crop: str = "lungs"
    lungs: bool = False


def prepare(dataset: str, root: Path, store: Path, options: Options) -> None:
    """Read a data set and prepare its slices; a run that was stopped is taken up where it was.

    Raises:
        GroundglassError: the options cannot be right, the folder is not as its publisher packs it, or the store
            cannot be written.
    """
    name = dataset.replace("-", "_")
    fit = next((fit for fit in FITS if fit == options.fit), None)
    if fit is None:
        raise UsageError("There is no fit of that name.", expected=" or ".join(FITS), remedy="Choose one of these.")
    asked_orientation = None if options.orientation is None else check_orientation(options.orientation)
    reader = find_module("groundglass.datasets", name)
    crop = next((crop for crop in CROPS if crop == options.crop), None)
    if crop is None:
        raise UsageError("There is no crop of that name.", expected=" or ".join(CROPS), remedy="Choose one of these.")
    preparation = Preparation(parse_window(options.window), crop, size=(options.size, options.size), fit=fit)
    with Phases(options.quiet) as phases:
        key, key_notices = load_key(options.key)
        phases.begin("listing")
        read = partial(reader.read, root, Asked(key, asked_orientation))
        cases: Cases = read()
        phases.begin("preparing")
        made = prepare_into(
            store,
            name,
            cases,
            replace(preparation, intensity=cases.intensity),
            key=key,
            progress=phases.advance,
            lungs=options.lungs,
            workers=min(options.workers, len(cases)),
            read=read,
        )
        for notice in {notice.text: notice for notice in (*key_notices, *made.notices)}.values():
            phases.tell(f"note: {notice.text}")
    sys.stdout.write(_summary(made, store))


def _summary(made: Prepared, store: Path) -> str:
    kept = f" ({made.reused} cases were there already)" if made.reused else ""
    return (
        f"{made.slices} slices{kept}: {made.labelled} labelled, of {made.groups} groups; "
        f"{made.slices - made.labelled} unlabelled.\nThe store: {store}\n"
    )

"""``groundglass prepare``: a publisher's folder, or your own, or phantoms, into a prepared store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.cli.window import parse_window
from groundglass.datasets._case import Asked, Cases
from groundglass.datasets._phantoms import draw
from groundglass.datasets._preparing import Prepared, prepare_into
from groundglass.errors import UsageError
from groundglass.lookup import find_module
from groundglass.preprocess.orient import check_orientation
from groundglass.preprocess.preparation import Crop, Fit, Preparation

FITS: tuple[Fit, ...] = ("letterbox", "stretch")
CROPS: tuple[Crop, ...] = ("lungs", "none")
PHANTOM: Final = "phantom"  # the data set that lies in no folder: it is drawn


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
    patients: int = 12  # of phantoms


def prepare(dataset: str, root: Path | None, store: Path, options: Options) -> None:
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
    read = _reading(name, root, options.patients)
    crop = next((crop for crop in CROPS if crop == options.crop), None)
    if crop is None:
        raise UsageError("There is no crop of that name.", expected=" or ".join(CROPS), remedy="Choose one of these.")
    preparation = Preparation(parse_window(options.window), crop, size=(options.size, options.size), fit=fit)
    with Phases(options.quiet) as phases:
        key, key_notices = load_key(options.key)
        phases.begin("listing")
        cases_of = partial(read, Asked(key, asked_orientation))
        cases = cases_of()
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
            read=cases_of,
        )
        for notice in {notice.text: notice for notice in (*key_notices, *made.notices)}.values():
            phases.tell(f"note: {notice.text}")
    sys.stdout.write(_summary(made, store))


def _reading(name: str, root: Path | None, patients: int) -> Callable[[Asked], Cases]:
    """What reads a data set's cases, as they are asked for."""
    if name == PHANTOM and root is None:
        return partial(_drawn, patients)
    if name == PHANTOM:
        raise UsageError("A folder of phantoms.", expected="none: they are drawn", remedy="Leave ROOT out.")
    reader = find_module("groundglass.datasets", name)
    if root is None:
        raise UsageError(
            "The folder of the data was not said.",
            expected=f"ROOT after the data set's name; only {PHANTOM} needs none",
            remedy="Say where it lies, as its publisher packs it.",
        )
    return partial(reader.read, root)


def _drawn(patients: int, asked: Asked) -> Cases:
    del asked  # phantoms lie as they should and are nobody's
    return draw(0, patients)


def _summary(made: Prepared, store: Path) -> str:
    kept = f" ({made.reused} cases were there already)" if made.reused else ""
    return (
        f"{made.slices} slices{kept}: {made.labelled} labelled, of {made.groups} groups; "
        f"{made.slices - made.labelled} unlabelled.\nThe store: {store}\n"
    )

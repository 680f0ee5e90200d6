"""What a method shows of itself on a trial's held-out slices: how well it draws them, and whether it knows its errors.

FOLDER/maps.csv   a row a slice: PSNR (dB) and SSIM of the map ``reconstruction``, and of ``confidence`` the area under
                  the ROC of 1 - confidence as a detector of wrong pixels; a cell is empty where there is none
FOLDER/maps.png   some of the slices: picture, what was found wrongly, and each map
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from groundglass.cli.explain_maps import CONFIDENCE, DRAWN, Plane, measured
from groundglass.evaluation.confidence import wrong_pixels
from groundglass.inference.predict import as_seen
from groundglass.io.atomic import write_file
from groundglass.methods._method import Method
from groundglass.report.reproduction import MAPS
from groundglass.report.samples import table
from groundglass.report.sheets import grey, sheet_of, spread
from groundglass.store import Store

MAPS_FILE: Final = "maps.csv"
SHOWN: Final = 6  # slices of the picture


def write_maps(method: Method, store: Store, found: Mapping[int, NDArray[np.uint8]], folder: Path, title: str) -> None:
    """Measure and draw the maps of slices; nothing of a method that offers none of those two.

    Args:
        method: in eval mode.
        store: of the slices, which have labels.
        found: number of a slice -> label sets that were found in it, as the network sees it.
        folder: of the trial.
        title: of the picture.
    """
    rows: list[dict[str, str | float | None]] = []
    drawn: list[list[Plane]] = []
    names: list[str] = []
    chosen = spread(list(found), SHOWN)
    for number, sets in found.items():
        top, left, bottom, right = store.frame(number).inner  # the rest is padding
        inner = slice(top, bottom), slice(left, right)
        image, truth = store.prepared(number), store.prepared_label_set(number)
        if truth is None:
            continue
        with torch.inference_mode():
            told = method.maps(as_seen(method, torch.from_numpy(image)[None, None]))
        if not told.keys() & {DRAWN, CONFIDENCE}:
            return
        maps: dict[str, Plane] = {name: values[0].float().cpu().numpy()[inner] for name, values in told.items()}
        picture, own, true = image[inner], sets[inner], truth[inner]
        rows.append({"slice": store.slices[number].id, **measured(maps, picture, own, true)})
        if number in chosen:
            wrong, known = wrong_pixels(own, true)
            names = ["picture", "wrong", *maps]
            drawn.append([picture, (wrong & known).astype(np.float32), *maps.values()])
    if rows:
        write_file(folder / MAPS_FILE, table(rows).encode())
        write_file(folder / "maps.png", sheet_of([[grey(plane) for plane in row] for row in drawn], names, title))


def read_maps(folder: Path) -> dict[str, Sequence[float]]:
    """Each measure of a trial's slices, of those that have it; of a trial without maps nothing.

    Raises:
        OSError, ValueError, KeyError: the file is damaged.
    """
    file = folder / MAPS_FILE
    if not file.exists():
        return {}
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    told = {name: [float(row[name]) for row in rows if row[name]] for name in MAPS}
    return {name: values for name, values in told.items() if values}

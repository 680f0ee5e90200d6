"""Levels of a network that learns from its own labels: what each came to, and which counts.

RUN/levels.csv              a row a level
RUN/stage-2/finished.json   what a level came to, so that a resumed run need not measure it again
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from groundglass.engine.fit import STATE_FILE
from groundglass.errors import ReadError
from groundglass.evaluation.consistency import Consistency, consistency, is_kept
from groundglass.inference.predict import decide, predicted
from groundglass.io.atomic import write_file
from groundglass.labels import Region
from groundglass.methods._method import Method
from groundglass.pseudo_labels import PseudoLabels
from groundglass.store import Store

LEVELS_FILE: Final = "levels.csv"
FINISHED_FILE: Final = "finished.json"


@dataclass(frozen=True)
class Level:
    """What a round of labels came to.

    Attributes:
        stage: number of the stage, from 1.
        round: of its rounds, from 1.
        slices: that have labels which the run made.
        told: its agreement and confidence; None where it is not judged.
        kept: whether it counts.
        dice: of each region on held-out slices whose labels somebody made (``present``).
    """

    stage: int
    round: int
    slices: int
    told: Consistency | None
    kept: bool
    dice: Mapping[Region, float]

    @classmethod
    def after(
        cls,
        passed: Sequence[Level],
        stage: int,
        turn: int,
        slices: int,
        told: Consistency | None,
        dice: Mapping[Region, float],
    ) -> Self:
        """The level that follows others: judged against the last judged one that counts."""
        before = [level.told for level in passed if level.kept and level.told is not None]
        kept = told is None or is_kept(told, before[-1] if before else None)
        return cls(stage, turn, slices, told, kept, dice)


def measure(store: Store, method: Method, labels: PseudoLabels, above: float) -> Consistency:
    """Agreement and confidence of a level on the slices that it was given labels of.

    Args:
        store: of the slices.
        method: the level, in eval mode.
        labels: that it was trained on.
        above: a pixel whose largest probability is not above it says nothing.
    """
    return consistency(_answers(store, method, labels, above))


@dataclass(frozen=True)
class Finished:
    """What a round came to: all that has to be known of it once later ones have been trained from it.

    Attributes:
        weights: digest of those that it ended with.
        told: its agreement and confidence; None where it is not judged.
        dice: of each region on held-out slices.
    """

    weights: str
    told: Consistency | None
    dice: Mapping[Region, float]


def finish(folder: Path, finished: Finished, before: Sequence[Path]) -> None:
    """Write what a round came to, and remove the states of those before it: hundreds would fill a disk.

    Raises:
        WriteError: it could not be written.
    """
    told = None if finished.told is None else asdict(finished.told)
    record = {
        "weights": finished.weights,
        "told": told,
        "dice": {region.key: value for region, value in finished.dice.items()},
    }
    write_file(folder / FINISHED_FILE, (json.dumps(record) + "\n").encode())
    for earlier in before:
        if (earlier / FINISHED_FILE).exists():
            (earlier / STATE_FILE).unlink(missing_ok=True)


def finished(folder: Path) -> Finished | None:
    """What a round came to; None where that is still to be found out, from its state or by training it.

    Raises:
        ReadError: the record is damaged, and so is the state gone.
    """
    try:
        record = json.loads((folder / FINISHED_FILE).read_text(encoding="utf-8"))
        told = None if record["told"] is None else Consistency(**record["told"])
        dice = {region: float(record["dice"][region.key]) for region in Region if region.key in record["dice"]}
        return Finished(str(record["weights"]), told, dice)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        if (folder / STATE_FILE).exists():
            return None
        raise gone(folder) from None


def gone(folder: Path) -> ReadError:
    """The error of a round that cannot be gone on from."""
    return ReadError(
        f"What the run wrote of {folder.name} is damaged or missing.",
        expected=f"its {FINISHED_FILE}, and the {STATE_FILE} of the last round",
        remedy="Remove the run's folder; it begins again.",
    )


def _answers(
    store: Store, method: Method, labels: PseudoLabels, above: float
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]]:
    for number, probability in predicted(store, method, sorted(labels.files)):
        top, left, bottom, right = store.frame(number).inner  # the rest is padding
        said = probability[:, top:bottom, left:right]
        yield labels.read(number)[top:bottom, left:right], decide(said, method.outputs, above), said.max(axis=0)


def write_levels(path: Path, levels: Sequence[Level]) -> None:
    """A row a level: its numbers, and Dice of each region on held-out slices, empty where it has none.

    Raises:
        WriteError: it could not be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["stage", "round", "slices", "agreement", "confidence", "kept", *(f"dice_{region.key}" for region in Region)]
    )
    for level in levels:
        told = ("", "") if level.told is None else (f"{level.told.agreement:.6f}", f"{level.told.confidence:.6f}")
        dice = [f"{level.dice[region]:.6f}" if region in level.dice else "" for region in Region]
        writer.writerow([level.stage, level.round, level.slices, *told, int(level.kept), *dice])
    write_file(path, stream.getvalue().encode())

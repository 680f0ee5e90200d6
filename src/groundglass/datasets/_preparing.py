"""Cases into a store, one after another or by several processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from groundglass import __version__
from groundglass.datasets import _workers
from groundglass.datasets._case import Cases
from groundglass.datasets._preparing_case import Job, Outcome, prepare_case
from groundglass.preprocess.preparation import Preparation
from groundglass.provenance import Provenance, this_machine
from groundglass.scan import Notice
from groundglass.store import StoreWriter

PUBLIC_KEY: Final = b"groundglass: published data"  # the same store has the same hashes for everybody


@dataclass(frozen=True)
class Prepared:
    """What preparing came to.

    Attributes:
        slices: in the store.
        labelled: of them.
        groups: of the labelled ones.
        reused: cases that were there already.
        notices: what is to be known.
    """

    slices: int
    labelled: int
    groups: int
    reused: int
    notices: tuple[Notice, ...]


def prepare_into(
    path: Path,
    dataset: str,
    cases: Cases,
    preparation: Preparation,
    *,
    key: bytes,
    progress: Callable[[float], None] = lambda _: None,
    workers: int = 1,
    lungs: bool = False,
    read: Callable[[], Cases] | None = None,
) -> Prepared:
    """Prepare a data set into a store; what an earlier run has finished is kept.

    However many processes prepare, the store is the same to the byte: they write cases beside it, and this process
    alone makes them part of it, in the order of the reader. No process holds more than one case.

    Args:
        path: of the store.
        dataset: its name, for the manifest.
        cases: what a reader gave.
        preparation: how to prepare.
        key: of the hashes of what is not public.
        progress: is called with the share done, from 0 to 1.
        workers: how many processes prepare; 1 is this one.
        lungs: the classical lung field decides what labels leave open between background and lung.
        read: gives the same cases in another process (it is pickled); needed for several workers.

    Raises:
        GroundglassError: whatever reading, calibrating and writing refuse.
    """
    notices, names, labelled, slices, reused = list(cases.notices), set[str](), Counter[str](), 0, 0
    job = Job(path, preparation, PUBLIC_KEY if cases.public else key, lungs)
    with StoreWriter(path, dataset, preparation) as writer, closing(_each(cases, job, workers, read)) as each:
        for number, made in enumerate(each, start=1):
            notices += made.notices
            if made.name in names:
                notices.append(Notice(f"{made.name} is there twice; the second is left out."))
                made.drop()
            elif not made.slices:
                notices.append(Notice(f"{made.name} is left out: no lung was found in it."))
            else:
                _take(writer, made)
                reused += made.beside is None
                slices += len(made.slices)
                labelled.update(info.group for info in made.slices if info.labelled)
            names.add(made.name)
            progress(number / len(cases))
        writer.finish(_provenance(dataset, preparation, lungs))
    return Prepared(slices, labelled.total(), len(labelled), reused, tuple(notices))


def _take(writer: StoreWriter, made: Outcome) -> None:
    if made.beside is None:
        writer.keep(made.name, made.slices)
    else:
        writer.adopt(made.beside, made.name, made.slices)


def _each(cases: Cases, job: Job, workers: int, read: Callable[[], Cases] | None) -> Generator[Outcome, None, None]:
    """Of each case, in the reader's order."""
    if workers > 1 and read is not None:
        yield from _workers.outcomes(read, len(cases), job, workers)
    else:
        yield from (prepare_case(case, job) for case in cases)


def _provenance(dataset: str, preparation: Preparation, lungs: bool) -> Provenance:
    """Without what differs between a run and one that was taken up again: there is nothing of the kind."""
    return Provenance(
        version=__version__,
        command="prepare",
        settings={"dataset": dataset, "preparation": preparation.as_json()} | ({"lungs": "classical"} if lungs else {}),
        model="none",
        recipe=None,
        seed=None,
        data={},
        machine=this_machine(),
    )

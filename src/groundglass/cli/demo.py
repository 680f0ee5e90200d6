"""``groundglass demo``: the main job without any data, on phantoms whose truth is known.

A small network learns from a few labelled slices of phantom patients, by one method without the unlabelled slices and
by one with them. Then a patient that no training saw goes as DICOM through ``segment``, to a page that shows the truth
beside what was found, the worst failure, and whether the unlabelled slices helped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from groundglass import __version__
from groundglass.cli.phases import Phases
from groundglass.cli.segment import Options, Result, Truth, _beside, segment_one
from groundglass.cli.tuning import tune_for_torch
from groundglass.evaluation.failure import worst_slice
from groundglass.io import OutputFolder, list_files, write_series
from groundglass.io.dicom import read_dicom
from groundglass.phantom import PLAIN, Phantom, phantom
from groundglass.provenance import Provenance, this_machine
from groundglass.report.demonstration import Demonstration, verdict
from groundglass.report.overview import overview_png
from groundglass.report.page import PageContent, render
from groundglass.scan import Notice

SHAPE: Final = (72, 256, 256)  # (z, y, x): big enough to look at, small enough to be quick
SEVERITY: Final = 0.15  # share of the lung
DICOM, STORE, RUNS = "phantom-dicom", "store", "runs"  # folders in the output
PHANTOMS: Final = "These were phantoms: their numbers say nothing about patients."


def run_demo(output: Path, seed: int, quiet: bool) -> None:
    """Train, segment and tell; what an earlier, interrupted call in the folder has finished is kept.

    Raises:
        GroundglassError: the folder holds something else, or cannot be written to.
    """
    tune_for_torch()  # before torch is imported
    from groundglass.cli import demo_trainings as trainings
    from groundglass.cli.processes import require_alone

    require_alone("groundglass demo")
    seconds: dict[str, float] = {}
    with Phases(quiet) as phases:
        phases.begin("drawing a phantom and writing it as DICOM")
        made = phantom(seed, shape=SHAPE, severity=SEVERITY, looks=PLAIN)
        with OutputFolder(output) as results:
            write_series(made.scan, results.path(DICOM))
        phases.begin("drawing phantoms to learn from")
        store = trainings.prepare(output / STORE, seed, phases)
        jobs = trainings.jobs()
        phases.begin(f"training two methods with {len(trainings.SEEDS)} seeds each, {jobs} at a time")
        scores = trainings.train(output / STORE, output / RUNS, jobs, phases)
        phases.end()
        seconds |= phases.seconds
    trainings.write_scores(output, scores)
    told = trainings.compared(scores, store)
    model = trainings.model_of(output / RUNS)
    options = Options(model=str(model), case_name=f"phantom-{seed}", quiet=quiet)
    with _timed(seconds, "segmenting"):
        result = segment_one(str(output / DICOM), output, options, truth=Truth(made.codes, made.sides))
    provenance = Provenance(
        version=__version__,
        command="demo",
        settings={"seed": seed, "patients": trainings.PATIENTS},
        model=result.segmentation.model.name,
        recipe=trainings.recipe_of(trainings.BASELINE, trainings.SEEDS[0]).digest,
        seed=trainings.SEEDS[0],
        data={"store": store.content},
        machine=this_machine(),
    )
    _write(output, made, result, told, provenance, seconds)
    sys.stdout.write(f"{verdict(told)}\n{PHANTOMS}\nThe page: {result.folder / 'page.html'}\n")


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def _write(
    output: Path,
    made: Phantom,
    result: Result,
    told: Demonstration,
    provenance: Provenance,
    seconds: Mapping[str, float],
) -> None:
    """The demo's own page, in place of the one that ``segment`` wrote, and a picture for a README."""
    scan, found = read_dicom(list_files(output / DICOM).files), result.segmentation
    content = PageContent(
        case=result.case,
        scan=scan,
        segmentation=found,
        burden=result.burden,
        provenance=provenance,
        seconds=seconds,
        notices=(Notice(PHANTOMS), *scan.source.notices, *found.notices),
        failure=worst_slice(found.codes, made.codes, scan.voxel_ml),
        demonstration=told,
        **_beside(Truth(made.codes, made.sides), found, scan),
    )
    picture = overview_png(scan, found.codes, made.codes, f"measured, by {told.shown}")
    with OutputFolder(output) as results:
        results.path("page.html").write_text(render(content), encoding="utf-8", newline="\n")
        results.path("overview.png").write_bytes(picture)

"""``groundglass demo``: the main job without any data, on a phantom whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from groundglass.cli.phases import Phases
from groundglass.cli.segment import Options, Truth, segment_one
from groundglass.io import OutputFolder, write_series
from groundglass.phantom import phantom
from groundglass.report.overview import overview_png

SHAPE: Final = (72, 384, 384)  # (z, y, x): big enough to look at, small enough to be quick
SEVERITY: Final = 0.15  # share of the lung


def run_demo(output: Path, seed: int, quiet: bool) -> None:
    """A phantom as a DICOM series, through ``segment``, to a page with the truth beside it."""
    with Phases(quiet) as phases:
        phases.begin("drawing a phantom and writing it as DICOM")
        made = phantom(seed, shape=SHAPE, severity=SEVERITY)
        with OutputFolder(output) as results:
            write_series(made.scan, results.path("phantom-dicom"))
    options = Options(case_name=f"phantom-{seed}", quiet=quiet)
    result = segment_one(str(output / "phantom-dicom"), output, options, truth=Truth(made.codes, made.sides))
    with OutputFolder(output) as results:
        picture = overview_png(made.scan, result.segmentation.codes, made.codes)
        results.path("overview.png").write_bytes(picture)
    sys.stdout.write(
        f"This was a phantom: its numbers say nothing about patients.\nThe page: {result.folder / 'page.html'}\n"
    )

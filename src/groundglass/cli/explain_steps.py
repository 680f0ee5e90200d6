"""``groundglass explain steps``: what the model ``kmeans`` does to a slice, step by step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from groundglass.cli.one_slice import SliceOptions, opened
from groundglass.cli.phases import Phases
from groundglass.io import OutputFolder
from groundglass.preprocess.clusters import Steps, our_steps, published_steps
from groundglass.preprocess.lung import lung_field
from groundglass.report.steps import StepsContent, panels, render
from groundglass.scan import Scan

PUBLISHED_NOTE: Final = (
    "As published, the two largest regions below -170 HU are mostly air: around the body, under the couch. The patient "
    "is a hole in it and is filled; what is called ground glass then is soft tissue."
)
OUR_NOTE: Final = (
    "Solid lesions have the grey of vessels and are not found; what clusters call ground glass may as well be oedema, "
    "a lung in expiration, or the lower side of a lung."
)


@dataclass(frozen=True)
class Options(SliceOptions):
    """What ``explain steps`` was called with, but the scan and the folder.

    Attributes:
        as_published: the thesis's steps, not ours.
    """

    as_published: bool = False


def explain_steps(source: str, output: Path, options: Options) -> None:
    """Write each step on a slice as a PNG, and all on a page.

    Raises:
        GroundglassError: the scan cannot be read, has no slice of that number, or the output cannot be written.
    """
    with Phases(options.quiet) as phases:
        read = opened(source, options, phases)
        case, scan = read.case, read.scan
        with OutputFolder(output) as results:
            phases.begin("steps")
            z, steps = _steps(scan, options)
            for place, panel in enumerate(panels(steps), 1):
                results.path(panel.file(place)).write_bytes(panel.png)
            content = StepsContent(
                case=case,
                slice=z + 1,
                slices=len(scan.hu),
                way="as published" if options.as_published else "ours",
                steps=steps,
                pixel_cm2=scan.spacing_mm[1] * scan.spacing_mm[2] / 100 if scan.source.spacing_known else None,
                notes=(PUBLISHED_NOTE if options.as_published else OUR_NOTE,),
            )
            results.path("page.html").write_text(render(content), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{case}, slice {z + 1}: {len(steps.steps)} steps; page: {output / 'page.html'}\n")


def _steps(scan: Scan, options: Options) -> tuple[int, Steps]:
    """The slice, from 0, and its steps; unless one is asked for, the one with most ground glass by our steps."""
    field = None if options.as_published and options.slice is not None else lung_field(scan, cropped=options.cropped)
    if options.slice is not None:
        z = options.slice - 1
    else:
        areas = [
            our_steps(hu, lung, scan.spacing_mm[1:]).ground_glass.sum() if lung.any() else 0
            for hu, lung in zip(scan.hu, field.mask, strict=True)  # type: ignore[union-attr]
        ]
        z = int(np.argmax(areas)) if max(areas) else len(scan.hu) // 2
    if options.as_published or field is None:
        return z, published_steps(scan.hu[z])
    return z, our_steps(scan.hu[z], field.mask[z] & ~field.airways[z], scan.spacing_mm[1:])

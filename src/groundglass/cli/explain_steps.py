"""``groundglass explain steps``: what the model ``kmeans`` does to a slice, step by step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.cli.segment import Options as SegmentOptions
from groundglass.cli.segment import check_options, in_hounsfield, turned
from groundglass.errors import UsageError
from groundglass.io import OutputFolder, read
from groundglass.preprocess.clusters import Steps, our_steps, published_steps
from groundglass.preprocess.lung import lung_field
from groundglass.provenance import case_name, content_hash
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
class Options:
    """What ``explain steps`` was called with, but the scan and the folder.

    Attributes:
        slice: number of the slice, from 1, feet to head; None: the one with most ground glass.
        as_published: the thesis's steps, not ours.
        series: which DICOM series.
        window: HU of black and white, for pictures.
        cropped: the pictures are crops around the lungs.
        orientation: what turns pictures until the front is up.
        key: of the hash that the case is called by.
        quiet: show no progress.
    """

    slice: int | None = None
    as_published: bool = False
    series: str | None = None
    window: str | None = None
    cropped: bool = False
    orientation: str | None = None
    key: Path | None = None
    quiet: bool = False


def explain_steps(source: str, output: Path, options: Options) -> None:
    """Write each step on a slice as a PNG, and all on a page.

    Raises:
        GroundglassError: the scan cannot be read, has no slice of that number, or the output cannot be written.
    """
    like = SegmentOptions(
        series=options.series, window=options.window, cropped=options.cropped, orientation=options.orientation
    )
    window = check_options([source], like)
    with Phases(options.quiet) as phases:
        phases.begin("reading")
        found = read(source, series=options.series, progress=phases.advance)
        key, _ = load_key(options.key)
        case = case_name(content_hash(found, key))
        scan = in_hounsfield(turned(found, like), window)
        if options.slice is not None and not 1 <= options.slice <= len(scan.hu):
            raise UsageError(
                f"There is no slice {options.slice}.",
                expected=f"1 to {len(scan.hu)}, counted from the feet",
                remedy="Choose one of these.",
            )
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

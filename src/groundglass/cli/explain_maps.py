"""``groundglass explain maps``: what a trained model shows of itself on a slice."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.build import load_model
from groundglass.cli.codes import codes_of
from groundglass.cli.one_slice import SliceOptions, opened
from groundglass.cli.phases import Phases
from groundglass.cli.segment import Options as SegmentOptions
from groundglass.cli.segment import turned
from groundglass.errors import UsageError
from groundglass.evaluation.confidence import error_area, wrong_pixels
from groundglass.evaluation.pairs import DEFAULT_CODES
from groundglass.evaluation.reconstruction import psnr, ssim
from groundglass.inference.maps import SliceMaps, maps_of_slice
from groundglass.io import OutputFolder
from groundglass.io.label_maps import read_label_map
from groundglass.labels import Tissue, sets_from_codes
from groundglass.preprocess.slices import prepare_labels
from groundglass.report.maps import MapsContent, facts, panels, render
from groundglass.scan import GreyImage, Scan

DRAWN: Final = "reconstruction"  # the map that is the picture again
CONFIDENCE: Final = "confidence"  # the map that says what to believe
Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Options(SliceOptions):
    """What ``explain maps`` was called with, but the scan and the folder.

    Attributes:
        model: a checkpoint that groundglass train wrote.
        truth: a label map of the scan, or None.
        truth_codes: what its codes mean.
    """

    model: Path
    truth: Path | None = None
    truth_codes: str = DEFAULT_CODES


def explain_maps(source: str, output: Path, options: Options) -> None:
    """Write each map of a slice as a PNG, and all on a page.

    Raises:
        GroundglassError: scan, model or truth cannot be read or do not fit, there is no slice of that number, or the
            output cannot be written.
    """
    codes = codes_of(options.truth_codes)
    model = load_model(options.model)
    with Phases(options.quiet) as phases:
        read = opened(source, options, phases)
        case, scan = read.case, read.scan
        truth = None if options.truth is None else _truth(options.truth, read.found, options.as_segment, codes)
        with OutputFolder(output) as results:
            shown = maps_of_slice(
                scan,
                model,
                None if options.slice is None else options.slice - 1,
                cropped=options.cropped,
                on_phase=phases.begin,
                on_progress=phases.advance,
            )
            content = _content(case, scan, model.card.name, shown, truth)
            for place, panel in enumerate(panels(content), 1):
                results.path(panel.file(place)).write_bytes(panel.png)
            results.path("page.html").write_text(render(content), encoding="utf-8", newline="\n")
    told = "; ".join(facts(content))
    sys.stdout.write(f"{case}, slice {content.slice}: {told}; page: {output / 'page.html'}\n")


def _truth(
    path: Path, scan: Scan | GreyImage, options: SegmentOptions, codes: Mapping[int, Tissue]
) -> NDArray[np.uint8]:
    """Label sets ``[z, y, x]`` of a scan; labels of pictures lie as these do and are turned alike."""
    if not path.is_file():
        raise UsageError("There is no label map of that name.", expected="a file", remedy="Check its path.")
    found = read_label_map(path)
    shape = scan.grey.shape if isinstance(scan, GreyImage) else scan.hu.shape
    if found.shape != shape:
        raise UsageError(
            f"The truth has {' x '.join(map(str, found.shape))} voxels, the scan {' x '.join(map(str, shape))}.",
            expected="a label map on the scan's own grid",
            remedy="Give the one that belongs to it.",
        )
    sets = sets_from_codes(found, codes)
    if isinstance(scan, GreyImage):
        alike = turned(GreyImage(sets, scan.source), options)
        return alike.grey if isinstance(alike, GreyImage) else sets
    return sets


def _content(case: str, scan: Scan, name: str, shown: SliceMaps, truth: NDArray[np.uint8] | None) -> MapsContent:
    true = None
    if truth is not None:
        top, left, bottom, right = shown.where.inner
        true = prepare_labels(truth[shown.slice], shown.where)[top:bottom, left:right]
    return MapsContent(
        case=case,
        slice=shown.slice + 1,
        slices=len(scan.hu),
        model=name,
        picture=shown.picture,
        sets=shown.sets,
        maps=shown.maps,
        truth=true,
        **measured(shown.maps, shown.picture, shown.sets, true),
    )


def measured(
    maps: Mapping[str, Plane], picture: Plane, sets: NDArray[np.uint8], truth: NDArray[np.uint8] | None
) -> dict[str, float | None]:
    """Numbers of a slice's maps, as `MapsContent` calls them; None of a map that is not there, or without a truth."""
    drawn, confidence = maps.get(DRAWN), maps.get(CONFIDENCE)
    area = None
    if truth is not None and confidence is not None:
        area = error_area(confidence, *wrong_pixels(sets, truth))
    return {
        "psnr_db": None if drawn is None else psnr(drawn, picture),
        "ssim": None if drawn is None else ssim(drawn, picture),
        "error_area": area,
    }

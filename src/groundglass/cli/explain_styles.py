"""``groundglass explain styles``: what a generative model makes of a scan, and the scan with more or less disease.

OUT/style_NAME.nii.gz    the scan if all of it were one tissue, HU; for pictures PNG
OUT/stitched.nii.gz      each voxel from its most probable style
OUT/error.nii.gz         that less the scan, within the window; for pictures without its sign
OUT/dial_PPP.nii.gz      the scan with so many percent of each lung diseased
OUT/dial.csv             what these measure
OUT/NN_*.png, page.html  one slice of all that
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.build import load_model
from groundglass.cli.one_slice import SliceOptions, opened
from groundglass.cli.phases import Phases
from groundglass.errors import UsageError
from groundglass.evaluation.burden import measure
from groundglass.inference.predict import Model
from groundglass.inference.styles import Dial, Views, Volume, found_again, views_of
from groundglass.io import OutputFolder
from groundglass.io.writing import write_hounsfield
from groundglass.labels import Region, Tissue, sets_from_codes
from groundglass.report.samples import names_of, table
from groundglass.report.styles import Step, StylesContent, facts, panels, render, slug
from groundglass.scan import Scan

LESIONS: Final = {"ground_glass": Tissue.GROUND_GLASS, "consolidation": Tissue.CONSOLIDATION}


@dataclass(frozen=True, kw_only=True)
class Options(SliceOptions):
    """What ``explain styles`` was called with, but the scan and the folder.

    Attributes:
        model: a checkpoint that groundglass train wrote.
        lesion: of the dial.
        dial: its percentages, with commas.
    """

    model: Path
    lesion: str
    dial: str


def explain_styles(source: str, output: Path, options: Options) -> None:
    """Write the views of a scan, and the scan with each share of the dial.

    Raises:
        GroundglassError: scan or model cannot be read or do not fit, or the output cannot be written.
    """
    shares = parse_dial(options.dial)
    if options.lesion not in LESIONS:
        raise UsageError(
            f"There is no lesion {options.lesion!r}.", expected=f"one of {', '.join(LESIONS)}", remedy="Choose one."
        )
    model = load_model(options.model)
    with Phases(options.quiet) as phases:
        read = opened(source, options, phases)
        scan = read.scan
        views = views_of(scan, model, cropped=options.cropped, on_phase=phases.begin, on_progress=phases.advance)
        dial = Dial(scan, views, LESIONS[options.lesion])
        with OutputFolder(output) as results:
            writer = _Writer(results, scan, model.preparation.window_hu)
            phases.begin("volumes")
            error = _error(scan, views, model)
            names = names_of(views.tissues)
            for name, style in zip(names, views.styles, strict=True):
                writer.write(f"style_{slug(name)}", style)
            writer.write("stitched", views.stitched)
            writer.write_error(error)
            phases.begin("dial")
            number = _number(views, options.slice)
            steps, drawn = [], []
            for place, share in enumerate(shares):
                hu, codes = dial.at(share)
                writer.write(f"dial_{round(100 * share):03d}", hu)
                steps.append(_step(share, scan, hu, codes, views, model))
                drawn.append(hu[number])
                phases.advance((place + 1) / len(shares))
            content = _content(read.case, scan, views, model, number, names, (steps, drawn), error, options.lesion)
            for place, panel in enumerate(panels(content), 1):
                results.path(panel.file(place)).write_bytes(panel.png)
            rows = [step.row(read.case, options.lesion) for step in steps]
            results.path("dial.csv").write_text(table(rows), encoding="utf-8", newline="\n")
            results.path("page.html").write_text(render(content), encoding="utf-8", newline="\n")
    told = "; ".join(facts(content)[:2])
    sys.stdout.write(f"{read.case}, slice {content.slice}: {told}; page: {output / 'page.html'}\n")


def parse_dial(text: str) -> tuple[float, ...]:
    """Shares, 0 to 1, of whole percentages with commas between them.

    Raises:
        UsageError: they are none.
    """
    try:
        percent = [int(part) for part in text.split(",")]
    except ValueError:
        percent = []
    if not percent or not all(0 <= one <= 100 for one in percent):
        raise UsageError(
            f"A dial at {text!r}.", expected="percentages, 0 to 100, such as 0,50,100", remedy="Correct --dial."
        )
    return tuple(one / 100 for one in sorted(set(percent)))


@dataclass(frozen=True, eq=False)
class _Writer:
    """Volumes on the scan's own grid: NIfTI, or PNG for pictures."""

    results: OutputFolder
    scan: Scan
    window_hu: tuple[float, float]

    def write(self, stem: str, hu: Volume) -> None:
        write_hounsfield(self._path(stem), hu, self.scan, self.window_hu)

    def write_error(self, error: Volume) -> None:
        """For pictures, whose files have no negative values, without its sign: black is none."""
        if self.scan.source.format == "image":
            error, window = np.abs(error), (0.0, self.window_hu[1] - self.window_hu[0])
            write_hounsfield(self._path("error"), error, self.scan, window)
        else:
            self.write("error", error)

    def _path(self, stem: str) -> Path:
        if self.scan.source.format != "image":
            return self.results.path(f"{stem}.nii.gz")
        return self.results.path(stem if len(self.scan.hu) > 1 else f"{stem}.png")


def _error(scan: Scan, views: Views, model: Model) -> Volume:
    """The stitched scan less the scan, both within the window; 0 beyond the crops."""
    error = np.zeros(scan.hu.shape, np.int16)
    black, white = model.preparation.window_hu
    for z, where in views.frames.items():
        top, left, bottom, right = where.box
        inner = slice(top, bottom), slice(left, right)
        error[z][inner] = views.stitched[z][inner] - np.rint(np.clip(scan.hu[z][inner], black, white))
    return error


def _number(views: Views, asked: int | None) -> int:
    """The slice that is drawn: the one asked for, the one with most lesion, or with most lung.

    Raises:
        UsageError: the model does not see the one that is asked for.
    """
    if asked is None:
        lesion = views.lesion.sum(axis=(1, 2), dtype=np.float64)
        lung = (views.segmentation.sides > 0).sum(axis=(1, 2))
        return max(views.frames, key=lambda z: (round(float(lesion[z])), int(lung[z])))
    if asked - 1 not in views.frames:
        raise UsageError(
            f"No lung was found in slice {asked}, and the model sees crops around the lungs.",
            expected=f"one of {min(views.frames) + 1} to {max(views.frames) + 1}",
            remedy="Choose another.",
        )
    return asked - 1


def _step(share: float, scan: Scan, hu: Volume, codes: NDArray[np.uint8], views: Views, model: Model) -> Step:
    """What the dial's volume measures, and what the model finds in it."""
    shown = Scan(hu, scan.affine, scan.source)
    amounts = measure(shown, codes, views.segmentation.sides).zones[0].amounts
    lung, infection = amounts[Region.LUNG_FIELD], amounts[Region.INFECTION]
    found = found_again(hu, scan, views, model)
    return Step(
        share=share,
        lung_ml=lung.volume_ml,
        lesion_ml=infection.volume_ml,
        lesion_percent=infection.percent_of_lung or 0.0,
        mean_hu=lung.mean_hu or 0.0,
        found_percent=100 * float((found > 0).sum()) / lung.voxels,
    )


def _content(
    case: str,
    scan: Scan,
    views: Views,
    model: Model,
    number: int,
    names: Sequence[str],
    dial: tuple[list[Step], list[Volume]],
    error: Volume,
    lesion: str,
) -> StylesContent:
    top, left, bottom, right = views.frames[number].box
    inner = slice(top, bottom), slice(left, right)
    lungs = views.segmentation.sides > 0
    pairs = [
        float(np.abs(one[lungs].astype(np.float32) - other[lungs]).mean())
        for one, other in combinations(views.styles, 2)
    ]
    crops = [error[z][box[0] : box[2], box[1] : box[3]] for z, box in ((z, w.box) for z, w in views.frames.items())]
    return StylesContent(
        case=case,
        slice=number + 1,
        slices=len(scan.hu),
        model=model.card.name,
        window_hu=model.preparation.window_hu,
        picture=scan.hu[number][inner].astype(np.float32),
        sets=sets_from_codes(views.segmentation.codes[number][inner]),
        styles={name: style[number][inner] for name, style in zip(names, views.styles, strict=True)},
        stitched=views.stitched[number][inner].astype(np.float32),
        dial=[hu[inner].astype(np.float32) for hu in dial[1]],
        steps=dial[0],
        lesion=lesion.replace("_", " "),
        error_hu=float(np.abs(np.concatenate([crop.ravel() for crop in crops]).astype(np.float32)).mean()),
        apart_hu=float(np.mean(pairs)),
    )

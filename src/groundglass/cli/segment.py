"""``groundglass segment``: scans in; a label map, measurements and a page out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass import __version__
from groundglass.cli.ending import in_a_line
from groundglass.cli.key import load_key
from groundglass.cli.phases import Phases
from groundglass.cli.window import parse_window
from groundglass.default import DEFAULT, default_model
from groundglass.errors import UsageError
from groundglass.evaluation.burden import Burden, measure
from groundglass.evaluation.overlap import dice
from groundglass.inference import kmeans, threshold
from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.io import OutputFolder, read, write_label_names, write_labels
from groundglass.io.files import is_file, shown
from groundglass.io.writing import (
    LABEL_NAMES_FILE,
    SUFFIX_OF_FORMAT,
    SUFFIX_OF_PROBABILITIES,
    LabelFormat,
    write_probabilities,
)
from groundglass.labels import Region
from groundglass.preprocess.calibrate import Calibration, calibrate, histogram
from groundglass.preprocess.orient import check_orientation, oriented
from groundglass.provenance import Provenance, case_name, content_hash, this_machine
from groundglass.report.measurements import as_json, slices_csv, zones_csv
from groundglass.report.page import PageContent, render
from groundglass.report.words import SPACE, percent
from groundglass.scan import GreyImage, Notice, Scan

if TYPE_CHECKING:
    from groundglass.inference.predict import Model  # torch is imported late

Segmenter = Callable[[Scan, Phases], Segmentation]
FILES_SHOWN: Final = 5
# What needs no training, by name.
CLASSICAL: Final[Mapping[str, Callable[..., Segmentation]]] = {
    threshold.CARD.name: threshold.segment_by_threshold,
    kmeans.CARD.name: kmeans.segment_by_kmeans,
}
VIEWS: Final = (1, 2, 4, 8)
PROVENANCE_FILE: Final = "provenance.json"
LABEL_FORMATS: Final[Mapping[str, LabelFormat]] = {"nifti": "nifti", "nrrd": "nrrd", "png": "image"}
# What this command may have called a label map or a map of probabilities: those of an earlier run must not stay.
_LABEL_MAPS: Final = tuple(
    stem + suffix
    for stem, suffixes in (
        ("labels", SUFFIX_OF_FORMAT),
        *((f"probability_{region.key}", SUFFIX_OF_PROBABILITIES) for region in Region),
    )
    for suffix in ("", *suffixes.values())
)


@dataclass(frozen=True)
class Options:
    """What ``segment`` was called with, but the scans and the folder."""

    model: str | None = None
    series: str | None = None
    label_format: str | None = None
    window: str | None = None
    case_name: str | None = None
    key: Path | None = None
    views: int = 1
    cropped: bool = False
    orientation: str | None = None
    probabilities: bool = False
    codes: str | None = None
    quiet: bool = False


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a phantom: codes and sides, uint8 ``[z, y, x]``, canonical."""

    codes: NDArray[np.uint8]
    sides: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Result:
    """What a case came to."""

    case: str
    folder: Path
    segmentation: Segmentation
    burden: Burden


def segment_all(scans: Sequence[str], output: Path, options: Options) -> None:
    """Segment each scan; one that fails does not keep the others from being done.

    Raises:
        GroundglassError: the options cannot be right, or the only scan failed.
        SystemExit: some of several scans failed; each has been told of.
    """
    window = check_options(scans, options)
    segmenter = _segmenter(options)
    if len(scans) == 1:
        _tell(segment_one(scans[0], output, options, window, segmenter=segmenter))
        return
    failed, done = 0, set[str]()
    for number, scan in enumerate(scans, start=1):
        try:
            result = segment_one(
                scan, output, options, window, segmenter=segmenter, own_folder=True, done=frozenset(done)
            )
        except Exception as error:  # a fault in one, too, or too little memory for it
            message, exit_code = in_a_line(error)
            sys.stderr.write(f"groundglass: scan {number} of {len(scans)}: {message}\n")
            failed = max(failed, exit_code)
        else:
            done.add(result.case)
            _tell(result)
    if failed:
        raise SystemExit(failed)


def segment_one(
    source: str,
    output: Path,
    options: Options,
    window: tuple[float, float] | None = None,
    *,
    segmenter: Segmenter | None = None,
    own_folder: bool = False,
    done: frozenset[str] = frozenset(),
    truth: Truth | None = None,
) -> Result:
    """Read, segment, measure and write one scan.

    Args:
        source: what to read.
        output: the folder for the results; with ``own_folder`` they go to a folder in it, named as the case.
        options: the command's.
        window: HU of black and white, for pictures.
        segmenter: that of the options' model, made once for several scans.
        own_folder: give the case a folder of its own.
        done: cases of this call that are done already.
        truth: where it is known (the demo).
    """
    segmenter = segmenter or _segmenter(options)
    with Phases(options.quiet) as phases:
        phases.begin("reading")
        found = read(source, series=options.series, progress=phases.advance)
        key, key_notices = load_key(options.key)
        digest = content_hash(found, key)
        case = options.case_name or case_name(digest)
        if case in done:
            raise UsageError(
                f"The scan was given twice ({case}).", expected="each scan once", remedy="Leave one of them out."
            )
        scan = in_hounsfield(turned(found, options), window)
        folder = output / case if own_folder else output
        if isinstance(found, GreyImage) and folder.resolve().is_relative_to(Path(source).resolve()):
            raise UsageError(
                "The output folder lies in the folder of the pictures.",
                expected="another: label maps are pictures too, and would be read as slices the next time",
                remedy="Choose one beside it.",
            )
        with OutputFolder(folder) as results:
            results.replace((*_LABEL_MAPS, LABEL_NAMES_FILE), _written_in(folder), PROVENANCE_FILE)
            segmentation = segmenter(scan, phases)
            phases.begin("measuring")
            burden = measure(scan, segmentation.codes, segmentation.sides, lung_known=segmentation.lung_known)
            phases.begin("label map")
            label_format = _label_format(scan, options.label_format)
            write_labels(results.path(_file("labels", scan, label_format)), segmentation.codes, scan, label_format)
            write_label_names(results.path(LABEL_NAMES_FILE))
            for region, levels in segmentation.probabilities.items():
                name = _file(f"probability_{region.key}", scan, label_format, SUFFIX_OF_PROBABILITIES)
                write_probabilities(results.path(name), levels, scan, label_format)
            provenance = provenance_of(options, segmentation.model, window, {"scan": digest})
            phases.begin("page")
            content = PageContent(
                case=case,
                scan=scan,
                segmentation=segmentation,
                burden=burden,
                provenance=provenance,
                seconds=dict(phases.seconds),
                notices=(*scan.source.notices, *key_notices, *segmentation.notices),
                **_beside(truth, segmentation, scan),
            )
            _write(results, content)
            for notice in content.notices:
                phases.tell(_note(notice))
        return Result(case, folder, segmentation, burden)


def check_options(scans: Sequence[str], options: Options) -> tuple[float, float] | None:
    """The window that the options state.

    Raises:
        UsageError: they cannot be right.
    """
    if options.views not in VIEWS:
        raise UsageError(f"{options.views} views.", expected=f"one of {VIEWS}", remedy="Choose one of these.")
    if options.label_format is not None and options.label_format not in LABEL_FORMATS:
        raise UsageError(
            "There is no label format of that name.",
            expected=f"one of {', '.join(LABEL_FORMATS)}",
            remedy="Choose one of these.",
        )
    if options.case_name is not None and len(scans) > 1:
        raise UsageError(
            f"One --case-name for {len(scans)} scans.", expected="one scan", remedy="Segment them one by one."
        )
    if options.case_name is not None and not _is_name(options.case_name):
        raise UsageError(
            "The case name cannot be a file's name.",
            expected="1 to 64 letters, digits, spaces, dots, dashes or underscores, not starting with a dot",
            remedy="Choose a plainer one.",
        )
    if options.orientation is not None:
        check_orientation(options.orientation)
    return None if options.window is None else parse_window(options.window)


def _segmenter(options: Options) -> Segmenter:
    """What segments: the classical model, or the one in a checkpoint."""
    chosen = chosen_model(options)
    if isinstance(chosen, str):
        classical = CLASSICAL[chosen]
        return lambda scan, phases: classical(scan, phases.begin, cropped=options.cropped)
    model = load(chosen)
    from groundglass.inference.predict import segment_by_model

    return lambda scan, phases: segment_by_model(
        scan,
        model,
        views=options.views,
        cropped=options.cropped,
        probabilities=options.probabilities,
        on_phase=phases.begin,
        on_progress=phases.advance,
    )


def chosen_model(options: Options) -> str | Path:
    """The name of a classical model, or the file of a trained one: by default the one that the package holds.

    Raises:
        UsageError: there is none of that name, or it has not what is asked for.
    """
    asked = None if options.model == DEFAULT and default_model() else options.model
    chosen: str | Path = asked or default_model() or threshold.CARD.name
    if chosen in CLASSICAL:
        if options.probabilities:
            raise UsageError(
                f"The model {chosen} has no probabilities.",
                expected="a trained model",
                remedy="Give the file of one, or leave --model out if the package holds one.",
            )
        return str(chosen)
    path = Path(chosen)
    if not is_file(path):
        raise UsageError(
            "There is no model of that name, and no such file.",
            expected=f"{', '.join((DEFAULT, *CLASSICAL))}, or a checkpoint that groundglass train wrote",
            remedy="Check the name, or the path.",
        )
    return path


def load(path: Path) -> Model:
    """A trained model; torch is imported here, and not before."""
    from groundglass.cli.tuning import tune_for_torch

    tune_for_torch()
    from groundglass.build import load_model

    return load_model(path)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 64 and not name.startswith(".") and all(c.isalnum() or c in " .-_" for c in name)


def turned(found: Scan | GreyImage, options: Options) -> Scan | GreyImage:
    """Pictures turned as the user says; what is said of pictures must not be said of scans."""
    if isinstance(found, GreyImage):
        return found if options.orientation is None else oriented(found, check_orientation(options.orientation))
    told = {"--cropped": options.cropped, "--orientation": options.orientation, "--window": options.window}
    if asked := [name for name, value in told.items() if value]:
        raise UsageError(
            f"{asked[0]} for a scan.",
            expected="it for pictures only: a scan says itself how it lies and what it measured",
            remedy="Leave it out.",
        )
    return found


def in_hounsfield(found: Scan | GreyImage, window: tuple[float, float] | None) -> Scan:
    """The scan, or what pictures are in HU by the window that is stated or estimated."""
    if isinstance(found, Scan):
        return found
    made = calibration_of(found, window)
    told = "as stated"
    if made.how != "stated":
        of_peaks = "its own histogram" if made.how == "peaks" else "its soft tissue and a usual window"
        where = "a usual window" if made.soft_grey is None else of_peaks
        told = f"estimated from {where}, which errs by some 60 HU (--window states them)"
    scan = found.with_window(made.black_hu, made.white_hu)
    stated = Notice(
        f"The picture is 8-bit grey; its Hounsfield units are {told}: black is {made.black_hu:.0f} HU, white is "
        f"{made.white_hu:.0f} HU. Everything measured stands and falls with that. A pixel is taken to be 1 mm where "
        "the method has limits in mm."
    )
    return replace(scan, source=replace(scan.source, notices=(*scan.source.notices, stated)))


def calibration_of(found: GreyImage, window: tuple[float, float] | None) -> Calibration:
    """What the grey values of pictures are taken to mean: the stated window, or what their histogram tells."""
    return calibrate(histogram(found.grey)) if window is None else Calibration(*window, "stated")


def provenance_of(
    options: Options, model: ModelCard, window: tuple[float, float] | None, data: Mapping[str, str]
) -> Provenance:
    """Where an output of this command comes from; ``data`` are hashes of what was read, those of weights are added."""
    settings: dict[str, Any] = {"format": options.label_format or "default"}
    if model.digest:  # a trained one
        settings["views"] = options.views
    if window is not None:
        settings["window"] = list(window)
    if options.cropped:
        settings["cropped"] = True
    for name in ("orientation", "codes"):
        if (value := getattr(options, name)) is not None:
            settings[name] = value
    return Provenance(
        version=__version__,
        command="segment",
        settings=settings,
        model=model.name,
        recipe=None,
        seed=None,
        data={**data, **({"weights": model.digest} if model.digest else {})},
        machine=this_machine(),
    )


def _beside(truth: Truth | None, segmentation: Segmentation, scan: Scan) -> dict[str, Any]:
    """What the page shows beside the result where the truth is known."""
    if truth is None:
        return {}
    agreement = {f"Dice, {region.title}": dice(segmentation.codes, truth.codes, region) for region in Region}
    return {
        "truth": truth.codes,
        "truth_burden": measure(scan, truth.codes, truth.sides),
        "agreement": {title: value for title, value in agreement.items() if value is not None},
    }


def _label_format(scan: Scan, asked: str | None) -> LabelFormat:
    """Of the label map: pictures get pictures, everything else NIfTI, unless asked for."""
    if asked:
        return LABEL_FORMATS[asked]
    return "image" if scan.source.format == "image" else "nifti"


def _file(
    stem: str, scan: Scan, label_format: LabelFormat, suffixes: Mapping[LabelFormat, str] = SUFFIX_OF_FORMAT
) -> str:
    """The name of a file on the scan's grid; several slices as pictures are a folder."""
    several = label_format == "image" and len(scan.hu) > 1
    return stem if several else f"{stem}{suffixes[label_format]}"


def _write(results: OutputFolder, content: PageContent) -> None:
    texts = {
        "measurements.csv": zones_csv(content.case, content.burden),
        "slices.csv": slices_csv(content.case, content.burden),
        "measurements.json": json_text(as_json(content.case, content.burden, content.segmentation)),
        "page.html": render(content),
    }
    for name, text in texts.items():
        results.path(name).write_text(text, encoding="utf-8", newline="\n")
    record = {**content.provenance.as_json(), "files": results.written()}
    results.path(PROVENANCE_FILE).write_text(json_text(record), encoding="utf-8", newline="\n")


def _written_in(folder: Path) -> Mapping[str, str]:
    """What an earlier run of this command wrote to a folder: name -> SHA-256."""
    try:
        files = json.loads((folder / PROVENANCE_FILE).read_bytes())["files"]
        return {name: digest for name, digest in files.items() if isinstance(digest, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _note(notice: Notice) -> str:
    """A notice for standard error, on a terminal with the first files that it is about: names may be patients'."""
    names = [shown(name) for name in notice.files[:FILES_SHOWN]] if sys.stderr.isatty() else []
    names += ["..."] if len(notice.files) > len(names) > 0 else []
    return f"note: {notice.text}" + (f" ({', '.join(names)})" if names else "")


def json_text(record: Mapping[str, Any]) -> str:
    """A record as the files of this command hold it."""
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _tell(result: Result) -> None:
    """One line on standard output: the case, what was found, where the page is."""
    burden = result.burden
    lung, infection = (burden.zones[0].amounts[region] for region in (Region.LUNG_FIELD, Region.INFECTION))
    share = percent(burden.opacity_percent).replace(SPACE, " ")
    if not lung.voxels:
        found = "no lung found"
    elif lung.volume_ml is None or infection.volume_ml is None:
        found = f"infection in {share} of the lung"
    else:
        found = f"lung {lung.volume_ml:.0f} mL, infection {infection.volume_ml:.1f} mL ({share} of the lung)"
    sys.stdout.write(f"{result.case}: {found}; page: {result.folder / 'page.html'}\n")

"""``groundglass segment`` of many pictures: a label map each, under the picture's own name.

OUT/7.png                 the label map of 7.jpg: a byte a pixel, of the picture's own size and orientation
OUT/7_infection.png       with ``--maps``, of each region: its probability, 255 is certain
OUT/images.csv            a row a picture: size, how it was turned, what it was taken for, which HU black and white are
OUT/labels.json           what the codes mean
OUT/provenance.json       how this came about
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from groundglass.cli.codes import codes_of, names_of, renamed
from groundglass.cli.phases import Phases
from groundglass.cli.segment import (
    CLASSICAL,
    PROVENANCE_FILE,
    Options,
    calibration_of,
    check_options,
    chosen_model,
    json_text,
    load,
    provenance_of,
    turned,
)
from groundglass.errors import ScanError, UsageError
from groundglass.inference.segmentation import Segmentation
from groundglass.io import InputFile, OutputFolder, list_files
from groundglass.io.files import is_file, shown
from groundglass.io.image import natural, read_images
from groundglass.io.limits import MAX_VOXELS
from groundglass.io.reading import kind_of
from groundglass.io.writing import LABEL_NAMES_FILE, write_values
from groundglass.labels import TISSUE_OF_CODE, Region
from groundglass.preprocess.calibrate import Calibration
from groundglass.scan import GreyImage, Scan

TABLE_FILE: Final = "images.csv"
VIEWS_OF_PICTURES: Final = 8  # by default: a picture is soon done, and how it lies is not known
MAPS: Final = (Region.INFECTION, Region.GROUND_GLASS, Region.CONSOLIDATION)
_FORMULA: Final = ("=", "+", "-", "@")  # a spreadsheet would reckon with it, if no apostrophe stood before
_WINDOW_FROM: Final = {"stated": "stated", "peaks": "histogram", "prior": "usual"}
_OF_SCANS: Final = {"series": "--series", "label_format": "--format", "case_name": "--case-name", "key": "--key"}


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture that was read.

    Attributes:
        stem: of its name, and of its outputs' names.
        image: turned as the user says.
        calibration: what its grey values are taken to mean.
    """

    stem: str
    image: GreyImage
    calibration: Calibration

    @property
    def scan(self) -> Scan:
        """It in Hounsfield units."""
        return self.image.with_window(self.calibration.black_hu, self.calibration.white_hu)


def are_pictures(given: Sequence[str], options: Options) -> bool:
    """Whether label maps by name are asked for: by their codes, or by several inputs with a picture among them."""
    return options.codes is not None or (len(given) > 1 and any(_is_picture(path) for path in given))


def _is_picture(path: str) -> bool:
    return is_file(Path(path)) and [kind_of(file) for file in list_files(path).files] == ["image"]


def segment_pictures(given: Sequence[str], output: Path, options: Options) -> None:
    """Make a label map of each picture; all of them are written, or none.

    Args:
        given: pictures, or folders of them.
        output: the folder for the results.
        options: the command's.

    Raises:
        GroundglassError: options that cannot be right, something that is no picture or cannot be read, two pictures of
            one name, an output that is there already.
    """
    _refuse_options_of_scans(options)
    window = check_options(given, options)
    codes = renamed(TISSUE_OF_CODE if options.codes is None else codes_of(options.codes))
    with Phases(options.quiet) as phases:
        phases.begin("reading")
        files = _listed(given)
        _refuse_names(files, output, MAPS if options.probabilities else ())
        segmenter = _segmenter(options)
        pictures = _read(files, options, window, phases.advance)
        rows = []
        with OutputFolder(output) as results:
            phases.begin("segmenting")
            answers = segmenter(picture.scan for picture in pictures)
            for number, (picture, done) in enumerate(zip(pictures, answers, strict=True), start=1):
                write_values(results.path(f"{picture.stem}.png"), codes[done.codes], picture.image)
                for region in MAPS if options.probabilities else ():
                    path = results.path(_map_name(picture.stem, region))
                    write_values(path, done.probabilities[region], picture.image)
                rows.append(_row(picture, done, options))
                model = done.model
                phases.advance(number / len(pictures))
            names = names_of(codes)
            labels = {"labels": [{"code": code, "name": name} for code, name in names.items()]}
            for file, text in (
                (TABLE_FILE, _csv(rows)),
                (LABEL_NAMES_FILE, json_text(labels)),
                (PROVENANCE_FILE, json_text(provenance_of(options, model, window, {}).as_json())),
            ):
                results.path(file).write_text(text, encoding="utf-8", newline="\n")
        phases.end()
        for note in _notes(rows):
            phases.tell(f"note: {note}")
    meaning = ", ".join(f"{code} {name}" for code, name in names.items())
    sys.stdout.write(f"{len(rows)} label maps by the model {model.name} in {output}: {meaning}\n")


def _refuse_options_of_scans(options: Options) -> None:
    for name, option in _OF_SCANS.items():
        value = getattr(options, name)
        if value is not None and (name, value) != ("label_format", "png"):
            raise UsageError(
                f"{option} for label maps by name.",
                expected="it for scans only: these are called as the pictures, and are PNG",
                remedy="Leave it out.",
            )


def _listed(given: Iterable[str]) -> list[InputFile]:
    """The pictures that were given, folders' in natural order of their names.

    Raises:
        UsageError: something that is none, or nothing there.
        ReadError: it cannot be read.
    """
    found = []
    for path in given:
        files = sorted(list_files(path).files, key=lambda file: natural(file.name))
        for file in files:
            if kind_of(file) != "image":
                raise UsageError(
                    f"{shown(file.name)} is no picture.",
                    expected="PNG or JPG alone, where label maps by name are made",
                    remedy="Leave it out; segment scans in a call of their own, without --codes.",
                )
        found += files
    if not found:
        raise UsageError("There is no picture.", expected="PNG or JPG", remedy="Give some, or the folder with them.")
    return found


def _stem(file: InputFile) -> str:
    return PurePosixPath(file.name).stem


def _map_name(stem: str, region: Region) -> str:
    return f"{stem}_{region.key}.png"


def _refuse_names(files: Sequence[InputFile], output: Path, regions: Sequence[Region]) -> None:
    """Refuse pictures whose outputs would be called alike, and outputs that are there already.

    Names that differ by capitals only are one on many disks.
    """
    names = [TABLE_FILE, LABEL_NAMES_FILE, PROVENANCE_FILE]
    for file in files:
        stem = _stem(file)
        names += [f"{stem}.png", *(_map_name(stem, region) for region in regions)]
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise UsageError(
                f"Two outputs would be called {shown(name)}.",
                expected="pictures whose names differ, suffix aside",
                remedy="Rename one, or segment them in two calls to two folders.",
            )
        seen.add(name.casefold())
        if (output / name).exists():
            raise UsageError(
                f"The output folder holds {shown(name)} already.",
                expected="a folder without what would be written",
                remedy="Choose another folder, or remove it.",
            )


def _segmenter(options: Options) -> Callable[[Iterable[Scan]], Iterator[Segmentation]]:
    chosen = chosen_model(options)
    if isinstance(chosen, str):
        classical = CLASSICAL[chosen]
        return lambda scans: (classical(scan, cropped=options.cropped) for scan in scans)
    model = load(chosen)
    from groundglass.inference import predict

    return lambda scans: predict.segment_pictures(
        scans, model, views=options.views, cropped=options.cropped, probabilities=options.probabilities
    )


def _read(
    files: Sequence[InputFile],
    options: Options,
    window: tuple[float, float] | None,
    progress: Callable[[float], object],
) -> list[_Picture]:
    """All pictures, before any is segmented: a damaged one is told of at once.

    Raises:
        ReadError, ScanError: one that cannot be read, is in colour or has 16 bits; more pixels than are taken.
    """
    pictures, pixels = [], 0
    for number, file in enumerate(files, start=1):
        image = turned(read_images([file]), options)
        assert isinstance(image, GreyImage)  # noqa: S101 - pictures are
        pixels += image.grey.size
        if pixels > MAX_VOXELS:
            raise ScanError(
                "The pictures have more pixels than are taken at a time.",
                expected=f"at most {MAX_VOXELS} in all",
                remedy="Segment them in several calls.",
            )
        pictures.append(_Picture(_stem(file), image, calibration_of(image, window)))
        progress(number / len(files))
    return pictures


def _row(picture: _Picture, done: Segmentation, options: Options) -> dict[str, str | int]:
    height, width = picture.image.source.axes.from_canonical(picture.image.grey).T.shape[1:]
    return {
        "stem": f"'{picture.stem}" if picture.stem.startswith(_FORMULA) else picture.stem,
        "width": width,
        "height": height,
        "orientation": options.orientation or "as-is",
        "taken_for": "crop" if done.cropped else "slice",
        "black_hu": round(picture.calibration.black_hu),
        "white_hu": round(picture.calibration.white_hu),
        "window_from": _WINDOW_FROM[picture.calibration.how],
    }


def _csv(rows: Sequence[Mapping[str, str | int]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _notes(rows: Sequence[Mapping[str, str | int]]) -> list[str]:
    """What was assumed of the pictures, for the person at the terminal."""
    black, white = ([int(row[f"{end}_hu"]) for row in rows] for end in ("black", "white"))
    told = " and ".join(
        f"{name} {values[0]}" if min(values) == max(values) else f"{name} {min(values)} to {max(values)}"
        for name, values in (("black is", black), ("white is", white))
    )
    sources = [str(row["window_from"]) for row in rows]
    where = {"stated": "as stated", "histogram": "each by its histogram", "usual": "by a usual window"}
    counted = ", ".join(
        f"{words}" + (f" ({sources.count(source)})" if len(set(sources)) > 1 else "")
        for source, words in where.items()
        if source in sources
    )
    crops = sum(row["taken_for"] == "crop" for row in rows)
    errs = "" if set(sources) == {"stated"} else "; that errs by some 60 HU, and --window states it"
    return [
        f"Hounsfield units assumed: {told} HU, {counted}{errs}.",
        f"Taken for crops around the lungs: {crops} of {len(rows)}. All of it stands in {TABLE_FILE}.",
    ]

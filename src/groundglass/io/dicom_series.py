"""Which of the series in a folder is the scan: told apart, set aside, listed, chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from groundglass.errors import GroundglassError, ReadError, ScanError, UsageError
from groundglass.io.dicom_grid import heights
from groundglass.io.dicom_header import (
    Slice,
    cut_short,
    damaged,
    derived,
    looks_like_dicom,
    parse,
    reason_aside,
    reformatted,
    slices_of,
)
from groundglass.io.dicom_terms import whole, word
from groundglass.io.files import InputFile, shown

SAME_PLACE_MM: Final = 1e-2
DERIVED: Final = "derived images (MPR, MIP and the like)"
# What tells apart images that share a series and a place: phases, echoes, reconstructions.
_DISTINGUISHING: Final = (
    *("AcquisitionNumber", "TemporalPositionIdentifier", "TemporalPositionIndex", "ConvolutionKernel"),
    *("EchoNumbers", "SliceThickness"),
)


@dataclass(frozen=True, eq=False)
class Series:
    """Images that make one stack: of one series, size and orientation.

    Attributes:
        uid: the series' UID, a plain string that need not be valid.
        slices: its planes, unordered.
    """

    uid: str
    slices: tuple[Slice, ...]

    def described(self) -> str:
        """Its description, kernel, thickness and slices, for a terminal."""
        first = self.slices[0]
        thickness = f"{first.thickness:g} mm" if first.thickness is not None else "thickness unknown"
        kernel = shown(word(first.dataset, "ConvolutionKernel"), 16) or "unknown"
        described = shown(word(first.dataset, "SeriesDescription"), 40) or "no description"
        count = len(self.slices)
        return f"{described}, kernel {kernel}, {thickness}, {count} slice{'s' if count > 1 else ''}"


@dataclass(eq=False)
class Survey:
    """What a list of files holds.

    Attributes:
        series: those that may be the scan, numbered by their order.
        derived: those set aside because original ones are there, or because they are reformats.
        aside: reason -> names of files that cannot be the scan.
        broken: names of files that are cut short or damaged.
        misnamed: names of files called .dcm that are no DICOM.
        other: names of other files.
    """

    series: list[Series] = field(default_factory=list)
    derived: list[Series] = field(default_factory=list)
    aside: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    broken: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def survey(files: Sequence[InputFile], tick: Callable[[int], None]) -> Survey:
    """Read all headers and sort the images into series. Call it within ``quiet()``.

    Args:
        files: any files; what is not DICOM is counted.
        tick: is told how many files are done.
    """
    result = Survey()
    images: list[Slice] = []
    for done, file in enumerate(files, 1):
        images.extend(_sort_in(file, result))
        tick(done)
    stacks = [stack for uid, group in _by_series(images) for stack in _stacks(uid, group, result)]
    original = [stack for stack in stacks if not derived(stack.slices[0].dataset) and not _reformat(stack)]
    result.series = original or [stack for stack in stacks if not _reformat(stack)]
    result.derived = [stack for stack in stacks if stack not in result.series]
    for stack in result.derived:
        result.aside[DERIVED].extend(plane.file.name for plane in stack.slices)
    return result


def _reformat(stack: Series) -> bool:
    return reformatted(stack.slices[0].dataset)


def _sort_in(file: InputFile, result: Survey) -> Iterable[Slice]:
    """A file's planes if it may belong to the scan; else its name goes to where it belongs."""
    if not looks_like_dicom(file.read(132)):
        (result.misnamed if file.suffix == ".dcm" else result.other).append(file.name)
        return ()
    dataset = parse(file)
    if dataset is None:
        result.broken.append(file.name)
        return ()
    reason = reason_aside(dataset)
    if reason is None and not damaged(file, dataset):
        return slices_of(file, dataset)
    if reason is None or cut_short(dataset):
        result.broken.append(file.name)
    else:
        result.aside[reason].append(file.name)
    return ()


def _by_series(images: Sequence[Slice]) -> list[tuple[str, list[Slice]]]:
    groups: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    for plane in images:
        uid = word(plane.dataset, "SeriesInstanceUID")
        groups[(uid,) if uid else _instead_of_uid(plane)].append(plane)

    def order(item: tuple[tuple[str, ...], list[Slice]]) -> tuple[int, tuple[str, ...]]:
        number = whole(item[1][0].dataset, "SeriesNumber")
        return (2**31 if number is None else number), item[0]

    return [(key[0], group) for key, group in sorted(groups.items(), key=order)]


def _instead_of_uid(plane: Slice) -> tuple[str, ...]:
    keywords = ("StudyInstanceUID", "SeriesNumber", "SeriesDescription", "ConvolutionKernel", "PatientID")
    return ("", *(word(plane.dataset, keyword) for keyword in keywords), plane.file.name.rpartition("/")[0])


def _stacks(uid: str, images: Sequence[Slice], result: Survey) -> list[Series]:
    """A series' images by size and orientation; a few in another orientation are localizers, set aside."""
    stacks: list[list[Slice]] = []
    for plane in sorted(images, key=lambda plane: (plane.file.name, plane.frame)):
        fitting = next((stack for stack in stacks if _alike(stack[0], plane)), None)
        if fitting is None:
            stacks.append([plane])
        else:
            fitting.append(plane)
    largest = max(stacks, key=len)
    for stack in list(stacks):
        turned = not _close(stack[0].orientation, largest[0].orientation, 0.05)
        if turned and len(stack) < 4 and len(largest) >= 5:
            stacks.remove(stack)
            result.aside["localizers (scouts)"].extend(plane.file.name for plane in stack)
    return [Series(uid, tuple(part)) for stack in stacks for part in _by_acquisition(stack)]


def _alike(first: Slice, other: Slice) -> bool:
    size = (first.rows, first.columns) == (other.rows, other.columns)
    spacing = _close(first.spacing, other.spacing, 0.01 * max(map(abs, first.spacing or (0.0,))))
    return size and spacing and _close(first.orientation, other.orientation, 0.05)


def _close(first: tuple[float, ...] | None, other: tuple[float, ...] | None, tolerance: float) -> bool:
    """Whether two fields agree; one that is absent agrees with all, and is complained of later."""
    if first is None or other is None:
        return True
    return bool(np.abs(np.subtract(first, other)).max() <= tolerance)


def _by_acquisition(stack: list[Slice]) -> list[list[Slice]]:
    """A stack whose places repeat, parted by the first field that leaves no place twice."""
    if not _repeats(stack):
        return [stack]
    for keyword in _DISTINGUISHING:
        parts: dict[str, list[Slice]] = defaultdict(list)
        for plane in stack:
            parts[word(plane.dataset, keyword)].append(plane)
        if len(parts) > 1 and not any(_repeats(part) for part in parts.values()):
            return [parts[key] for key in sorted(parts, key=lambda value: (len(value), value))]
    return [stack]


def _repeats(stack: list[Slice]) -> bool:
    if len(stack) < 2 or any(plane.position is None or plane.orientation is None for plane in stack):
        return False
    return bool((np.diff(np.sort(heights(stack))) < SAME_PLACE_MM).any())


def choose(found: Survey, series: str | int | None) -> Series:
    """The one series that is the scan.

    Args:
        found: the survey.
        series: its number (from 1) or UID, or None where there is only one.

    Raises:
        UsageError: several series and none chosen, or none with this number or UID.
        ScanError: images, but no CT among them.
        ReadError: no DICOM, or only damaged files.
    """
    wanted = None if series is None else str(series).strip()
    if wanted is None:
        if len(found.series) == 1:
            return found.series[0]
        raise _several(found) if found.series else nothing(found)
    by_uid = [stack for stack in (*found.series, *found.derived) if stack.uid and stack.uid == wanted]
    if len(by_uid) == 1:
        return by_uid[0]
    if by_uid:
        raise UsageError(
            f"The series with this UID splits into {len(by_uid)} stacks:{_list(found, by_uid)}\n",
            expected="one of them",
            remedy="Choose with --series N.",
        )
    numbered = _numbered(found)
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:9]) <= len(numbered):
        return numbered[int(wanted[:9]) - 1]
    if not found.series and not found.derived:
        raise nothing(found)
    raise UsageError(
        f"No series has this number or UID; there are:{_list(found, found.series)}\n",
        expected=f"1 to {len(found.series)}, or the UID of a CT series",
        remedy="Choose with --series N.",
    )


def _several(found: Survey) -> UsageError:
    single = sum(len(stack.slices) == 1 for stack in found.series)
    hint = " If they are one scan, its series UIDs were replaced one by one: export it again with one UID for all."
    return UsageError(
        f"There are {len(found.series)} series:{_list(found, found.series)}\n",
        expected="one series",
        remedy="Choose with --series N or --series UID." + (hint if single > max(3, len(found.series) / 2) else ""),
    )


def _numbered(found: Survey) -> list[Series]:
    """What a number chooses: the series, then those set aside that share their UID, so that it cannot choose them."""
    uids = [stack.uid for stack in (*found.series, *found.derived)]
    return [*found.series, *(stack for stack in found.derived if stack.uid and uids.count(stack.uid) > 1)]


def _list(found: Survey, stacks: Sequence[Series]) -> str:
    number = {stack: number for number, stack in enumerate(_numbered(found), 1)}
    return "".join(f"\n  {number[stack]}: {stack.described()}" for stack in stacks)


def nothing(found: Survey) -> GroundglassError:
    """The error for files without a CT series, saying what they are."""
    if found.aside:
        kinds = ", ".join(f"{reason} ({len(names)})" for reason, names in sorted(found.aside.items()))
        return ScanError(
            f"There are no CT slices, only: {kinds}.",
            expected="a CT series",
            remedy="Give the folder of the original axial CT images.",
        )
    if found.broken:
        return ReadError(
            f"The DICOM files are cut short or damaged ({len(found.broken)} of {len(found.broken)}).",
            expected="whole files",
            remedy="Copy or export them again.",
        )
    count = len(found.misnamed) + len(found.other)
    return ReadError(
        f"There is no DICOM file among {count}"
        + (f" ({len(found.misnamed)} have only the name of one)." if found.misnamed else "."),
        expected="a CT series",
        remedy="Give the folder that holds the slices.",
    )

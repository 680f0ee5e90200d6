"""A DICOM series to a scan: headers first, then the pixels of the one series that is the scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError, ScanError
from groundglass.io.dicom_grid import Grid, check_headers, heights, stack
from groundglass.io.dicom_header import NATIVE, Slice, slice_gap, transfer_syntax
from groundglass.io.dicom_pixels import DamagedSlice, Decoder, check_unit, rescale_of, unscaled
from groundglass.io.dicom_series import SAME_PLACE_MM, Survey, choose, survey
from groundglass.io.dicom_terms import acquisition, items, modality, whole, word
from groundglass.io.files import InputFile
from groundglass.io.hounsfield import check_hounsfield
from groundglass.io.limits import check_voxels
from groundglass.io.quiet import c_stderr, quiet
from groundglass.scan import Acquisition, Notice, Scan, Source, canonical_axes

Progress = Callable[[float], None]
_HEADERS_SHARE = 0.2  # of the time, about
_MAX_LOST = 0.25  # of the places: where more are gone, what is left can look like a stack of another spacing


@dataclass(eq=False)
class _Planes:
    """Decoded planes and what was met on the way: ``values`` is ``[n, row, column]``, one plane a slice."""

    slices: list[Slice]
    values: NDArray[Any]
    damaged: list[str] = field(default_factory=list)
    unscaled: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


def read_dicom(files: Sequence[InputFile], series: str | int | None = None, progress: Progress | None = None) -> Scan:
    """Read the one CT series among files.

    Args:
        files: any files; DICOM is found by content, whatever a file is called.
        series: number (from 1) or UID of the series, needed where there are several.
        progress: is called with the share done, from 0 to 1.

    Returns:
        the scan; its source holds the headers in the order of the file grid, None for an interpolated plane.

    Raises:
        UsageError: several series and none chosen.
        ReadError: nothing that can be read.
        ScanError: images, but no CT, or none that makes one regular upright stack.
    """
    tell = progress or (lambda _share: None)
    with quiet() as warned:
        found = survey(files, lambda done: tell(_HEADERS_SHARE * done / len(files)))
        chosen = choose(found, series)
        check_headers(chosen.slices)
        check_unit(chosen.slices)
        _check_frames(chosen.slices)
        check_voxels((len(chosen.slices), chosen.slices[0].rows, chosen.slices[0].columns))
        places = _by_place(chosen.slices)
        grid = stack([place[0] for place in places])  # refuse what cannot be stacked before decoding it
        planes = _decode(places, lambda done: tell(_HEADERS_SHARE + (1 - _HEADERS_SHARE) * done / len(places)))
        told = acquisition(planes.slices[0].dataset, planes.slices[0].thickness)
        of_headers = _header_notices(planes.slices, grid)
        shifted = any(rescale_of(plane)[1] for plane in planes.slices)
    if len(planes.slices) < len(places):
        grid = stack(planes.slices)
    values = _with_missing(planes.values, grid)
    check_hounsfield(values, padded=not shifted)
    notices = [*_survey_notices(found), *_plane_notices(planes, grid), *of_headers]
    if warned.number:
        text = f"The headers break rules of DICOM in {warned.number} places; nothing needed was unreadable."
        notices.append(Notice(text))
    return _scan(values, grid, planes.slices, told, notices)


def _check_frames(slices: Sequence[Slice]) -> None:
    for plane in slices:
        frames = whole(plane.dataset, "NumberOfFrames") or 1
        groups = len(items(plane.dataset, "PerFrameFunctionalGroupsSequence"))
        if frames != (groups or 1):
            raise ScanError(
                f"A file holds {frames} frame{'s' if frames > 1 else ''} and the places of {groups}.",
                expected="one slice a file, or enhanced CT",
                remedy="Export the series as single slices.",
            )


def _by_place(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices from the lowest along the normal to the highest; those at one place together."""
    height = heights(slices)
    order = sorted(range(len(slices)), key=lambda n: (height[n], slices[n].file.name, slices[n].frame))
    places: list[list[Slice]] = []
    last = -np.inf
    for n in order:
        if height[n] - last < SAME_PLACE_MM:
            places[-1].append(slices[n])
        else:
            places.append([slices[n]])
            last = height[n]
    return places


def _decode(places: Sequence[Sequence[Slice]], tick: Callable[[int], None]) -> _Planes:
    """Decode one slice a place. Slices that are damaged are left out, duplicates compared."""
    first = places[0][0]
    planes = _Planes([], np.empty((len(places), first.rows, first.columns), np.int16))
    lacking = unscaled([plane for place in places for plane in place])
    native = all(transfer_syntax(plane.dataset) in ("", *NATIVE) for place in places for plane in place)
    with nullcontext(bytes) if native else c_stderr() as complaints:
        decoder = Decoder(complaints)
        for done, place in enumerate(places, 1):
            whole_ones: list[tuple[Slice, NDArray[Any]]] = []
            for plane in place:
                if plane in lacking:
                    planes.unscaled.append(plane.file.name)
                    continue
                try:
                    whole_ones.append((plane, decoder.hu(plane)))
                except DamagedSlice:
                    planes.damaged.append(plane.file.name)
            _keep_one(whole_ones, planes)
            tick(done)
    lost = len(places) - len(planes.slices)
    if lost > _MAX_LOST * len(places):
        raise ReadError(
            f"The pixels of {lost} of {len(places)} slices are {_why_lost(planes)}.",
            expected="whole files, each with a rescale slope and intercept if any has",
            remedy="Copy or export the series again.",
        )
    planes.values = planes.values[: len(planes.slices)]
    return planes


def _why_lost(planes: _Planes) -> str:
    whys = ("cut short or damaged", planes.damaged), ("without a readable rescale", planes.unscaled)
    return " or ".join(why for why, names in whys if names)


def _keep_one(candidates: Sequence[tuple[Slice, NDArray[Any]]], planes: _Planes) -> None:
    """Append the first of the slices at one place; others must equal it."""
    if not candidates:
        return
    kept, hu = candidates[0]
    for other, values in candidates[1:]:
        if not np.array_equal(values, hu):
            raise ScanError(
                f"Different slices lie at one place (slice {len(planes.slices) + 1} from the lowest).",
                expected="one slice a place",
                remedy="The series mixes phases or reconstructions; export one of them.",
            )
        planes.duplicates.append(other.file.name)
    if hu.dtype != np.int16 and planes.values.dtype == np.int16:
        planes.values = planes.values.astype(np.float32)
    planes.values[len(planes.slices)] = hu
    planes.slices.append(kept)


def _with_missing(values: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """All planes of the grid; a missing one lies on the line between its neighbours."""
    if not grid.missing:
        return values
    filled = np.empty((grid.count, *values.shape[1:]), values.dtype)
    filled[list(grid.planes)] = values
    present = np.array(grid.planes)
    for plane in grid.missing:
        above = int(np.searchsorted(present, plane))
        low, high = present[above - 1], present[above]
        share = (plane - low) / (high - low)
        between = values[above - 1] * (1 - share) + values[above] * share
        filled[plane] = np.rint(between) if values.dtype == np.int16 else between
    return filled


def _scan(
    values: NDArray[Any], grid: Grid, slices: Sequence[Slice], told: Acquisition, notices: Sequence[Notice]
) -> Scan:
    on_file_grid = values.transpose(2, 1, 0)  # column, row, plane
    axes, affine = canonical_axes(grid.affine, on_file_grid.shape)
    headers: list[Any] = [None] * grid.count
    for plane, number in zip(slices, grid.planes, strict=True):
        headers[number] = plane.dataset
    source = Source(
        format="dicom",
        axes=axes,
        affine=grid.affine,
        slices=tuple(headers),
        acquisition=told,
        notices=tuple(notices),
    )
    return Scan(np.ascontiguousarray(axes.to_canonical(on_file_grid)), affine, source)


def _survey_notices(found: Survey) -> list[Notice]:
    def says(names: list[str], text: str) -> list[Notice]:
        return [Notice(text.format(len(names)), tuple(names))] if names else []

    aside = [Notice(f"Set aside: {why} ({len(names)}).", tuple(names)) for why, names in sorted(found.aside.items())]
    return [
        *aside,
        *says(found.broken, "DICOM files that are cut short or damaged, left out: {}."),
        *says(found.misnamed, "Files with the name of DICOM but other content, left out: {}."),
        *says(found.other, "Files that are no DICOM, left out: {}."),
    ]


def _plane_notices(planes: _Planes, grid: Grid) -> list[Notice]:
    notices = []
    if planes.damaged:
        names = tuple(planes.damaged)
        notices.append(Notice(f"Slices whose pixels are cut short or damaged, left out: {len(names)}.", names))
    if planes.unscaled:
        names = tuple(planes.unscaled)
        text = f"Slices whose rescale slope or intercept is absent or unreadable, left out: {len(names)}."
        notices.append(Notice(text, names))
    if planes.duplicates:
        names = tuple(planes.duplicates)
        notices.append(Notice(f"Slices that were there twice, identical, used once: {len(names)}.", names))
    if grid.missing:
        where = ", ".join(str(plane + 1) for plane in grid.missing)
        notices.append(
            Notice(
                f"{len(grid.missing)} of {grid.count} slices are missing (number {where} from the lowest) and were"
                " interpolated between their neighbours."
            )
        )
    return notices


def _header_notices(slices: Sequence[Slice], grid: Grid) -> list[Notice]:
    notices = []
    if not any(modality(plane.dataset) for plane in slices):
        notices.append(Notice("The headers do not say that this is CT; it was taken for CT."))
    elif not all(word(plane.dataset, "Modality") for plane in slices):
        notices.append(Notice("The headers do not state the modality; their kind of object is CT."))
    if len(slices) == 1:
        gap = slice_gap(slices[0])
        thick = f" of {gap:g} mm" if gap is not None else ""
        notices.append(Notice(f"There is a single slice{thick}: volumes are those of this slice only, a guess."))
    thick_mm = median([plane.thickness or grid.spacing_mm for plane in slices])
    if len(slices) > 1 and grid.spacing_mm > 2.01 * thick_mm > 0:  # places are rounded
        notices.append(
            Notice(
                f"Slices are {grid.spacing_mm:.3g} mm apart and {thick_mm:.3g} mm thick: what lies between was not"
                " scanned, volumes are guesses."
            )
        )
    return notices

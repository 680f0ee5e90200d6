"""The index of a store: what is known of each slice, a row of a CSV each."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ReadError

_BETWEEN: Final = " "


@dataclass(frozen=True)
class SliceInfo:
    """A slice of a store.

    Attributes:
        id: ``case/slice``, unique in the store.
        case: the folder below ``cases``.
        row: in the case's arrays.
        group: patient, or group of near-duplicates: what a split keeps together.
        source: ``scan`` or ``picture``.
        position: place in its volume, ascending.
        height: in pixels, of the slice at native resolution.
        width: in pixels.
        spacing_mm: between neighbouring voxels along (z, y, x); None where it is not known.
        box: of the crop, (top, left, bottom, right) in pixels.
        sets: the label sets that occur in it, ascending; empty for a slice without labels.
        black_hu: HU of grey 0, for pictures.
        white_hu: HU of grey 255, for pictures.
        how: where HU come from: ``hu`` of the file itself, or how grey was calibrated.
        hash: of HU and labels, 32 hex digits; keyed where the data are not public.
        tags: what else is known, in words.
    """

    id: str
    case: str
    row: int
    group: str
    source: str
    position: int
    height: int
    width: int
    spacing_mm: tuple[float, float, float] | None
    box: tuple[int, int, int, int]
    sets: tuple[int, ...]
    black_hu: float | None
    white_hu: float | None
    how: str
    hash: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""
        return bool(self.sets)


COLUMNS: Final = tuple(column.name for column in fields(SliceInfo))


def slice_hash(hu: NDArray[np.int16], sets: NDArray[np.uint8] | None, key: bytes) -> str:
    """Keyed hash of a slice's HU (H, W) and its label sets, 32 hex digits."""
    digest = hashlib.blake2b(f"{hu.shape}".encode(), key=key[:64], digest_size=16)
    digest.update(np.ascontiguousarray(hu, "<i2").tobytes())
    digest.update(b"none" if sets is None else np.ascontiguousarray(sets).tobytes())
    return digest.hexdigest()


def content_of(slices: Iterable[SliceInfo]) -> str:
    """Hash of what a store holds: of its slices' names, groups and hashes, 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for info in slices:
        digest.update(f"{info.id}\n{info.group}\n{info.hash}\n".encode())
    return digest.hexdigest()


def as_csv(slices: Iterable[SliceInfo]) -> str:
    """The index as a CSV with a row of column names."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(info, column)) for column in COLUMNS] for info in slices)
    return stream.getvalue()


def from_csv(text: str) -> tuple[SliceInfo, ...]:
    """The slices of an index.

    Raises:
        ReadError: it is damaged, or of another version.
    """
    try:
        rows = csv.reader(io.StringIO(text))
        if tuple(next(rows)) != COLUMNS:
            raise ValueError("other columns")
        return tuple(_row(dict(zip(COLUMNS, row, strict=True))) for row in rows)
    except (ValueError, StopIteration, csv.Error):
        raise ReadError(
            "The index of the store is damaged, or was written by another version.",
            expected=f"a CSV with the columns {', '.join(COLUMNS)}",
            remedy="Prepare the data again, into a new folder.",
        ) from None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return _BETWEEN.join(f"{key}={entry}" for key, entry in sorted(value.items()))
    if isinstance(value, tuple):
        return _BETWEEN.join(_cell(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(cells: Mapping[str, str]) -> SliceInfo:
    z_y_x = _floats(cells["spacing_mm"])
    if len(z_y_x) not in (0, 3):
        raise ValueError("a spacing of other than three numbers")
    top, left, bottom, right = _ints(cells["box"])
    return SliceInfo(
        id=cells["id"],
        case=cells["case"],
        row=int(cells["row"]),
        group=cells["group"],
        source=cells["source"],
        position=int(cells["position"]),
        height=int(cells["height"]),
        width=int(cells["width"]),
        spacing_mm=(z_y_x[0], z_y_x[1], z_y_x[2]) if z_y_x else None,
        box=(top, left, bottom, right),
        sets=tuple(_ints(cells["sets"])),
        black_hu=float(cells["black_hu"]) if cells["black_hu"] else None,
        white_hu=float(cells["white_hu"]) if cells["white_hu"] else None,
        how=cells["how"],
        hash=cells["hash"],
        tags=dict(part.split("=", 1) for part in cells["tags"].split()),
    )


def _ints(cell: str) -> Sequence[int]:
    return [int(part) for part in cell.split()]


def _floats(cell: str) -> Sequence[float]:
    return [float(part) for part in cell.split()]

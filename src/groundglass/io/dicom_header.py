"""DICOM headers: which files are DICOM, and what each image says of itself. Pixels are not touched."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from groundglass.errors import GroundglassError
from groundglass.io.dicom_terms import items, modality, numbers, whole, word
from groundglass.io.files import InputFile
from groundglass.io.limits import MAX_PLANE
from groundglass.io.quiet import quiet

DEFLATED: Final = "1.2.840.10008.1.2.1.99"
NATIVE: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_CT_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_MAX_INFLATED: Final = 2**30
_REFORMATS: Final = (
    *("MPR", "MIP", "MINIP", "CPR", "VRT", "SSD", "3D", "VOLREN", "VOLUME RENDERING", "CURVED", "REFORMATTED"),
    *("PROJECTION IMAGE", "MAX_IP", "MIN_IP", "MAXIP", "CSA MPR", "CSA RESAMPLED", "RANGE", "PASTED", "FUSED"),
    *("SCREEN SAVE", "POSDISP", "DOSE_INFO"),
)


@dataclass(frozen=True, eq=False)
class Slice:
    """One image plane as its header describes it; what the header lacks or garbles is None.

    Attributes:
        file: where it is.
        dataset: the header, without pixels.
        frame: its number in the file, from 0.
        rows, columns: of the plane.
        position: of the first pixel's centre, mm, DICOM's LPS.
        orientation: direction in which columns grow, then rows, LPS.
        spacing: between rows, between columns, mm.
        thickness: of the slice, mm.
        between: to the next slice, as the header states it, mm; may be negative.
        rescale: items that may hold slope and intercept, the frame's own first.
    """

    file: InputFile
    dataset: Any = field(repr=False)
    frame: int
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    between: float | None
    rescale: tuple[Any, ...] = field(default=(), repr=False)


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are DICOM's: the mark, or without it an element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    group, element, length = struct.unpack("<HHI", head[:8])
    plain = head[4:6].isalpha() and head[4:6].isupper()
    return group in (2, 8) and element <= 0x60 and (plain or length < 256)


def parse(file: InputFile) -> Any | None:
    """A file's header as a pydicom dataset, or None where it cannot be parsed. Call it within ``quiet()``."""
    import pydicom

    try:
        with file.open() as stream:
            if not _inflates(stream):
                return None
            stream.seek(0)
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            dataset.buffer = None  # else a whole member of a zip lives as long as its header
            return dataset if len(dataset) else None
    except GroundglassError:
        raise
    except Exception:  # pydicom raises many types on garbage, and their texts hold header values
        return None


def _inflates(stream: BinaryIO) -> bool:
    """False for a deflated dataset that unpacks to more than any slice needs; pydicom would not stop."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    with quiet():  # what breaks rules here is counted when all of the header is read
        read_preamble(stream, force=True)
        meta = _read_file_meta_info(stream)  # pydicom's own: where the group ends must not be seen in two ways
        if word(meta, "TransferSyntaxUID") != DEFLATED:
            return True
    start = stream.tell()
    if stream.read(2) == b"\0\0":  # a command group, which pydicom would skip
        return False
    stream.seek(start)
    unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = stream.read()
    while rest and size <= _MAX_INFLATED:
        size += len(unpacker.decompress(rest, 2**24))
        rest = unpacker.unconsumed_tail
    return size <= _MAX_INFLATED


def transfer_syntax(dataset: Any) -> str:
    """The transfer syntax's UID, empty where unknown."""
    return word(getattr(dataset, "file_meta", None) or {}, "TransferSyntaxUID")


def plane_bytes(dataset: Any) -> int:
    """Bytes of one uncompressed plane, as declared; 0 where the header does not say."""
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    return rows * columns * (whole(dataset, "SamplesPerPixel") or 1) * (whole(dataset, "BitsAllocated") or 16) // 8


def cut_short(dataset: Any) -> bool:
    """Whether a header ends before the image that its kind of object must have."""
    return not has_pixels(dataset) and word(dataset, "SOPClassUID") in _CT_CLASSES


def damaged(file: InputFile, dataset: Any) -> bool:
    """Whether the header of an image declares more than any slice has, or than its file can hold."""
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    frames = whole(dataset, "NumberOfFrames") or 1
    if rows * columns > MAX_PLANE or frames < 1 or frames > 65536:
        return True
    syntax = transfer_syntax(dataset)
    return (syntax in NATIVE or not syntax) and plane_bytes(dataset) * frames > file.size


def has_pixels(dataset: Any) -> bool:
    """Whether a header describes an image."""
    return (whole(dataset, "Rows") or 0) > 0 and (whole(dataset, "Columns") or 0) > 0


def reason_aside(dataset: Any) -> str | None:
    """Why an object can never be the scan, in words for a notice; None if it can."""
    kinds = word(dataset, "ImageType").upper().split("\\")
    kind = modality(dataset)
    if not has_pixels(dataset) or kind in ("SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "REG", "DOC"):
        return "reports and other objects without pixels"
    if word(dataset, "BurnedInAnnotation").upper() == "YES":
        return "pictures with text burnt in"
    if word(dataset, "SOPClassUID").startswith("1.2.840.10008.5.1.4.1.1.7"):
        return "secondary captures"
    if kind not in ("CT", ""):
        return f"images of another modality ({kind})"
    if (whole(dataset, "SamplesPerPixel") or 1) != 1:
        return "colour pictures"
    if any(word_ in ("LOCALIZER", "SCOUT", "TOPOGRAM") for word_ in kinds):
        return "localizers (scouts)"
    return None


def reformatted(dataset: Any) -> bool:
    """Whether an image was made from others by MPR, MIP and the like."""
    kinds = word(dataset, "ImageType").upper().split("\\")
    return any(kind in _REFORMATS or kind.endswith((" MPR", " MIP")) for kind in kinds[1:])


def derived(dataset: Any) -> bool:
    """Whether an image says it was computed from others."""
    return word(dataset, "ImageType").upper().startswith("DERIVED")


def slices_of(file: InputFile, dataset: Any) -> Iterator[Slice]:
    """The planes of a file: one, or for enhanced CT one a frame, each with its own place."""
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not frames:
        yield _plane(file, dataset, 0, (dataset,))
        return
    shared = items(dataset, "SharedFunctionalGroupsSequence")[:1]
    for index, frame in enumerate(frames):
        groups = (frame, *shared)
        yield _plane(file, dataset, index, (*(item for group in groups for item in _functional(group)), dataset))


def _functional(group: Any) -> Iterator[Any]:
    for keyword in (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    ):
        yield from items(group, keyword)[:1]


def _plane(file: InputFile, dataset: Any, frame: int, places: tuple[Any, ...]) -> Slice:
    """A slice whose fields are taken from the first place that has them."""

    def first(keyword: str, count: int) -> tuple[float, ...] | None:
        found = (numbers(place, keyword, count) for place in places)
        return next((value for value in found if value is not None), None)

    return Slice(
        file=file,
        dataset=dataset,
        frame=frame,
        rows=whole(dataset, "Rows") or 0,
        columns=whole(dataset, "Columns") or 0,
        position=first("ImagePositionPatient", 3),
        orientation=first("ImageOrientationPatient", 6),
        spacing=first("PixelSpacing", 2),
        thickness=(first("SliceThickness", 1) or (None,))[0],
        between=(first("SpacingBetweenSlices", 1) or (None,))[0],
        rescale=places,
    )


def slice_gap(plane: Slice) -> float | None:
    """The distance to the next slice as one slice's header tells it, mm: spacing between slices, or thickness."""
    gap = abs(plane.between) if plane.between else plane.thickness
    return gap if gap is not None and 0 < gap < 100 else None

"""A slice's pixels as Hounsfield units."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import GroundglassError, ReadError, ScanError
from groundglass.io.codestream import sound_jpeg, sound_jpeg_2000
from groundglass.io.dicom_header import NATIVE, Slice, transfer_syntax
from groundglass.io.dicom_terms import filled, items, number, whole, word
from groundglass.io.files import InputFile
from groundglass.io.hounsfield import AIR, air_for_padding, rescale

JPEG_FAMILY: Final = tuple(f"1.2.840.10008.1.2.4.{number}" for number in ("5", "7", "8", "9"))
JPEG_2000: Final = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
# RescaleType where pixels are Hounsfield units, or where the unit is left open.
_HU: Final = ("", "HU", "US", "UNSPECIFIED", "HOUNSFIELD", "HOUNSFIELD UNITS")
# libjpeg goes on after damage and fills the rest with something; a few stray bytes are only careless padding.
_CORRUPT: Final = re.compile(rb"Corrupt JPEG data: (?!\d extraneous)")


class DamagedSlice(Exception):  # noqa: N818
    """A slice's pixels are truncated or damaged; it counts as missing."""


class Decoder:
    """Reads slices' pixels; keeps the last two files, for the frames of one that may be there twice.

    Args:
        complaints: returns what the codecs said since it was last called.
    """

    def __init__(self, complaints: Callable[[], bytes] = bytes) -> None:
        self._complaints = complaints
        self._kept: list[tuple[InputFile, NDArray[Any]]] = []

    def hu(self, plane: Slice) -> NDArray[np.int16] | NDArray[np.float32]:
        """Hounsfield units ``[row, column]``. Call it within ``quiet()``.

        Raises:
            DamagedSlice: the pixels are truncated or damaged.
            ReadError: no decoder for this compression.
        """
        frames = next((frames for file, frames in self._kept if file is plane.file), None)
        if frames is None:
            self._complaints()
            frames = _decode(plane)
            if _CORRUPT.search(self._complaints()):
                raise DamagedSlice
            self._kept = [*self._kept[-1:], (plane.file, frames)]
        if frames.ndim == 3 and plane.frame >= len(frames):
            raise DamagedSlice
        stored = frames[plane.frame] if frames.ndim == 3 else frames
        if stored.shape != (plane.rows, plane.columns):
            raise DamagedSlice
        return to_hu(_significant(stored, plane.dataset), plane)


def _decode(plane: Slice) -> NDArray[Any]:
    """Stored values ``[row, column]`` or ``[frame, row, column]``."""
    import pydicom

    content = plane.file.open()
    try:
        with content:
            dataset = pydicom.dcmread(content, force=True)
            if not transfer_syntax(dataset):  # without a file header, as old archives write
                from pydicom.dataset import FileMetaDataset

                dataset.file_meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
                dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
            _silence_gdcm(dataset)
            _check_codestream(dataset)
            values = np.asarray(dataset.pixel_array)
    except GroundglassError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        if _decodable(plane.dataset):
            raise DamagedSlice from error
        raise ReadError(
            "The pixels are compressed in a way that no installed decoder reads.",
            expected="uncompressed, RLE, JPEG lossless, JPEG-LS or JPEG 2000",
            remedy="Convert the series to uncompressed DICOM (for instance with gdcmconv --raw).",
        ) from None
    except Exception as error:  # decoders raise many types on garbage, and their texts hold header values
        raise DamagedSlice from error
    return values


def _guessed_syntax(dataset: Any) -> str:
    implicit, little = dataset.original_encoding
    return IMPLICIT_LITTLE if implicit else NATIVE[1] if little else NATIVE[2]


def _decodable(dataset: Any) -> bool:
    """Whether a decoder is installed for a slice's transfer syntax."""
    from pydicom.pixels import get_decoder

    try:
        return bool(get_decoder(transfer_syntax(dataset) or NATIVE[1]).is_available)
    except Exception:  # not a transfer syntax for pixels at all
        return False


def _silence_gdcm(dataset: Any) -> None:
    """GDCM writes to the process's stderr by itself, header values included."""
    if transfer_syntax(dataset) in NATIVE:
        return
    try:
        import gdcm
    except ImportError:
        return
    for switch in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
        switch()


def _check_codestream(dataset: Any) -> None:
    """Raise DamagedSlice where a header would make GDCM abort the process instead of refusing."""
    allocated, stored = whole(dataset, "BitsAllocated") or 0, whole(dataset, "BitsStored") or 0
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise DamagedSlice
    syntax, frames = transfer_syntax(dataset), whole(dataset, "NumberOfFrames") or 1
    if not syntax.startswith(JPEG_FAMILY):
        return
    from pydicom.encaps import generate_frames

    plane = (whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0, allocated)
    sound = sound_jpeg_2000 if syntax in JPEG_2000 else sound_jpeg
    if not all(sound(frame, *plane) for frame in generate_frames(dataset.PixelData, number_of_frames=frames)):
        raise DamagedSlice


def _significant(stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """Stored values without what else is in their bits: an overlay above them, or a sign not carried up.

    Values beyond BitsStored without an overlay are left: they are padding that someone wrote carelessly, and
    masking would turn it into bone.
    """
    bits = whole(dataset, "BitsStored") or 0
    if stored.dtype.kind not in "iu" or not 0 < bits < 8 * stored.dtype.itemsize:
        return stored
    unused = 8 * stored.dtype.itemsize - bits
    low, high = int(stored.min()), int(stored.max())
    sign_lost = stored.dtype.kind == "i" and low >= 0 and high >= 1 << (bits - 1)
    return (stored << unused) >> unused if sign_lost or _overlay_within(dataset, bits) else stored


def _overlay_within(dataset: Any, bits: int) -> bool:
    """Whether an overlay lies in the pixels' own unused bits."""
    places = (dataset.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    return any(str(place.value).isdigit() and int(place.value) >= bits for place in places if place is not None)


def to_hu(stored: NDArray[Any], plane: Slice) -> NDArray[np.int16] | NDArray[np.float32]:
    """Stored values as Hounsfield units, padding as air.

    MONOCHROME1 changes how a value is shown, not what it means, so the rescale is the same for it.
    """
    hu = rescale(stored, *rescale_of(plane))
    padding = _padding(stored, plane.dataset)
    if padding is not None:
        np.putmask(hu, padding, AIR)
    air_for_padding(hu)
    return hu


def check_unit(slices: Sequence[Slice]) -> None:
    """Raise ScanError where slices state another unit than HU, as maps of iodine or of effective Z do."""
    other = [plane for plane in slices if any(word(p, "RescaleType").upper() not in _HU for p in plane.rescale)]
    if other:
        raise ScanError(
            f"{len(other)} of {len(slices)} slices state another unit than HU (RescaleType).",
            expected="Hounsfield units",
            remedy="Give the CT images themselves, not maps that were computed from them.",
        )


def unscaled(slices: Sequence[Slice]) -> set[Slice]:
    """Slices that lack a rescale slope or intercept that others state, or whose own is no number."""
    stated = {plane: (_stated(plane, "RescaleSlope"), _stated(plane, "RescaleIntercept")) for plane in slices}
    needed = [any(value is not None for value in values) for values in zip(*stated.values(), strict=True)]
    return {
        plane
        for plane, values in stated.items()
        if any(need and (value is None or np.isnan(value)) for need, value in zip(needed, values, strict=True))
    }


def _stated(plane: Slice, keyword: str) -> float | None:
    """A number of the first place that has it: NaN where it cannot be read, None where no place has it."""
    place = next((place for place in plane.rescale if filled(place, keyword)), None)
    value = None if place is None else number(place, keyword)
    return np.nan if place is not None and value is None else value


def rescale_of(plane: Slice) -> tuple[float, float]:
    """Slope and intercept of a slice that is not unscaled; 1 and 0 where no slice of its series states them."""
    slope, intercept = _stated(plane, "RescaleSlope"), _stated(plane, "RescaleIntercept")
    if slope is not None or intercept is not None:
        return (1.0 if slope is None else slope), (intercept or 0.0)
    if items(plane.dataset, "ModalityLUTSequence"):
        raise ReadError(
            "The pixels are mapped to Hounsfield units by a table (Modality LUT).",
            expected="a rescale slope and intercept",
            remedy="Export the original CT images.",
        )
    return 1.0, 0.0


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_] | None:
    """Pixels that the header calls padding: one stored value, or a range of them; None without any."""
    value = whole(dataset, "PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return None
    limit = whole(dataset, "PixelPaddingRangeLimit")
    ends = sorted(_as_stored(end, stored.dtype) for end in (value, value if limit is None else limit))
    return np.asarray((stored >= ends[0]) & (stored <= ends[1]))


def _as_stored(value: int, dtype: np.dtype[Any]) -> int:
    """A value as the pixels' type holds it: 63536 is -2000 where pixels are signed."""
    span = 1 << (8 * dtype.itemsize)
    value %= span
    return value - span if dtype.kind == "i" and value >= span // 2 else value

"""Values to Hounsfield units: the smallest exact type, padding to air, and whether they can be HU at all."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import ScanError

AIR: Final = -1024
# No tissue and no noise reaches this; scanners write -2000, -2048, -3024 or -32768 outside the field of view.
PADDING_BELOW: Final = -2000


def rescale(
    values: NDArray[Any], slope: float = 1.0, intercept: float = 0.0
) -> NDArray[np.int16] | NDArray[np.float32]:
    """``slope * values + intercept``, as int16 where that is exact, else float32. Any shape.

    Raises:
        ScanError: values, slope or intercept that are not finite.
    """
    if not np.isfinite((slope, intercept)).all() or slope == 0:
        raise ScanError(
            "The rescale slope or intercept is zero or not finite.",
            expected="finite numbers",
            remedy="The header is damaged; export the scan again.",
        )
    if values.dtype.kind == "f":
        _check_finite(values)
    low, high = _limits(values)
    ends = (slope * low + intercept, slope * high + intercept)
    fits = min(ends) >= -32768 and max(ends) <= 32767
    whole = float(slope).is_integer() and float(intercept).is_integer()
    if fits and whole and (values.dtype.kind in "iub" or _all_whole(values)):
        if slope == 1 and low >= -32768 and high <= 32767 and abs(intercept) <= 32767:
            exact = values.astype(np.int16)
            exact += np.int16(intercept)
            return exact
        return np.asarray(values.astype(np.int64) * int(slope) + int(intercept), np.int16)
    scaled = values.astype(np.float64) * slope + intercept
    if not fits and not np.isfinite(scaled).all():
        raise _not_finite(int((~np.isfinite(scaled)).sum()))
    # 3e38 is finite as float64, but not as float32
    return np.clip(scaled, -1e30, 1e30).astype(np.float32)


def air_for_padding(hu: NDArray[Any]) -> None:
    """Set what is at or below -2000 to -1024 HU, in place."""
    np.putmask(hu, hu <= PADDING_BELOW, AIR)


def check_hounsfield(hu: NDArray[Any], *, padded: bool = False) -> None:
    """Raise ScanError where values cannot be the Hounsfield units of a body in air.

    Args:
        hu: any shape.
        padded: judge without what is -1024, because padding was set to it and no value was shifted there.
    """
    low, high = _limits(hu)
    if padded and low == AIR < high:
        low = float(hu[hu > AIR].min())
    if low == high:
        return  # all air or all water: no lung will be found, and that is said there
    normalised = high - low <= 20 and hu.dtype.kind == "f"
    if low >= 0 or normalised:
        kind = "looks like an 8-bit picture" if 1 < high <= 255 else "holds no air"
        raise ScanError(
            f"Values from {low:g} to {high:g}: the scan {'is normalised' if high <= 1 or normalised else kind}.",
            expected="Hounsfield units (air about -1000, water 0)",
            remedy="Give the scan before it was windowed or normalised, or add the offset (often -1024) to it.",
        )


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _all_whole(values: NDArray[Any]) -> bool:
    """Whether all values are whole numbers; one plane tells most scans apart at once."""
    first = values[..., : max(1, values.shape[-1] // 16)]
    return bool((first == np.rint(first)).all()) and bool((values == np.rint(values)).all())


def _check_finite(values: NDArray[Any]) -> None:
    if not np.isfinite(values.sum(dtype=np.float64)):  # one pass without a mask; a sum may overflow, so look again
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise _not_finite(bad)


def _not_finite(count: int) -> ScanError:
    return ScanError(
        f"{count} voxels are not finite (NaN or infinity).",
        expected="Hounsfield units",
        remedy="Replace them by -1024 (air).",
    )

"""The option ``--window`` of commands: Hounsfield units of black and white."""

from __future__ import annotations

from typing import Final

from groundglass.errors import UsageError

_RANGE_HU: Final = (-32768, 32767)


def parse_window(text: str) -> tuple[float, float]:
    """HU of black and of white, from ``-1350,150``.

    Raises:
        UsageError: it is not two numbers of a scan's range, the lower first.
    """
    try:
        black, white = (float(value) for value in text.split(","))
    except ValueError:
        raise UsageError(
            "The window is not two numbers.", expected="BLACK,WHITE", remedy="For instance: --window=-1350,150"
        ) from None
    if not _RANGE_HU[0] <= black < white <= _RANGE_HU[1]:  # false for nan, too
        raise UsageError(
            "The window is turned round, or beyond what scans hold.",
            expected=f"black below white, both from {_RANGE_HU[0]} to {_RANGE_HU[1]} HU",
            remedy="For instance: --window=-1350,150",
        )
    return black, white

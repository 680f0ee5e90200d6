"""The option ``--window`` of commands: Hounsfield units of black and white."""

from __future__ import annotations

from groundglass.errors import UsageError


def parse_window(text: str) -> tuple[float, float]:
    """HU of black and of white, from ``-1350,150``.

    Raises:
        UsageError: it is not two numbers.
    """
    try:
        black, white = (float(value) for value in text.split(","))
    except ValueError:
        raise UsageError(
            "The window is not two numbers.", expected="BLACK,WHITE", remedy="For instance: --window=-1350,150"
        ) from None
    return black, white

"""Numbers, as people read them."""

from __future__ import annotations

import math

UNKNOWN = "–"  # noqa: RUF001, an en dash
SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
TIMES = "×"  # noqa: RUF001, the multiplication sign


def number(value: float | None, digits: int = 1) -> str:
    """A number with fixed digits and a true minus sign; an en dash for None and what is not finite."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")  # noqa: RUF001, the minus sign is meant


def p_value(value: float | None) -> str:
    """Of a test: three digits, and never 0."""
    return "< 0.001" if value is not None and value < 0.001 else number(value, 3)


def signed(value: float | None, digits: int = 1) -> str:
    """A difference: with its sign, and 0 without one."""
    text = number(value, digits)
    return text if text == UNKNOWN or value is None or value < 0 or float(text) == 0 else f"+{text}"


def short_ml(value: float | None) -> str:
    """A volume for running text, without its unit: a tenth of a millilitre only where that says something."""
    if value is not None and 0 < value < 0.05:
        return "under 0.1"
    return number(value, 0 if value is None or value >= 9.95 or value == 0 else 1)


def ml(value: float | None) -> str:
    """A volume for running text."""
    text = short_ml(value)
    return text if text == UNKNOWN else f"{text}{SPACE}mL"


def percent(value: float | None) -> str:
    """A percentage for running text: what is there is never called 0, what lacks never 100."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < value < 0.05:
        return f"under 0.1{SPACE}%"
    if 99.95 <= value < 100:
        return f"over 99.9{SPACE}%"
    return f"{number(value, 0 if value == 0 else 1)}{SPACE}%"

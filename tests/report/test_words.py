from __future__ import annotations

import pytest

from groundglass.report.words import ml, number, p_value, percent, signed

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(123.44, "123.4"), (-850.0, f"{MINUS}850.0"), (-0.01, "0.0"), (None, DASH), (float("nan"), DASH)],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "< 0.001"), (0.0, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (None, DASH)]
)
def test_p_value(value, text):
    assert p_value(value) == text


@pytest.mark.parametrize(("value", "text"), [(2.0, "+2.0"), (-2.0, f"{MINUS}2.0"), (0.0, "0.0"), (None, DASH)])
def test_signed(value, text):
    assert signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(412.4, "412 mL"), (9.96, "10 mL"), (5.12, "5.1 mL"), (0.01, "under 0.1 mL"), (0.0, "0 mL")]
)
def test_ml(value, text):
    assert ml(value) == NBSP.join(text.rsplit(" ", 1))


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.34, "12.3 %"), (0.01, "under 0.1 %"), (99.99, "over 99.9 %"), (100.0, "100.0 %"), (0.0, "0 %")],
)
def test_percent(value, text):
    assert percent(value) == NBSP.join(text.rsplit(" ", 1))


def test_what_is_unknown_has_no_unit():
    assert ml(None) == percent(None) == DASH

import numpy as np

from groundglass.report.styles import Step, StylesContent, facts, panels, render, slug
from groundglass.report.words import SPACE, UNKNOWN

MINUS = "\N{MINUS SIGN}"


def content(**other):
    plane = np.full((8, 6), -850.0, np.float32)
    steps = (Step(0.0, 4000.0, 0.0, 0.0, -850.4, 0.0), Step(0.5, 4000.0, 2000.0, 50.0, -640.0, 48.75))
    told = {
        "case": "case-1", "slice": 3, "slices": 9, "model": "stichnet2020, <b>", "window_hu": (-1350.0, 150.0),
        "picture": plane, "sets": np.full((8, 6), 3, np.uint8), "styles": {"lung": plane, "ground glass": plane + 350},
        "stitched": plane + 150, "dial": [plane, plane + 100], "steps": steps, "lesion": "ground glass",
        "error_hu": 12.34, "apart_hu": 350.0,
    }  # fmt: skip
    return StylesContent(**told | other)


def test_the_numbers_in_words():
    plain = str.maketrans({SPACE: " ", MINUS: "-"})
    assert [line.translate(plain) for line in facts(content())] == [
        "stitched: 12.3 HU from the scan on average",
        "styles: 350.0 HU apart in the lungs on average",
        "dial at 0 %: 0 mL of 4000 mL, lung at -850 HU on average; found 0 %",
        "dial at 50.0 %: 2000 mL of 4000 mL, lung at -640 HU on average; found 48.8 %",
    ]


def test_a_picture_has_no_volume():
    (line,) = facts(content(steps=[Step(1.0, None, None, 100.0, -500.0, 90.0)], dial=[np.zeros((8, 6))]))[2:]
    assert f"{UNKNOWN} of {UNKNOWN}" in line


def test_every_panel_is_a_picture_and_what_is_strange_is_escaped():
    assert [panel.name for panel in panels(content())] == [
        "picture", "segmentation", "lung", "ground_glass", "stitched", "error", "dial_000", "dial_050",
    ]  # fmt: skip
    page = render(content())
    assert page.count("<img") == 8
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_names_of_files():
    assert slug("Background or lung 1") == "background_or_lung_1"
    assert slug("ground-glass opacity") == "ground_glass_opacity"

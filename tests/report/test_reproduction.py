from xml.etree import ElementTree as ET

import pytest

from groundglass.evaluation.overlap import Counts
from groundglass.report.reproduction import BINS, Run, Scored, _means, histogram, losses, mean_of, tables


def run(recipe="table14", losses=((0.5, 0.25),), levels=(), histogram=(0,) * BINS):
    scored = (
        Scored("a", True, "ground_glass", Counts(1, 1, 1, 7)),  # Dice 0.5, IoU 1 / 3
        Scored("b", False, "ground_glass", Counts(3, 0, 0, 7)),  # 1, trained on
        Scored("a", True, "consolidation", Counts(0, 5, 0, 5)),  # has none: does not count
        Scored("a", True, "background", Counts(9, 1, 1, 0)),  # 0.9
        Scored("b", False, "background", Counts(9, 0, 0, 1)),  # 1
        Scored("a", True, "infection", Counts(1, 0, 2, 7)),  # 0.5
    )
    return Run(recipe, 0, 2.0, scored, losses, levels, histogram, 0.5)


def test_where_a_high_number_comes_from():
    runs = [run()]
    assert mean_of(runs, ["ground_glass"], "dice", trained_too=False) == 0.5
    assert mean_of(runs, ["ground_glass"], "iou", trained_too=False) == pytest.approx(1 / 3)
    assert mean_of(runs, ["ground_glass"], "dice", trained_too=True) == 0.75
    assert mean_of(runs, ["background", "ground_glass", "consolidation"], "dice", trained_too=False) == 0.7
    assert mean_of(runs, ["background", "ground_glass"], "dice", trained_too=True) == pytest.approx((0.95 + 0.75) / 2)
    assert mean_of(runs, ["consolidation"], "dice", trained_too=False) is None


def test_tables_name_the_substitute_and_mark_what_is_the_thesiss():
    level = {
        "stage": "1",
        "slices": "100",
        "agreement": "0.5",
        "confidence": "",
        "kept": "1",
        "dice_ground_glass": "0.25",
        "dice_infection": "",
    }
    text = tables([run(), run("table15", levels=(level,))], "on phantoms")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 4
    assert all("on phantoms" in line for line in headings)
    assert "| DRSegUNet |  | 0.89 |  | 0.500 | 0.500 | 0.700 |" in text
    assert "| TV-UNet | | 0.655 |" in text
    assert "| table14 | 0.500 | 0.750 | 0.700 | 0.850 | 0.900 |" in text
    assert "| table15 | 0 | 1 | 100 | 0.500 |  | yes | 0.250 |  |" in text


def test_means_of_parts():
    assert _means([1, 3, 5, 7, 9], 2) == [2, 6, 9]
    assert _means([1, 2], 20) == [1, 2]


def test_a_half_itself_is_not_above_a_half():
    # 20 bins: the first ten end at 0.5
    counts = tuple(range(1, BINS + 1))
    drawn = histogram([run(histogram=counts)], "on phantoms", after=True)
    assert f"{100 * 55 / 210:.1f} %" in drawn
    assert f"{100 * 155 / 210:.1f} %" in drawn
    assert histogram([run(histogram=counts)], "x", after=False).count("<rect") == BINS + 1


def test_figures_are_svg_that_reads_and_escapes():
    for drawn in (losses([run(), run("<b>", ((2.0,) * 50,))], "<on>"), histogram([run()], "<on>", after=False)):
        ET.fromstring(drawn)  # noqa: S314 - ours
        assert "<on>" not in drawn

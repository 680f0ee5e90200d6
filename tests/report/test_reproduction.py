from xml.etree import ElementTree as ET

from groundglass.evaluation.inflation import Means
from groundglass.report.reproduction import BINS, Run, _means, histogram, losses, tables

MEANS = Means(
    ground_glass=0.5,
    infection=0.5,
    background=0.9,
    lesions=0.5,
    lesions_trained_too=0.75,
    with_background=0.7,
    with_background_iou=0.6,
    with_background_trained_too=0.85,
)


def run(recipe="table14", losses=((0.5, 0.25),), levels=(), histogram=(0,) * BINS):
    return Run(recipe, 0, 2.0, losses, levels, histogram, 0.5)


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
    text = tables([run(), run("table15", levels=(level,))], {"table14": MEANS, "table15": MEANS}, "on phantoms")
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

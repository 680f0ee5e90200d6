import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from groundglass.evaluation.cells import Cell, Told
from groundglass.evaluation.costs import Cost
from groundglass.evaluation.curves import Histogram
from groundglass.evaluation.published import Measured, Paper, Row, Scale, Table
from groundglass.evaluation.statistics import Comparison
from groundglass.evaluation.trials import Trial
from groundglass.report.panels import OPAQUE, Slice, coloured, panels
from groundglass.report.reproduction import BINS, Run, page
from groundglass.report.reproduction_figures import BELOW, HIGH, LEFT, TOP, WIDE, _means, histogram, losses, roc_curves
from groundglass.report.sheets import GAP, LINE, SIDE

TRIAL = Trial("table14", "a" * 16, "d" * 16, 0, 0, "all")
LEVEL = {"stage": "1", "round": "2", "slices": "100", "agreement": "0.5", "confidence": "", "kept": "1",
         "dice_ground_glass": "0.25", "dice_infection": ""}  # fmt: skip
TABLE = Table(
    title="Table 14",
    row=[
        Row(label="DRSegUNet", recipe="table14", cells=["", "0.89"]),
        Row(label="more", recipe="other", against="table14"),
        Row(label="TV-UNet", cells=["", "0.655"]),
        Row(label="not run", recipe="absent"),
    ],
)
PAPER = Paper(
    title="A thesis",
    whose="thesis",
    notes="Beware.",
    printed=["F1", "Dice"],
    measured=[Measured(title="ours", regions=["infection"])],
    scales={"full": Scale(recipes=["x"], size=64)},
    table=[TABLE],
)


def run(recipe="table14", logs=(({"step": 1, "rate": 1.0, "cross_entropy": 0.5},),), **more):
    own = {"costs": {}, "levels": (), "histogram": (0,) * BINS, "infection": None, "above": 0.5} | more
    return Run(trial=replace(TRIAL, recipe=recipe), logs=logs, **own)


def test_what_a_method_shows_of_itself_by_hand():
    """Of three slices of two trainings 20, 24 and 28 dB; codes as at the end; trusted over the steps that asked."""
    logs = (
        ({"step": 0, "perplexity of top": 9.0}, {"step": 1, "perplexity of top": 100.0, "trusted": 1.0}),
        ({"step": 0, "perplexity of top": 140.0, "trusted": 0.0},),
    )
    runs = [
        run("full", logs, maps={"psnr_db": (20.0, 24.0), "error_area": (0.75,)}),
        run("full", ({"step": 0, "perplexity of top": 160.0, "trusted": 1.0},), maps={"psnr_db": (28.0,)}),
        run("plain"),
    ]
    runs[1] = replace(runs[1], logs=(runs[1].logs,))
    lines = page(PAPER, {"Table 14": []}, runs, "on phantoms", "on phantoms").splitlines()
    place = lines.index("## What they show of themselves; on phantoms")
    assert lines[place + 2] == (
        "| recipe | PSNR, dB | SSIM | area of 1 - confidence for errors | perplexity of top | trusted |"
    )
    row = "| full | 24 ± 4 (3 slices) |  | 0.75 (1 slices) | 150 ± 14.1 | 0.75 ± 0.354 |"
    assert lines[place + 4] == row
    assert not lines[place + 5]  # nothing of the other
    plain = page(PAPER, {"Table 14": []}, [run("plain")], "on phantoms", "on phantoms")
    assert "show of themselves" not in plain


def test_tables_name_the_substitute_and_mark_what_is_the_thesiss():
    against = Comparison(0.125, -0.1, 0.35, 2.0, 0.04, 0.0625, 1.5, 5, "")
    nothing = (None,)
    told = [
        Told(TABLE.row[0], (Cell(0.5, 0.0625, None),), nothing, (9, 4)),
        Told(TABLE.row[1], (Cell(0.625, None, 0.03125),), (against,), (9, 4)),
        Told(TABLE.row[2], nothing, nothing, (0, 0)),
        Told(TABLE.row[3], nothing, nothing, (0, 0)),
    ]
    costs = ({"supervised": Cost(100, 2.0)}, {"prior": Cost(300, 3.0), "supervised": Cost(100, 2.0)})
    runs = [run(costs=costs[0], levels=(LEVEL,)), run("other", costs=costs[1])]
    lines = page(PAPER, {"Table 14": told}, runs, "on phantoms", "on phantoms, of five folds one").splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert len(headings) == 3
    assert all(line.endswith("on phantoms") for line in headings)
    assert "Here on phantoms, of five folds one." in lines
    for line in (
        "| row | thesis F1 | thesis Dice | ours | slices, groups |",
        "| DRSegUNet |  | 0.89 | 0.500 ± 0.062 | 9, 4 |",
        "| more |  |  | 0.625, seeds ± 0.031 | 9, 4 |",
        "| TV-UNet |  | 0.655 |  |  |",
        "| more | table14 | ours | +0.125 [-0.100, +0.350], 5 | 0.040 | 0.062 | 1.500 |",
        "| recipe | supervised | prior | all, min | times | compared with |",
        "| table14 | 100, 2.0 min |  | 2.0 |  |  |",
        "| other | 100, 2.0 min | 300, 3.0 min | 5.0 | 2.5 | table14 |",
        "| table14 | 0 | 0 | 1 | 2 | 100 | 0.500 |  | yes | 0.250 |  |",
        "Beware.",
    ):
        assert line in lines, line
    assert not any("not run" in line for line in lines)


def test_means_of_parts():
    assert _means([1, 3, 5, 7, 9], 2) == [2, 6, 9]
    assert _means([1, 2], 20) == [1, 2]


def test_a_half_itself_is_not_above_a_half():
    # 20 bins: the first ten end at 0.5
    counts = tuple(range(1, BINS + 1))
    drawn = histogram([run(histogram=counts)], "t", "on phantoms", after=True)
    assert f"{100 * 55 / 210:.1f} %" in drawn
    assert f"{100 * 155 / 210:.1f} %" in drawn
    assert histogram([run(histogram=counts)], "t", "x", after=False).count("<rect") == BINS + 1


def test_figures_are_svg_that_reads_and_escapes():
    levels = np.zeros((2, 256), int)
    levels[0, 255], levels[0, 0], levels[1, 0] = 3, 1, 4  # three of four found without a false one: 0.75 + 0.25 / 2
    runs = [run("<b>", infection=Histogram(*levels)), run("none")]
    for drawn in (
        losses([*runs, run("long", (({"step": 1, "rate": 1.0, "a": 2.0},) * 50,))], "<t>", "<on>"),
        histogram(runs, "<t>", "<on>", after=False),
        roc_curves(runs, "<t>", "<on>"),
    ):
        ET.fromstring(drawn)  # noqa: S314 - ours
        assert "<on>" not in drawn
        assert "<t>" not in drawn
    assert "&lt;b&gt; 0.875" in drawn


def test_a_column_of_the_log_is_drawn_from_0_to_1_where_a_run_has_it():
    logs = (({"step": 1, "rate": 1.0, "a": 2.0, "dice": 0.0}, {"step": 2, "rate": 1.0, "a": 2.0, "dice": 1.0}),)
    drawn = losses([run("with", logs), run("without", (({"step": 1, "rate": 1.0, "a": 2.0},),))], "t", "x", "dice")
    bottom, top = HIGH - BELOW, TOP
    assert f'd="M{LEFT:.1f} {bottom:.1f}L{WIDE - 190:.1f} {top:.1f}"' in drawn
    assert "without" not in drawn


def test_panels_keep_the_shape_of_a_slice():
    """A slice twice as wide as high, all of it ground glass: half of its square is coloured, the rest is black."""
    wide = Slice("a", np.full((10, 20), 0.5, np.float32), (np.full((10, 20), 4, np.uint8),))
    with Image.open(io.BytesIO(panels([wide], [], "t"))) as drawn:
        truth = np.asarray(drawn)[2 * LINE :, SIDE + GAP : 2 * SIDE + GAP]
    assert (truth[SIDE // 4 : SIDE * 3 // 4] > 0).all()
    assert not truth[: SIDE // 4].any()
    assert not truth[SIDE * 3 // 4 :].any()


def test_what_may_be_no_lesion_is_left_grey():
    sets = np.array([[3, 4, 8, 12, 15]], np.uint8)
    grey = np.full((1, 5, 3), 100, np.float32)
    made = coloured(grey, sets)
    assert (made[0, [0, 4]] == 100).all()
    assert made[0, 1] == pytest.approx([(1 - OPAQUE) * 100 + OPAQUE * part for part in (230, 159, 0)])
    assert len({tuple(pixel) for pixel in made[0, 1:4]}) == 3

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from groundglass.evaluation.evaluator import Mean
from groundglass.evaluation.side_by_side import Amounts, Cell, Column, Table
from groundglass.evaluation.statistics import Comparison
from groundglass.labels import COLOUR_OF_CODE, Tissue
from groundglass.report.comparison import (
    Content,
    Shown,
    differences_csv,
    latex,
    mark,
    markdown,
    summary_json,
    table_csv,
)
from groundglass.report.comparison_page import render, sentence
from groundglass.report.label_pictures import colour_of_set, label_picture, name_of_set
from groundglass.report.plots import (
    ALTMAN_X,
    ALTMAN_Y,
    BOX_SPAN,
    bland_altman,
    box_plot,
    five_numbers,
    limits_of_agreement,
    ticks,
)
from tests.report.test_page import MARKUP, Reader

MINUS = "\N{MINUS SIGN}"
TOLD = Comparison(0.2, 0.1, 0.3, 4.0, 0.0002, 0.004, 1.25, 12, "")
SETS = np.array([[1, 2, 2, 2], [1, 4, 8, 2]], np.uint8)


def cell(method, mean, t_p=None, **more):
    difference = None if t_p is None else TOLD
    return Cell(method, Mean(mean, 12, 0.1, mean - 0.05, mean + 0.05), t_p=t_p, difference=difference, **more)


def content(names=("a", "b"), notes=("A note.",), image="case 1", table="Infection"):
    first, second = names
    spread = (0.1, 0.5, 0.6, 0.7, 0.9)
    dice = (cell(first, 0.5, best=False, values=spread), cell(second, 0.7, 0.0004, best=True, values=spread))
    distance = (cell(first, 3.25, best=True, values=spread), cell(second, 4, 0.3, best=False, values=()))
    distance = (distance[0], dataclasses.replace(distance[1], mean=Mean(4.0, 11)))
    columns = (Column("dice", "present", dice), Column("hausdorff_95", "defined", distance))
    amounts = Amounts("Infection", "mL", {first: ([1.0, 5.0], [1.0, 2.0]), second: ([2.0, 2.0], [1.0, 2.0])})
    shown = Shown(image, {first: 0.5, second: None}, SETS, {first: SETS, second: np.full_like(SETS, 1)}, (2.0, 1.0))
    return Content(
        methods=names,
        images=12,
        units={"dice": "", "hausdorff_95": "mm"},
        tables=(Table("infection", table, columns),),
        amounts=(amounts,),
        lead="infection",
        shown=(shown,),
        shown_by="Dice of infection",
        notes=notes,
    )


def test_quartiles_whiskers_and_outliers_by_hand():
    # quartiles of 1 to 5 and 20 at places 1.25, 2.5, 3.75; the box reaches 1.5 * 2.5 beyond: up to 8.5
    five = five_numbers([5, 1, 20, 3, 2, 4])
    assert (five.low, five.first, five.median, five.third, five.high) == (1, 2.25, 3.5, 4.75, 5)
    assert five.outliers == (20,)
    # quartiles 0, 0 and 0.25: a whisker to 0 would end inside the box
    five = five_numbers([0, 0, 0, 1])
    assert (five.third, five.high, five.outliers) == (0.25, 0.25, (1,))
    one = five_numbers([0.4])
    assert (one.low, one.first, one.median, one.third, one.high, one.outliers) == (0.4, 0.4, 0.4, 0.4, 0.4, ())


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (-3.1, 6.2, (-4, -2, 0, 2, 4, 6, 8)),
        (0, 0.7, (0, 0.2, 0.4, 0.6, 0.8)),
        (2, 2, (2, 2.2, 2.4, 2.6, 2.8, 3)),
        (0, 120, (0, 50, 100, 150)),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, marks):
    assert ticks(low, high) == marks


def test_boxes_stand_at_their_values():
    plot = box_plot(
        "Dice",
        [("lung_field", "Lung", {"a": [], "b": []}), ("infection", "Infection", {"a": [0, 0.5, 1], "b": []})],
        share=True,
    )
    (group,) = plot.groups  # nothing of the lung
    first, second = group.boxes
    left, right = BOX_SPAN
    width = right - left
    assert (first.name, first.n, second.n, second.five) == ("a", 3, 0, None)
    assert [plot.ticks[0].at, plot.ticks[-1].at] == [left, right]
    assert [plot.ticks[0].text, plot.ticks[-1].text] == ["0.0", "1.0"]
    # quartiles 0.25, 0.5, 0.75
    assert [first.five.low, first.five.first, first.five.median, first.five.third, first.five.high] == pytest.approx(
        [left + width * share for share in (0, 0.25, 0.5, 0.75, 1)]
    )
    assert first.y < second.y < plot.height
    assert plot.alt == "Box plots of Dice; medians: Infection: a 0.500."
    assert box_plot("Dice", [("infection", "Infection", {"a": []})], share=True) is None


def test_limits_of_agreement_by_hand():
    # 1 and 3: mean 2, standard deviation sqrt(2)
    limits = limits_of_agreement(np.array([1.0, 3.0]))
    assert (limits.mean, limits.low, limits.high) == pytest.approx((2, 2 - 1.96 * 2**0.5, 2 + 1.96 * 2**0.5))
    alone = limits_of_agreement(np.array([1.0]))
    assert (alone.mean, alone.low, alone.high) == (1, None, None)


def test_points_of_found_less_true_over_their_mean():
    one, other = bland_altman({"one": ([1.0, 6.0], [1.0, 2.0]), "other": ([1.0, 2.0], [1.0, 2.0])}, "mL")
    # differences 0 and 4 at means 1 and 4: mean 2, standard deviation sqrt(8), limits 2 -+ 5.54; axes to 4, -5 to 10
    assert [tick.text for tick in one.x_ticks] == ["0", "1", "2", "3", "4"]
    assert [tick.text for tick in one.y_ticks] == [f"{MINUS}5", "0", "5", "10"]
    (left, right), (bottom, top) = ALTMAN_X, ALTMAN_Y

    def up(value):
        return pytest.approx(bottom + (value + 5) / 15 * (top - bottom), abs=0.051)

    assert one.points == (
        (pytest.approx(left + (right - left) / 4, abs=0.051), up(0)),
        (right, up(4)),
    )
    assert (one.zero, one.mean) == (up(0), up(2))
    assert one.limits == (up(2 - 1.96 * 8**0.5), up(2 + 1.96 * 8**0.5))
    assert one.caption == f"mean +2.00 mL, limits {MINUS}3.54 to +7.54, n = 2"
    assert other.caption == "mean 0.00 mL, limits 0.00 to 0.00, n = 2"
    assert other.y_ticks == one.y_ticks
    (alone,) = bland_altman({"one": ([0.1 + 0.2], [0.3])}, "mL")  # differs in its last digit only
    assert (alone.caption, alone.limits, alone.y_ticks[-1].text) == ("mean 0.00 mL, no limits of one", (), "1.0")


def test_label_sets_have_the_palette_s_colours():
    lung = tuple(round(part / 2) for part in COLOUR_OF_CODE[1])
    expected = {1: (0, 0, 0), 2: lung, 3: (0, 0, 0), 4: COLOUR_OF_CODE[2], 8: COLOUR_OF_CODE[3], 12: COLOUR_OF_CODE[2]}
    expected |= {14: lung, 15: (96, 96, 96), 5: (96, 96, 96)}
    assert {value: colour_of_set(Tissue(value)) for value in expected} == expected
    assert (name_of_set(Tissue(12)), name_of_set(Tissue(15))) == ("ground-glass opacity or consolidation", "unknown")


def test_a_label_map_is_drawn_pixel_for_pixel_with_the_truth_s_outlines():
    made = label_picture(np.full((2, 4), 8, np.uint8), SETS, (2.0, 1.0), "b on case 1", "b")
    kind, data = made.uri.split(",")
    assert kind == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert (picture == COLOUR_OF_CODE[3]).all()
    assert picture.shape == (2, 4, 3)
    assert (made.width, made.height, made.pixel) == (4.0, 4.0, (0.5, 1.0))
    assert [line for line, _ in made.edges] == ["thin", "thick", "dashed"]
    assert made.alt == "b on case 1: consolidation 100.0\N{NO-BREAK SPACE}%."
    lesions = np.where(SETS == 2, 3, SETS)
    assert [line for line, _ in label_picture(lesions, lesions, (1, 1), "", "").edges] == ["thick", "dashed"]
    large = label_picture(np.ones((2050, 8), np.uint8), np.ones((2050, 8), np.uint8), (1, 1), "x", "x")
    assert (large.width, large.height, large.alt) == (3, 684, "x: no lesion.")  # each third pixel


@pytest.mark.parametrize(
    ("p", "stars"), [(None, ""), (0.05, ""), (0.049, "*"), (0.01, "*"), (0.009, "**"), (0.001, "**"), (0.0009, "***")]
)
def test_stars(p, stars):
    assert mark(Cell("a", Mean(0.5, 3), False, (), t_p=p)) == stars


def test_markdown():
    table = markdown(content(("a|b", "c*")))
    assert "| method | Dice ↑ (`present`, n = 12) | Hausdorff distance, 95 %, mm ↓ (`defined`) |" in table
    assert r"| a\|b | 0.500 [0.450, 0.550] | **3.250** [3.200, 3.300] (n = 12) |" in table
    assert r"| c\* | **0.700**\*\*\* [0.650, 0.750] | 4.000 (n = 11) |" in table
    assert r"differs from a\|b by a paired t-test" in table
    assert table.endswith("- A note.\n")


def test_latex_is_whole_and_escaped():
    names = (r"a_b & 50% of $x^2 #1 {~\}", "[b]*")
    text = latex(content(names))
    assert text.count(r"\begin{tabular}{lcc}") == text.count(r"\end{tabular}") == 1
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    first = r"a\_b \& 50\% of \$x\textasciicircum{}2 \#1 \{\textasciitilde{}\textbackslash{}\}"
    assert body == [
        rf"{first} & 0.500 [0.450, 0.550] & \textbf{{3.250}} [3.200, 3.300] (n = 12) \\",
        # a row that began with [ or * would be an option of the \\ before it
        r"{[}b]{*} & \textbf{0.700}$^{***}$ [0.650, 0.750] & 4.000 (n = 11) \\",
    ]
    heads = text[text.index(r"\toprule") : text.index(r"\midrule")].splitlines()[1:]
    assert heads == [
        r"Method & Dice $\uparrow$ & Hausdorff distance, 95 \%, mm $\downarrow$ \\",
        r" & present, n = 12 & defined \\",
    ]
    plain = re.sub(r"\\[&%$#_{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"(?<!\\)[#_]", text)


def test_minus_signs_of_numbers_in_latex():
    made = content()
    low = dataclasses.replace(made.tables[0].columns[0].cells[0], mean=Mean(-0.5, 12))
    column = Column("volume_difference", "present", (low, low))
    made = dataclasses.replace(
        made, units={"volume_difference": "mL"}, tables=(Table("infection", "Infection", (column,)),)
    )
    assert r"a & $-$0.500 \\" in latex(made)


def test_csv_and_json():
    first, second, *_ = csv.DictReader(io.StringIO(table_csv(content())))
    assert (first["method"], first["mean"], first["ci_low"], first["n"], first["better"]) == (
        "a", "0.5", "0.45", "12", "high",
    )  # fmt: skip
    assert (first["t_p_holm"], second["t_p_holm"], second["mark"], second["best"]) == ("", "0.0004", "***", "1")
    dice, distance = csv.DictReader(io.StringIO(differences_csv(content())))
    assert (dice["method"], dice["less"], dice["mean_difference"], dice["pairs"]) == ("b", "a", "0.2", "12")
    assert (dice["t_p"], dice["t_p_holm"], dice["wilcoxon_p"], dice["wilcoxon_p_holm"]) == (
        "0.0002", "0.0004", "0.004", "",
    )  # fmt: skip
    assert (distance["unit"], distance["effect_size"]) == ("mm", "1.25")
    told = json.loads(summary_json(content()))["regions"]["infection"]
    assert told["dice"]["present"]["a"]["difference"] is None
    assert told["hausdorff_95"]["defined"]["b"]["difference"]["t_p_holm"] == 0.3


def test_the_page_loads_nothing_and_tells_what_its_pictures_show():
    page = render(content())
    read = Reader(page)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("h1") == tags.count("main") == 1
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "a"} & set(tags)
    for _, attributes in read.tags:
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        assert attributes.get("href", "data:image/png;").startswith("data:image/png;")
    assert "url(" not in page
    pictures = [attributes for tag, attributes in read.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(pictures) == 2 + 2 + 3  # box plots, Bland-Altman plots, label maps
    assert all(attributes["aria-label"] for attributes in pictures)
    policy = next(a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    assert "None" not in read.words


def test_the_page_says_what_the_tables_say():
    words = Reader(render(content())).words
    assert "2 methods compared on 12 images" in words
    assert "Dice of infection (present): b has the best mean, 0.700." in words
    assert "b 0.700 *** [0.650, 0.750]" in words
    assert "Dice ↑ (present) b +0.200 +0.100 to +0.300 1.25 < 0.001 < 0.001 0.004 – 12" in words  # noqa: RUF001
    assert "true lung true infection true consolidation" in words
    assert "A note." in words


def test_best_methods_in_a_sentence():
    made = content()
    column = made.tables[0].columns[0]
    for best, says in (((True, True), "a and b have the best mean, 0.500."), ((False, False), "no method is ahead.")):
        cells = tuple(dataclasses.replace(cell, best=one) for cell, one in zip(column.cells, best, strict=True))
        table = Table("infection", "Infection", (Column("dice", "present", cells),))
        assert sentence(dataclasses.replace(made, tables=(table,))) == f"Dice of infection (present): {says}"


def test_markup_in_any_name_is_shown_as_text():
    page = render(content((MARKUP, f"{MARKUP}2"), (MARKUP,), MARKUP))
    assert "<script" not in page
    assert "<img" not in page
    assert MARKUP in " ".join(Reader(page).text)

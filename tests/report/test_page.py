from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from groundglass.evaluation.burden import Burden, measure
from groundglass.evaluation.failure import worst_slice
from groundglass.evaluation.statistics import compare
from groundglass.inference.segmentation import ModelCard
from groundglass.labels import Region
from groundglass.provenance import Machine
from groundglass.report.demonstration import Demonstration, Trained
from groundglass.report.frame import RESEARCH
from groundglass.report.page import PageContent, render, sentence
from groundglass.scan import Acquisition, Notice, Source

MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>&\"'"
VOID = {"meta", "link", "img", "input", "br", "hr"}
NBSP = "\N{NO-BREAK SPACE}"


class Reader(HTMLParser):
    """Keeps tags, attributes and text, and fails on a tag that is not closed by its own end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).replace(NBSP, " ").split())


def variants(make) -> dict[str, PageContent]:
    one = make((1, 64, 64), source=Source(format="image", spacing_known=False, sides_known=False))
    lungless = make()
    nothing = np.zeros_like(lungless.segmentation.codes)
    return {
        "infected": make(),
        "healthy": make(infected=False),
        "one slice": one,
        "truth": with_truth(make()),
        "demo": demo(make()),
        "no lung": dataclasses.replace(
            lungless,
            segmentation=dataclasses.replace(lungless.segmentation, codes=nothing, sides=nothing),
            burden=measure(lungless.scan, nothing, nothing),
        ),
        "no sides": make(source=Source(format="nifti", sides_known=False)),
        "no notices": make(notices=()),
        "two slices": make((2, 64, 64)),
    }


def with_truth(content: PageContent) -> PageContent:
    truth = np.where(content.segmentation.codes == 3, 2, content.segmentation.codes).astype(np.uint8)
    burden = measure(content.scan, truth, content.segmentation.sides)
    return dataclasses.replace(content, truth=truth, truth_burden=burden, agreement={"infection": 0.8764})


def demo(content: PageContent, method: str = "mean_teacher") -> PageContent:
    content = with_truth(content)
    return dataclasses.replace(
        content,
        failure=worst_slice(content.segmentation.codes, content.truth, content.scan.voxel_ml),
        demonstration=Demonstration(
            baseline=Trained("supervised", {Region.INFECTION: (0.6, 0.02)}),
            other=Trained(method, {Region.INFECTION: (0.65, 0.03)}),
            difference={Region.INFECTION: compare([0.7, 0.5, 0.8], [0.6, 0.5, 0.6], ["a", "b", "c"])},
            seeds=3,
            labels=6,
            unlabelled=281,
            slices=123,
            steps=300,
            shown=method,
        ),
    )


NAMES = ("infected", "healthy", "one slice", "truth", "demo", "no lung", "no sides", "no notices", "two slices")


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_well_formed_and_loads_nothing(make, name):
    page = render(variants(make)[name])
    read = Reader(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "a"} & {tag for tag, _ in read.tags}
    for tag, attributes in read.tags:
        assert not any(key.startswith("on") or key == "style" for key in attributes), tag
        for key in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(key, "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"(https?:)?//\w", re.sub(r'"data:[^"]*"', "", page))


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_language_title_viewport_headings_and_words_for_its_pictures(make, name):
    read = Reader(render(variants(make)[name]))
    tags = [tag for tag, _ in read.tags]
    assert ("html", {"lang": "en"}) in read.tags
    assert tags.count("h1") == tags.count("title") == tags.count("main") == 1
    assert any(attributes.get("name") == "viewport" for _, attributes in read.tags)
    pictures = [attributes for tag, attributes in read.tags if attributes.get("class") == "picture"]
    assert pictures
    assert all(attributes["aria-label"] and attributes["role"] == "img" for attributes in pictures)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    assert read.words.count(RESEARCH) == 2
    assert "None" not in read.words
    assert "nan" not in read.words.split()


def test_the_policy_allows_this_style_and_nothing_else(make):
    page = render(make())
    policy = next(a["content"] for t, a in Reader(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_markup_in_any_string_is_shown_as_text(make):
    content = make(
        case=MARKUP,
        notices=(Notice(MARKUP),),
        seconds={MARKUP: 1.0},
        agreement={MARKUP: 0.5},
        source=Source(format="dicom", acquisition=Acquisition(MARKUP, MARKUP, 120.0, 1.0)),
    )
    provenance = dataclasses.replace(
        content.provenance,
        version=MARKUP,
        command=MARKUP,
        settings={MARKUP: MARKUP},
        model=MARKUP,
        recipe=MARKUP,
        data={MARKUP: MARKUP},
        machine=Machine(MARKUP, MARKUP, 2, MARKUP, {MARKUP: MARKUP}),
    )
    card = ModelCard(MARKUP, MARKUP, MARKUP, MARKUP, (MARKUP,))
    segmentation = dataclasses.replace(content.segmentation, model=card)
    content = demo(content, MARKUP)
    page = render(dataclasses.replace(content, provenance=provenance, segmentation=segmentation))
    assert "<script" not in page
    assert "<img" not in page
    assert MARKUP in " ".join(Reader(page).text)


def test_files_of_a_notice_never_reach_the_page(make):
    page = render(make(notices=(Notice("A slice is missing.", ("secret/IM0041.dcm",)), Notice("A slice is missing."))))
    assert "secret" not in page
    assert "IM0041" not in page
    assert page.count("A slice is missing.") == 1


def test_numbers_come_from_the_record(make):
    content = make()
    zones = []
    for at, zone in enumerate(content.burden.zones):
        amounts = {
            region: dataclasses.replace(
                amount, volume_ml=100 * at + k + 0.4, percent_of_lung=at + k / 7, mean_hu=-at - k
            )
            for k, (region, amount) in enumerate(zone.amounts.items())
        }
        zones.append(dataclasses.replace(zone, amounts=amounts))
    burden = dataclasses.replace(
        content.burden,
        zones=tuple(zones),
        opacity_percent=44.44,
        six_zone_points=dict.fromkeys(content.burden.six_zone_points, 3),
        six_zone_score=18,
        lesion_count=4321,
        largest_lesion_ml=123.4,
        case_score=0.87,
    )
    words = Reader(render(dataclasses.replace(content, burden=burden))).words
    for zone in zones:
        for amount in zone.amounts.values():
            assert f" {amount.volume_ml:.1f} " in words
    assert "Infection 1.4 0.1 \N{MINUS SIGN}1 101.4 1.1 \N{MINUS SIGN}2 201.4 2.1 \N{MINUS SIGN}3" in words
    for text in ("44.4 %", "18 of 24", "Lesions 4321", "Largest lesion 123.4 mL", "0.87 of 1", "upper 3 3"):
        assert text in words
    for text in ("reading 2.3", "Total 11.5", "Siemens", "B60f", "120 kV", "64 × 64 pixels", "24"):  # noqa: RUF001
        assert text in words


def test_what_is_unknown_is_a_dash_with_its_reason(make):
    words = Reader(render(variants(make)["one slice"])).words
    assert "Spacing unknown: the input has no pixel size" in words
    assert "Largest lesion – " in words  # noqa: RUF001
    assert "The input does not tell left from right." in words
    assert "From the front" not in words
    assert "Six-zone score – " in words  # noqa: RUF001
    assert "The bar is" not in words


def test_a_page_without_lung_says_so_and_still_shows_slices(make):
    read = Reader(render(variants(make)["no lung"]))
    assert "No lung was found, so nothing could be measured." in read.words
    assert "Measurements" not in read.words
    assert sum(attributes.get("class") == "picture" for _, attributes in read.tags) > 3


def test_a_healthy_scan_has_no_most_affected_slices(make):
    words = Reader(render(variants(make)["healthy"])).words
    assert "No ground glass and no consolidation was found in" in words
    assert "Most affected" not in words
    assert "From feet to head" not in words


def test_truth_stands_beside_what_was_measured(make):
    content = with_truth(make())
    page = render(content)
    read = Reader(page)
    assert page.count('class="outlines true"') == page.count(" · truth</figcaption>") == 3
    assert "Infection 0.876" in read.words
    true = content.truth_burden.zone().amounts[Region.CONSOLIDATION].volume_ml
    ours = content.burden.zone().amounts[Region.CONSOLIDATION].volume_ml
    assert true == 0
    assert f"Consolidation 0.0 {ours:.1f} +{ours:.1f}" in read.words
    assert "truth" not in Reader(render(make())).words


def test_a_demo_shows_its_worst_slice_and_its_trainings(make):
    content = demo(make())
    page = render(content)
    words = Reader(page).words
    wrong = (content.segmentation.codes != content.truth).sum(axis=(1, 2))
    solid = wrong.max() * content.scan.voxel_ml  # the truth calls all of it haze
    assert page.count('class="outlines true"') == 4
    assert f"Slice {wrong.argmax() + 1} of 24 holds" in words
    assert f"{solid:.0f} mL of ground glass was taken for consolidation." in words
    # differences of 0.1, 0 and 0.2: mean 0.1, t = 0.1 / (0.1 / sqrt 3) = 1.73, and 4.303 standard errors either way
    assert "Mean teacher less Supervised – +0.100 (−0.148 to +0.348) – –" in words  # noqa: RUF001
    assert "No difference could be told from chance" in words
    assert "mean teacher also saw 281 slices without labels" in words


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([1, 1, 2, 3], "Infection in 50.0 % of the lung: 1.0 mL of ground glass and 1.0 mL of consolidation."),
        ([1, 1, 1, 2], "Infection in 25.0 % of the lung: 1.0 mL of ground glass."),
        ([1, 1, 1, 1], "No ground glass and no consolidation was found in 4.0 mL of lung."),
        ([0, 0, 0, 0], "No lung was found, so nothing could be measured."),
    ],
)
def test_sentence(codes, words, make):
    content = make((2, 64, 64))
    row = np.array(codes, np.uint8).reshape(1, 1, 4)
    hu = np.zeros((1, 1, 4), np.int16)
    scan = dataclasses.replace(content.scan, hu=hu, affine=np.diag([-10.0, -10.0, 10.0, 1.0]))
    assert sentence(measure(scan, row, (row > 0).astype(np.uint8))).replace(NBSP, " ") == words


def test_what_is_there_is_never_called_0(make):
    content = make()
    both, *others = content.burden.zones
    infection = dataclasses.replace(both.amounts[Region.INFECTION], percent_of_lung=0.01)
    zone = dataclasses.replace(both, amounts={**both.amounts, Region.INFECTION: infection})
    burden = dataclasses.replace(content.burden, zones=(zone, *others), opacity_percent=0.01)
    page = render(dataclasses.replace(content, burden=burden))
    assert "<dt>Infection</dt><dd><b>under 0.1</b> % of lung</dd>" in page
    assert "Infection in under 0.1" in page


def test_sentence_without_zones():
    burden = Burden((), None, {}, None, 0, None, (), None)
    assert sentence(burden) == "No lung was found, so nothing could be measured."


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_has_the_contrast_that_wcag_asks_for(make):
    style = render(make())
    for name in ("ink", "soft", "accent"):
        colour = re.search(rf"--{name}: (#\w{{6}});", style)
        assert colour is not None
        for ground in ("#ffffff", "#fff6e0"):
            assert (luminance(ground) + 0.05) / (luminance(colour.group(1)) + 0.05) >= 4.5


def test_a_page_needs_neither_torch_nor_matplotlib():
    code = "import sys, groundglass.report.page; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

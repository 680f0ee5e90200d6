import base64
import csv
import dataclasses
import hashlib
import io
import re
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from groundglass.evaluation.audit import Audit, Finding, Kind
from groundglass.preprocess.orient import ORIENTATIONS
from groundglass.report.audit import (
    MEANING,
    MOST_SHOWN,
    TURNED,
    AuditContent,
    Part,
    Told,
    as_json,
    findings_csv,
    merged,
    pairs,
    render,
    sentence,
    small_picture,
)
from groundglass.report.frame import RESEARCH
from groundglass.scan import Notice
from tests.report.conftest import PROVENANCE
from tests.report.test_page import MARKUP, Reader


def near(one, other, score, end=""):
    text = f"{one} (test) and {other} (train) are nearly one picture: correlation of detail {score:.2f}{end}."
    return Finding("near-duplicate", (one, other), ("train", "test"), score, text)


def alike(one, other, score):
    return Finding("alike", (one, other), ("test", "unlabelled"), score, f"{one} and {other} look alike.")


GROUP = Finding(
    "same-group", ("a", "b"), ("train", "test"), None, "Group g is on several sides: 1 in train, 1 in test."
)
SAME = Finding("identical", ("v/1", "w/1"), ("train", "test"), None, "v/1 (test) and w/1 (train) are the same picture.")


def content(*findings, **more):
    told = merged([(None, Audit(tuple(findings)))])
    names = {name for one in told for name in one.finding.items}
    fields = {
        "name": "toy, a split by slices",
        "parts": (Part(None, {"train": 12, "test": 3}, {"train": 4, "test": 2}),),
        "told": told,
        "unchecked": frozenset({"prior-is-truth"}),
        "volumes": {name: name.split("/")[0] for name in names if "/" in name},
        "pictures": {name: small_picture(np.full((9, 9), k, np.uint8)) for k, name in enumerate(sorted(names))},
        "notices": (Notice("Three slices are on no side.", ("secret.png",)),),
        "provenance": PROVENANCE,
        "seconds": {"looking at slices": 1.2},
    }
    return AuditContent(**{**fields, **more})


def test_a_pair_that_two_folds_tell_is_one_with_its_higher_score():
    folds = [
        (0, Audit((near("a", "b", 0.8),))),
        (2, Audit((GROUP, near("b", "a", 0.9), near("c", "d", 0.85)))),
    ]
    told = merged(folds)
    assert [(one.finding.kind, one.finding.items, one.folds) for one in told] == [
        ("same-group", ("a", "b"), (2,)),
        ("near-duplicate", ("b", "a"), (0, 2)),
        ("near-duplicate", ("c", "d"), (2,)),
    ]
    assert merged([(None, Audit((GROUP,)))]) == (Told(GROUP, ()),)


def test_a_row_for_each_finding():
    made = content(GROUP, near("a", "b", 0.81236, " (transpose)"))
    rows = list(csv.reader(io.StringIO(findings_csv(made))))
    assert rows[0] == ["kind", "items", "sides", "score", "text", "folds"]
    assert rows[1] == ["same-group", "a; b", "train test", "", GROUP.text, ""]
    assert rows[2][:4] == ["near-duplicate", "a; b", "train test", "0.8124"]
    folds = dataclasses.replace(made, told=(Told(GROUP, (0, 3)),))
    assert findings_csv(folds).splitlines()[1].endswith(",0 3")


def test_numbers_tell_what_was_not_looked_for_from_what_was_not_found():
    record = as_json(content(GROUP, near("a", "b", 0.9), alike("a", "c", 0.8)))
    assert list(record["kinds"]) == list(get_args(Kind))
    assert record["kinds"]["same-group"] == record["kinds"]["near-duplicate"] == record["kinds"]["alike"] == 1
    assert record["kinds"]["same-item"] == 0
    assert record["kinds"]["prior-is-truth"] is None
    assert (record["leaks"], record["hints"]) == (2, 1)
    assert record["parts"] == [{"fold": None, "slices": {"train": 12, "test": 3}, "groups": {"train": 4, "test": 2}}]
    assert record["findings"][1]["score"] == 0.9


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ((), "No leak found."),
        ((GROUP,), "1 leak found."),
        ((GROUP, SAME, alike("a", "c", 0.8)), "2 leaks found; 1 pair looks alike."),
        ((alike("a", "c", 0.8), alike("a", "d", 0.8)), "No leak found; 2 pairs look alike."),
    ],
)
def test_sentence(findings, words):
    assert sentence(content(*findings)) == words


def test_pairs_of_two_volumes_are_one_with_a_count_and_single_slices_are_their_own():
    page = content(
        SAME,
        near("v/2", "w/2", 0.9),
        near("w/4", "v/3", 0.95),
        near("v/5", "x/1", 0.8),
        alike("a", "v/1", 0.85),
        alike("b", "v/1", 0.84),
        GROUP,
    )
    shown, left_out = pairs(page)
    assert [(pair.slices[0][0], pair.slices[1][0], pair.said) for pair in shown] == [
        ("v/1 · test", "w/1 · train", ""),
        ("w/4 · test", "v/3 · train", "correlation of detail 0.95, 1 more of the same two"),
        ("v/5 · test", "x/1 · train", "correlation of detail 0.80"),
        ("a · test", "v/1 · unlabelled", "correlation as framed 0.85"),
        ("b · test", "v/1 · unlabelled", "correlation as framed 0.84"),
    ]
    assert left_out == 0
    assert [picture for _, picture in shown[1].slices] == [page.pictures["w/4"], page.pictures["v/3"]]
    assert len(set(page.pictures.values())) > 8


def test_sixty_pairs_are_shown_the_strongest_first_and_the_rest_are_counted():
    findings = [near(f"s{k}", "t/1" if k < 2 else f"t{k}", 0.70 + k / 1000) for k in range(70)]
    findings.append(near("s0", "t/2", 0.7))  # the same slice and volume as another: not shown either
    page = content(*findings)
    shown, left_out = pairs(page)
    assert len(shown) == MOST_SHOWN == 60
    assert [pair.slices[0][0] for pair in shown[:2]] == ["s69 · test", "s68 · test"]
    assert left_out == 71 - 60
    assert "11 pairs are not shown" in Reader(render(page)).words
    many = [dataclasses.replace(GROUP, items=(f"a{k}", f"b{k}")) for k in range(MOST_SHOWN + 4)]
    assert "4 more are in findings.csv." in Reader(render(content(*many))).words


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "as-is"])
def test_an_orientation_is_told_in_words(orientation):
    (pair,), _ = pairs(content(near("a", "b", 0.9, f" ({orientation})")))
    assert pair.said == f"correlation of detail 0.90, {TURNED[orientation]}"


def test_folds_of_a_pair_are_told():
    made = content(near("a", "b", 0.9))
    for folds, words in (((1,), "in fold 1"), ((0, 3), "in folds 0, 3")):
        page = dataclasses.replace(made, told=(Told(made.told[0].finding, folds),))
        assert pairs(page)[0][0].said == f"correlation of detail 0.90, {words}"


def test_a_finding_of_many_slices_names_the_first():
    many = dataclasses.replace(GROUP, items=tuple(f"s{k}" for k in range(15)))
    words = Reader(render(content(many))).words
    assert "s10; s11 and 3 more" in words
    assert "s12" not in words


@pytest.mark.parametrize("findings", [(), (GROUP, SAME, near("a", "b", 0.9), alike("a", "v/1", 0.8))])
def test_the_page_is_well_formed_and_loads_nothing(findings):
    page = render(content(*findings))
    read = Reader(page)
    tags = [tag for tag, _ in read.tags]
    assert page.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "a"} & set(tags)
    for tag, attributes in read.tags:
        assert not any(key.startswith("on") or key == "style" for key in attributes), tag
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert tag != "img" or attributes["alt"]
    assert not re.search(r"(https?:)?//\w", re.sub(r'"data:[^"]*"', "", page))
    assert tags.count("h1") == tags.count("title") == tags.count("main") == 1
    assert tags.count("img") == 2 * len(pairs(content(*findings))[0])
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("aria-labelledby", ids[0]) in ids for _, attributes in read.tags)
    assert read.words.count(RESEARCH) == 2
    assert "None" not in read.words
    assert "prior-is-truth not looked for" in read.words
    assert "the split 12 (4) 3 (2) 0 (0)" in read.words
    assert "98 %" in read.words
    policy = next(a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_markup_is_shown_as_text_and_files_of_notices_are_not():
    made = content(
        near(MARKUP, "b", 0.9),
        dataclasses.replace(GROUP, text=MARKUP, items=(MARKUP,)),
        name=MARKUP,
        notices=(Notice(MARKUP, ("secret.png",)),),
        provenance=dataclasses.replace(PROVENANCE, version=MARKUP),
        seconds={MARKUP: 1.0},
    )
    page = render(made)
    assert "<script" not in page
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", page)
    assert "secret" not in page + findings_csv(made) + str(as_json(made))
    assert MARKUP in " ".join(Reader(page).text)


def test_every_kind_and_orientation_has_words():
    assert set(MEANING) == set(get_args(Kind))
    assert set(TURNED) == set(ORIENTATIONS) - {"as-is"}


@pytest.mark.parametrize(("shape", "size"), [((320, 80), (40, 160)), ((100, 30), (30, 100)), ((1, 4000), (160, 1))])
def test_a_small_picture_keeps_its_proportions_and_is_not_enlarged(shape, size):
    uri = small_picture(np.zeros(shape, np.uint8))
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == size


def test_a_small_picture_shows_the_window_and_bytes_alike():
    for image in (np.full((8, 8), 0.4), np.full((8, 8), 102, np.uint8)):
        picture = Image.open(io.BytesIO(base64.b64decode(small_picture(image).partition(",")[2])))
        assert abs(int(np.asarray(picture)[4, 4]) - 102) <= 1

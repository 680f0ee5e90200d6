from functools import partial

import numpy as np
import pytest

from groundglass.datasets import _catalogue as catalogue
from groundglass.datasets._case import Asked, Case, Cases
from groundglass.datasets._catalogue import Card
from groundglass.datasets._checking import differences, report, set_name, survey
from groundglass.errors import ReadError, UsageError
from groundglass.lookup import find_module, names
from tests.datasets.archives import semiseg
from tests.datasets.fake_publishers import ALL

FAKES = {**ALL, "covid_semiseg": semiseg}


def case(name="a", labels=(None, None), group="p"):
    pictures = (np.zeros((4, 5), np.uint8), np.zeros((4, 10), np.uint8))
    return Case(name, pictures, labels if any(sets is not None for sets in labels) else None, (group, group))


def cases(*loaded):
    return Cases(tuple(partial(lambda one: one, one) for one in loaded))


def sets(width, *values):
    """(4, width) of label sets, the first so many pixels of each value."""
    flat = np.full(4 * width, 3, np.uint8)
    flat[: len(values)] = values
    return flat.reshape(4, width)


def test_counts_shares_and_sizes():
    # 20 + 40 pixels, of them 6 ground glass (4) and 3 consolidation (8): 10 and 5 %, the other 51 are 85 %
    first = case("a", (sets(5, 4, 4, 8), sets(10, 4, 4, 4, 4, 8, 8)))
    found = survey(cases(first, case("b", (None, None), "q")))
    assert (found.cases, found.slices, found.labelled, found.groups) == (2, 4, 2, {"p", "q"})
    assert found.sizes == {(5, 4): 2, (10, 4): 2}
    assert found.shares == {3: pytest.approx(0.85), 4: pytest.approx(0.1), 8: pytest.approx(0.05)}
    assert found.slices_with == {3: 2, 4: 2, 8: 2}
    assert found.without_partner == 0
    assert "ground-glass: 10.00% of the labelled pixels, in 2 slices" in list(report(found))


def test_slices_without_partner_are_those_of_cases_that_have_some():
    found = survey(cases(case("a", (sets(5), None)), case("b")))
    assert (found.labelled, found.without_partner) == (1, 1)
    assert any("1 slices have no labels" in line for line in report(found))


def test_what_cannot_be_read_is_told_of_and_the_rest_is_read():
    def broken():
        raise ReadError("It is torn.", expected="x", remedy="y")

    shares = []
    found = survey(Cases((broken, lambda: case("a"), lambda: case("a"))), shares.append)
    assert found.problems == ["case 1 of 3: It is torn.", "a is there twice"]
    assert (found.cases, shares[-1]) == (2, 1)


def test_differences_are_named():
    found = survey(cases(case("a", (sets(5, 8), sets(10)))))
    assert differences(found, Card(cases=1, slices=2, labelled=2, groups=1, sets=(3, 8))) == ()
    assert differences(found, Card(cases=3, labelled=0, sets=(3, 4))) == (
        "1 cases, by the card 3",
        "2 labelled slices, by the card 0",
        "labels that the card does not know: consolidation",
    )
    assert len(differences(found, Card(sets=()))) == 2


def test_names_of_sets():
    assert [set_name(value) for value in (1, 3, 12, 15)] == [
        "background",
        "background or lung",
        "ground-glass or consolidation",
        "unknown",
    ]


def test_every_reader_of_a_publisher_is_in_the_catalogue():
    assert sorted(catalogue.ENTRIES) == sorted(set(names("groundglass.datasets")) - {"folder"})


@pytest.mark.parametrize("entry", catalogue.ENTRIES.values(), ids=lambda entry: entry.name)
def test_every_entry_says_how_it_is_got(entry):
    assert entry.files or entry.steps
    for remote in entry.files:
        assert remote.url.startswith("https://")
        kind, _, digits = (remote.digest or f"md5:{'0' * 32}").partition(":")
        assert len(digits) == {"md5": 32, "sha256": 64}[kind]
    assert len({remote.name for remote in entry.files}) == len(entry.files)


@pytest.mark.parametrize("name", FAKES)
def test_a_layout_is_told_found_and_counted(name, tmp_path):
    root = FAKES[name](tmp_path / "deep" / "er")
    entry = catalogue.ENTRIES[name]
    assert entry.find_in(tmp_path) is not None
    assert catalogue.guess(entry.find_in(tmp_path)) == name
    found = survey(find_module("groundglass.datasets", name).read(root, Asked(b"key")))
    assert found.problems == []
    assert not [line for line in differences(found, entry.card) if line.startswith("labels")]


def test_patients_of_covid_ct_md_are_told_by_their_names(tmp_path):
    for folder in ("mine/COVID-19 subjects/P001", "mine/CAP subjects/cap003", "part/normal002", "else/Patients"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.dcm").touch()
    entry = catalogue.ENTRIES["covid_ct_md"]
    assert entry.find_in(tmp_path / "mine") == tmp_path / "mine"
    assert entry.find_in(tmp_path / "part") == tmp_path / "part"
    assert entry.find_in(tmp_path / "else") is None


def test_a_folder_that_is_none_and_a_name_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="no data set that is known"):
        catalogue.guess(tmp_path)
    (tmp_path / "images").mkdir()
    assert catalogue.guess(tmp_path) == "folder"
    with pytest.raises(UsageError, match="Did you mean 'mosmed'"):
        catalogue.entry("mosmad")
    assert catalogue.entry("covid-ct-md").name == "covid_ct_md"


@pytest.mark.real
def test_the_real_sets_meet_their_cards(data):
    semiseg_found = survey(find_module("groundglass.datasets", "covid_semiseg").read(data / "covid_semiseg"))
    assert differences(semiseg_found, catalogue.ENTRIES["covid_semiseg"].card) == ()

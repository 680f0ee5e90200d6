import csv
import json
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from groundglass import pseudo_labels
from groundglass.errors import ReadError
from groundglass.inference.kmeans import SETS
from groundglass.inference.predict import decide
from groundglass.labels import Tissue
from groundglass.preprocess.slices import prepare_labels
from groundglass.pseudo_labels import INDEX, MADE_BY, Guess, by_kmeans, by_network, choose, make
from groundglass.recipe import Labels
from groundglass.store import open_store
from tests.thorax import draw, ellipsoid
from tests.toy_store import make_store, make_thorax_store

HAZE = ellipsoid((0, 35, -60), (24, 20, 24))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(make_store(tmp_path_factory.mktemp("store") / "toy"))


def sets(value):
    return np.full((32, 32), value, np.uint8)


class Counted:
    """Says 4 of even slices and 15 of odd ones; counts how often it is asked, and can break down."""

    def __init__(self, breaks_at=None):
        self.asked, self.breaks_at = 0, breaks_at

    def __call__(self, numbers):
        for number in numbers:
            if self.asked == self.breaks_at:
                raise KeyboardInterrupt
            self.asked += 1
            yield Guess(number, sets(15 if number % 2 else 4), 0.75)


def test_what_a_labeller_says_is_read_back_with_where_it_came_from(store, tmp_path):
    made = make(store, [10, 11], Counted(), tmp_path / "labels", {"weights": "abc"})
    np.testing.assert_array_equal(made.read(10), sets(4))
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "labels" / "000011.png")), sets(15))
    record = json.loads((tmp_path / "labels" / MADE_BY).read_text())
    assert record == {"weights": "abc", "slices": [10, 11]}
    rows = list(csv.DictReader((tmp_path / "labels" / INDEX).read_text().splitlines()))
    assert [(row["slice"], row["confidence"]) for row in rows] == [("toy/10", "0.750000"), ("toy/11", "0.750000")]


def test_a_labelling_that_was_cut_is_made_again_to_the_same_bytes_and_a_whole_one_is_not(store, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    made = make(store, range(10, 16), Counted(), whole, {})
    for place in (0, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            make(store, range(10, 16), Counted(place), cut, {})
    assert make(store, range(10, 16), Counted(), cut, {}).digest == made.digest
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in cut.iterdir()}
    assert all((whole / name).read_bytes() == (cut / name).read_bytes() for name in names)
    never = Counted(0)
    assert make(store, range(10, 16), never, cut, {}).digest == made.digest
    assert never.asked == 0


def test_label_maps_of_another_run_and_damaged_ones_are_refused(store, tmp_path):
    made = make(store, [10, 11], Counted(), tmp_path, {"weights": "abc"})
    for other, slices in (({"weights": "abd"}, [10, 11]), ({"weights": "abc"}, [10, 12])):
        with pytest.raises(ReadError, match="another recipe, store, version or network"):
            make(store, slices, Counted(), tmp_path, other)
    file = tmp_path / "000010.png"
    content = file.read_bytes()
    file.write_bytes((tmp_path / "000011.png").read_bytes())  # a label map, but not this one
    with pytest.raises(ReadError, match=r"000010.png that the run made is damaged"):
        made.read(10)
    file.write_bytes(content[:40])
    with pytest.raises(ReadError, match="damaged"):
        made.read(10)
    file.unlink()
    with pytest.raises(ReadError, match="missing"):
        made.read(10)
    (tmp_path / INDEX).write_text("number,slice\nx,y\n")
    with pytest.raises(ReadError, match="index"):
        make(store, [10, 11], Counted(), tmp_path, {"weights": "abc"})


def test_soft_labels_are_probabilities_of_a_byte_and_unknown_below_the_floor(store, tmp_path, monkeypatch):
    probability = np.empty((3, 32, 32), np.float32)
    probability[:, :16] = np.array([0.2, 0.5, 0.3])[:, None, None]
    probability[:, 16:] = np.array([0.6, 0.3, 0.1])[:, None, None]
    monkeypatch.setattr(
        pseudo_labels, "predicted", lambda _, __, numbers, views: ((n, views / 2 * probability) for n in numbers)
    )
    method = Mock(outputs=(3, 4, 8))
    made = make(
        store,
        [10],
        by_network(store, method, Labels(confidence=0.55, soft=True, views=2)),
        tmp_path,
        {},
        method.outputs,
    )
    read = made.read_soft(10)
    assert (read[:, :16] == 0).all()  # 0.5 is not above 0.55
    assert (read[:, 30:] == 0).all()  # padding
    # 153, 76.5 to even, 25.5 to even: 76 and 26
    np.testing.assert_allclose(read[:, 20, 0], np.array([153, 76, 26]) / 255, atol=1e-6)
    assert np.unique(made.read(10)[:16]).tolist() == [15]
    assert np.unique(made.read(10)[16:29]).tolist() == [3]


@pytest.mark.parametrize("soft", [True, False])
def test_a_network_labels_what_it_was_shown_and_no_padding(store, tmp_path, monkeypatch, soft):
    """A slice of 40 x 48 lies in rows 2 to 28 of 32; in the others a network says whatever it likes."""
    probability = np.full((3, 32, 32), [[[0.1]], [[0.7]], [[0.2]]], np.float32)
    padding = np.ones((32, 32), bool)
    padding[2:29] = False
    probability[:, padding] = np.array([[0.0], [0.1], [0.9]])
    monkeypatch.setattr(pseudo_labels, "predicted", lambda _, __, numbers, ___: ((n, probability) for n in numbers))
    method = Mock(outputs=(3, 4, 8))
    labeller = by_network(store, method, Labels(soft=soft))
    made = make(store, [10], labeller, tmp_path, {}, method.outputs if soft else None)
    assert (made.read(10) == np.where(padding, 15, 4)).all()
    (guess,) = labeller([10])
    assert guess.confidence == pytest.approx(0.7)


def test_each_round_draws_others_until_none_is_left(store):
    wanted, free, before = Labels(count=4), range(10, 16), []
    first = choose(store, free, before, wanted, (0, 1, 1))
    assert len(first) == 4
    assert first == choose(store, free, before, wanted, (0, 1, 1)) == sorted(first)
    assert first != choose(store, free, before, wanted, (1, 1, 1))
    second = choose(store, free, first, wanted, (0, 1, 2))
    assert sorted([*first, *second]) == list(free)
    assert choose(store, free, [*first, *second], wanted, (0, 1, 3)) == []


def test_again_labels_old_ones_too_and_no_count_takes_all(store):
    assert choose(store, range(10, 16), [10, 12], Labels(), (0,)) == [11, 13, 14, 15]
    assert choose(store, range(10, 16), [10, 12], Labels(again=True), (0,)) == list(range(10, 16))
    again = choose(store, range(10, 16), [10, 12], Labels(again=True, count=1), (0,))
    assert len(again) == 3
    assert {10, 12} < set(again)


def test_offsets_are_from_the_middle_slice_of_the_volume(store):
    # 16 slices: p is number 8, so p - 3, p - 2 are 5 and 6; they must be free
    assert choose(store, range(16), [], Labels(offsets=[-3, -2]), (0,)) == [5, 6]
    assert choose(store, range(6, 16), [], Labels(offsets=[-3, -2, 40]), (0,)) == [6]


def test_the_most_probable_group_and_unknown_where_none_is_above_a_half():
    # section 4.5: P > 0.5; a half itself is not above a half
    p = np.array([[[0.6, 0.5, 0.4]], [[0.3, 0.5, 0.35]], [[0.1, 0.0, 0.25]]], np.float32)
    assert decide(p, (3, 4, 8), 0.5).tolist() == [[3, 15, 15]]
    assert decide(p[[1, 0, 2]], (3, 4, 8), 0.5).tolist() == [[4, 15, 15]]
    assert decide(p, (3, 4, 8)).tolist() == [[3, 3, 3]]


def test_clusters_label_a_scan_as_a_whole_and_only_what_is_asked(tmp_path):
    scan = draw(haze=(HAZE, -600), noise_hu=20)
    store = open_store(make_thorax_store(tmp_path / "store", scan, range(12, 36)))
    guesses = {guess.number: guess.planes for guess in by_kmeans(store)([11, 3])}
    assert set(guesses) == {3, 11}
    assert all(set(np.unique(sets)) <= {*SETS, 15} for sets in guesses.values())  # 15 in the padding
    true = prepare_labels(np.where(HAZE[23], 4, 3).astype(np.uint8), store.frame(11)) == 4
    found = guesses[11] == Tissue.GROUND_GLASS
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.7

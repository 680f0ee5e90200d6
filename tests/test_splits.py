import json
from dataclasses import dataclass, replace

import pytest

from groundglass.errors import ReadError, UsageError
from groundglass.splits import as_json, make_folds, read_split


@dataclass(frozen=True)
class Slice:
    id: str
    group: str
    hash: str
    labelled: bool = True


LABELLED = [Slice(f"a/{k}", f"g{k // 2}" if k < 8 else f"g{k}", f"h{k}") for k in range(20)]
UNLABELLED = [Slice(f"b/{k}", f"g{k}", f"u{k}", False) for k in range(6)]
ITEMS = [*LABELLED, *UNLABELLED]


def test_every_labelled_slice_is_tested_once():
    split = make_folds(ITEMS, 5, seed=1)
    tested = [name for fold in range(5) for name in split.fold(fold, ITEMS).test]
    assert sorted(tested) == sorted(item.id for item in LABELLED)


def test_no_group_is_parted_be_it_by_a_slice_without_label():
    split, group = make_folds(ITEMS, 5, seed=1), {item.id: item.group for item in ITEMS}
    for number in range(5):
        fold = split.fold(number, ITEMS)
        tested = {group[name] for name in fold.test}
        assert not tested & {group[name] for name in (*fold.train, *fold.unlabelled)}
        assert len(fold.train) + len(fold.test) == 20
    assert len({len(split.fold(number, ITEMS).unlabelled) for number in range(5)}) > 1


def test_folds_are_of_nearly_equal_size():
    split = make_folds(ITEMS, 5, seed=1)
    assert {len(split.fold(number, ITEMS).test) for number in range(5)} == {4}


def test_the_seed_decides_and_the_order_of_slices_does_not():
    first = make_folds(ITEMS, 4, seed=1)
    assert make_folds(ITEMS[::-1], 4, seed=1).fold_of_group == first.fold_of_group
    assert make_folds(ITEMS, 4, seed=2).fold_of_group != first.fold_of_group


def test_a_split_survives_its_file(tmp_path):
    split = make_folds(ITEMS, 5, seed=1)
    (tmp_path / "split.json").write_text(as_json(split))
    assert read_split(tmp_path / "split.json") == split


def changed(items):
    return [replace(items[0], hash="other"), *items[1:]]


def removed(items):
    return items[1:]


def added(items):
    return [*items, Slice("a/99", "g0", "h99")]


def regrouped(items):
    return [replace(items[19], group="new") if item is items[19] else item for item in items]


def label_lost(items):
    return [replace(items[0], labelled=False), *items[1:]]


@pytest.mark.parametrize("change", [changed, removed, added, regrouped, label_lost])
def test_a_store_that_changed_since_is_refused(change):
    split = make_folds(ITEMS, 5, seed=1)
    with pytest.raises(ReadError, match="not the one that the split was made for"):
        split.fold(0, change(ITEMS))


def test_more_unlabelled_slices_are_no_change():
    split = make_folds(ITEMS, 5, seed=1)
    assert "b/new" in split.fold(0, [*ITEMS, Slice("b/new", "new", "u", False)]).unlabelled


def test_a_fold_without_labelled_slices_is_refused():
    with pytest.raises(UsageError, match="2 labelled groups for 3 folds"):
        make_folds(LABELLED[:4], 3, seed=0)
    with pytest.raises(UsageError, match="16 labelled groups for 1 folds"):
        make_folds(ITEMS, 1, seed=0)
    with pytest.raises(UsageError, match="no fold 5"):
        make_folds(ITEMS, 5, seed=0).fold(5, ITEMS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format": 2}',
        '{"format": 1, "fold_of_group": 3}',
        '{"format": 1, "seed": 0, "folds": 2, "fold_of_group": {"a": 0, "b": 2}}',
    ],
)
def test_a_damaged_split_is_refused(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(ReadError, match="cannot be read"):
        read_split(tmp_path / "split.json")
    with pytest.raises(ReadError, match="cannot be read"):
        read_split(tmp_path / "absent.json")


def test_the_file_says_what_it_was_made_for():
    values = json.loads(as_json(make_folds(ITEMS, 5, seed=1)))
    assert values["hashes"]["a/0"] == "h0"
    assert (values["seed"], values["folds"]) == (1, 5)

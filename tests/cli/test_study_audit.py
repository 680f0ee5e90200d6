import csv
import json
import weakref

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from groundglass.cli import audit_sources
from groundglass.cli.audit import run_audit
from groundglass.errors import ReadError, UsageError
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import frame, prepare_image, prepare_labels
from groundglass.provenance import Provenance, this_machine
from groundglass.splits import Split, as_json, make_folds
from groundglass.store import Collection, SliceInfo, StoreWriter, open_store
from groundglass.store.index import slice_hash
from tests.toy_store import make_store

PREPARATION = Preparation(size=(32, 32), crop="none")
OUTPUTS = {"audit.json", "findings.csv", "page.html"}


def texture(seed, count=1):
    """HU (count, 80, 72) in the window, of no likeness with another seed's; slices of one are neighbours."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(count, 80, 72)), (4, 2, 2))
    return np.rint(-600 + 600 * np.clip(noise / (3 * noise.std()), -1, 1)).astype(np.int16)


# Single pictures, each with a window of its own: 3 is 2 mirrored, 5 is 4 but for what lies beyond the window.
def singles():
    images = [texture(seed)[0] for seed in range(6)]
    images[3] = np.ascontiguousarray(images[2][:, ::-1])
    images[4][:9] = 200
    images[5] = np.where(images[4] == 200, 900, images[4]).astype(np.int16)
    return images


# case -> images, groups, whether labelled, source, windows
CASES = {
    "single": (singles, "aabcde", True, "picture", [(-1000.0 - k, 200.0) for k in range(6)]),
    "v": (lambda: list(texture(10, 4)), "pppq", True, "picture", [(-1000.0, 200.0)] * 4),
    "w": (lambda: list(texture(11, 2)), "rr", False, "scan", [None] * 2),
}


def infos_of(case):
    make, groups, labelled, source, windows = CASES[case]
    images = make()
    sets = [np.full(image.shape, 3 + k % 2, np.uint8) if labelled else None for k, image in enumerate(images)]
    infos = tuple(
        SliceInfo(
            id=f"{case}/{k}",
            case=case,
            row=k,
            group=groups[k],
            source=source,
            position=k,
            height=image.shape[0],
            width=image.shape[1],
            spacing_mm=None,
            box=frame(image.shape, None, PREPARATION).box,
            sets=() if sets[k] is None else (3 + k % 2,),
            black_hu=windows[k] and windows[k][0],
            white_hu=windows[k] and windows[k][1],
            how="stated" if windows[k] else "hu",
            hash=slice_hash(image, sets[k], b""),
        )
        for k, image in enumerate(images)
    )
    return infos, images, sets


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    with StoreWriter(path, "toy", PREPARATION) as writer:
        for case in CASES:
            infos, images, sets = infos_of(case)
            where = frame(images[0].shape, None, PREPARATION)
            prepared = tuple(prepare_image(image, where, PREPARATION.window_hu) for image in images)
            labels = tuple(None if one is None else prepare_labels(one, where) for one in sets)
            writer.add(Collection(case, case, infos, tuple(images), tuple(sets), prepared, labels))
        writer.finish(Provenance("0", "prepare", {}, "none", None, None, {}, this_machine()))
    return path


@pytest.fixture
def audited(store, tmp_path, capsys):
    """Audit a split of the store: exit code, outputs and what was said."""

    def call(split, fold=None, record=None, quiet=True):
        (tmp_path / "split.json").write_text(split if isinstance(split, str) else json.dumps(split))
        if record is not None:
            (tmp_path / "record.json").write_text(json.dumps(record))
        found = [store, tmp_path / "split.json"]
        return ended(found, tmp_path / "out", capsys, fold, record and tmp_path / "record.json", quiet)

    return call


class Done:
    def __init__(self, code, folder, said):
        self.code, self.out, self.err = code, said.out, said.err
        self.record = json.loads((folder / "audit.json").read_text())
        self.page = (folder / "page.html").read_text()
        with (folder / "findings.csv").open(newline="") as stream:
            self.rows = list(csv.DictReader(stream))
        assert {path.name for path in folder.iterdir()} == OUTPUTS

    @property
    def told(self):
        return [(row["kind"], row["items"]) for row in self.rows]


def ended(paths, output, capsys, fold=None, record=None, quiet=True, **more):
    code = 0
    try:
        run_audit(paths, output, fold, record, quiet, **more)
    except SystemExit as end:
        code = end.code
    return Done(code, output, capsys.readouterr())


def ids(case, *numbers):
    return [f"{case}/{number}" for number in numbers]


def test_a_split_by_slices_that_leaks(audited, tmp_path):
    done = audited({"train": ids("single", 1, 3, 5), "test": ids("single", 0, 2, 4), "seed": 3})
    assert done.code == 1
    assert done.told == [
        ("same-group", "single/1; single/0"),
        ("identical", "single/4; single/5"),
        ("near-duplicate", "single/2; single/3"),
    ]
    assert float(done.rows[2]["score"]) > 0.95
    assert "one mirrored left to right" in done.page
    assert done.page.count("<img") == 4
    assert done.out.splitlines() == [
        "same-item: 0",
        "same-group: 1",
        "same-series: 0",
        "identical: 1",
        "near-duplicate: 1",
        "labels-on-unlabelled: 0",
        "prior-is-truth: not looked for",
        "selected-on-test: not looked for",
        "alike: 0, a hint and no leak",
        f"3 leaks; page: {tmp_path / 'out' / 'page.html'}",
    ]
    assert done.record["parts"] == [
        {"fold": None, "slices": {"train": 3, "test": 3}, "groups": {"train": 3, "test": 3}}
    ]
    assert done.record["notices"] == ["6 of the store's 12 slices are on no side, and were not looked at."]
    assert str(tmp_path) not in done.page + json.dumps(done.record)


def test_a_split_by_slices_that_does_not_leak(audited):
    done = audited({"train": ids("single", 2, 3, 4, 5) + ids("v", 0, 1, 2, 3), "test": ids("single", 0, 1)})
    assert (done.code, done.told) == (0, [])
    assert done.out.splitlines()[-1].startswith("no leak found; page: ")
    assert "No leak found." in done.page


def test_unlabelled_slices_are_a_side(audited):
    split = {"train": ids("single", 0, 1), "test": ids("single", 2, 3), "unlabelled": ids("w", 0, 1) + ids("single", 4)}
    done = audited(split)
    assert done.told == [("labels-on-unlabelled", "single/4")]
    assert audited({**split, "unlabelled": ids("w", 0, 1)}).code == 0
    assert audited({"test": ids("w", 0), "unlabelled": ids("w", 1)}).rows[0]["text"].startswith("Group r")


def test_a_volume_is_a_series_and_single_pictures_are_none(audited):
    # 0 and 3 of the volume have two groups; 1 is left out, and with it the last neighbour
    done = audited({"train": ids("single", 2, 3) + ids("v", 0), "test": ids("single", 0, 1) + ids("v", 3)})
    assert ("same-series", "v/0; v/3") in done.told
    assert {row["kind"] for row in done.rows} <= {"same-series", "near-duplicate"}


def test_neighbours_in_two_volumes_are_one_pair_with_a_count(audited):
    done = audited({"train": ids("v", 0, 2), "test": ids("v", 1)})
    assert [kind for kind, _ in done.told] == ["same-group", "near-duplicate", "near-duplicate"]
    assert done.page.count("<img") == 2
    assert "1 more of the same two" in done.page


def folds(**moved):
    fold_of_group = {"a": 0, "b": 1, "c": 1, "d": 0, "e": 0, "p": 1, "q": 1, **moved}
    return as_json(Split(0, 2, fold_of_group, None))


def test_every_fold_is_audited(audited):
    done = audited(folds())
    assert (done.code, done.told) == (0, [])
    assert [part["fold"] for part in done.record["parts"]] == [0, 1]
    assert done.record["parts"][0]["slices"] == {"train": 6, "test": 4, "unlabelled": 2}


def test_a_pair_of_two_folds_is_told_once(audited):
    done = audited(folds(e=1))
    assert (done.code, done.told) == (1, [("identical", "single/4; single/5")])
    assert done.rows[0]["folds"] == "0 1"
    assert done.out.splitlines()[-1].startswith("1 leak;")


def test_one_fold_is_audited_if_it_is_asked_for(audited):
    done = audited(folds(e=1), fold=1)
    assert [part["fold"] for part in done.record["parts"]] == [1]
    assert (done.rows[0]["kind"], done.rows[0]["folds"]) == ("identical", "1")


def test_a_split_that_knows_what_it_was_made_for(audited, store):
    split = make_folds(open_store(store).slices, 2, 0)
    assert audited(as_json(split)).record["kinds"]["same-group"] == 0
    changed = Split(0, 2, split.fold_of_group, {**split.hashes, "single/0": "0"})
    with pytest.raises(ReadError, match="not the one that the split was made for"):
        audited(as_json(changed))


def test_what_a_model_was_chosen_by(audited):
    split = {"train": ids("single", 2, 3, 4, 5), "test": ids("single", 0, 1)}
    done = audited(split, record={"selected_on": ["single/1", "single/2", "elsewhere/9"]})
    assert (done.code, done.told) == (1, [("selected-on-test", "single/1")])
    assert "1 of the 3 slices that the model was chosen by are not in the store." in done.record["notices"]
    assert audited(split, record={"selected_on": ["single/2"]}).record["kinds"]["selected-on-test"] == 0
    silent = audited(split, record={"model": "x"}, quiet=False)
    assert silent.record["kinds"]["selected-on-test"] is None
    assert "note: The record does not say which slices the model was chosen by." in silent.err
    assert "looking at slices: " in silent.err
    assert audited(folds(), fold=0, record={"selected_on": ["single/0"]}).told == [("selected-on-test", "single/0")]
    with pytest.raises(UsageError, match="for 2 folds"):
        audited(folds(), record={"selected_on": []})
    with pytest.raises(UsageError, match="list of ids"):
        audited(split, record={"selected_on": "single/1"})


def test_no_patient_is_known_where_no_two_slices_share_a_group(audited):
    done = audited({"train": ids("single", 2, 3, 4, 5), "test": ids("single", 0)})
    assert done.record["notices"][-1].startswith("No two slices share a group")


@pytest.mark.parametrize(
    ("split", "fold", "error", "says"),
    [
        ("{", None, ReadError, "split cannot be read"),
        ("[" * 100_000, None, ReadError, "split cannot be read"),
        ('["single/0"]', None, ReadError, "split cannot be read"),
        ({"train": ["single/0"]}, None, ReadError, "or folds of groundglass"),
        ({"train": ["single/0"], "test": []}, None, ReadError, "or folds of groundglass"),
        ({"train": [], "test": ["single/0"]}, None, ReadError, "or folds of groundglass"),
        ({"train": ["single/0"], "test": [1]}, None, ReadError, "or folds of groundglass"),
        ({"train": ["single/0"], "test": ["single/1"], "validation": ["single/2"]}, None, ReadError, "validation"),
        ({"train": ["single/0"], "test": ["single/9"]}, None, UsageError, "no slice single/9"),
        ({"train": ["single/0"], "test": ["single/1"]}, 0, UsageError, "A fold of a split by slices"),
        (folds(), 2, UsageError, "no fold 2"),
        (folds(z=1), None, ReadError, "group z"),
    ],
)
def test_splits_that_cannot_be(audited, tmp_path, split, fold, error, says):
    with pytest.raises(error, match=says):
        audited(split, fold=fold)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def save(tmp_path):
    """Save a picture in a folder, HU as 8-bit grey."""

    def call(name, hu):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8((hu + 1350) / 1500 * 255)).save(path)

    return call


def test_folders_of_pictures(save, tmp_path, capsys):
    for number, seed in enumerate((0, 1, 2, 3)):
        save(f"train/{number}.png", texture(seed)[0])
    save("train/.hidden.png", texture(9)[0])
    save("train/Smith.png", texture(4)[0])
    save("test/0.png", texture(5)[0])  # a name that only counts is no patient's
    save("test/slice_10.png", texture(2)[0][4:-4].T)
    save("test/Smith.jpg", texture(6)[0])
    save("test/slice_9.png", texture(1)[0])
    (tmp_path / "test" / "readme.txt").write_text("no picture")
    folders = [tmp_path / "train", tmp_path / "test"]
    done = ended(folders, tmp_path / "out", capsys, quiet=False)
    assert done.code == 1
    assert done.told == [
        ("same-group", "folder 1, picture 5; folder 2, picture 2"),
        ("identical", "folder 2, picture 3; folder 1, picture 2"),
        ("near-duplicate", "folder 2, picture 4; folder 1, picture 3"),
    ]
    assert done.rows[0]["text"] == "Group folder 1, picture 5 is on several sides: 1 in train, 1 in test."
    assert done.record["kinds"]["same-item"] is done.record["kinds"]["labels-on-unlabelled"] is None
    assert any("Left out of folder 2" in notice for notice in done.record["notices"])
    assert "(readme.txt)" in done.err  # for who sits at the terminal
    for secret in ("Smith", "readme", "slice_9", str(tmp_path), "train/"):
        assert secret not in done.page + json.dumps(done.record) + str(done.rows)
    assert "Smith" not in done.out + done.err
    named = ended(folders, tmp_path / "named", capsys, names=True)
    assert named.told[0] == ("same-group", "folder 1, Smith.png; folder 2, Smith.jpg")


def test_folders_of_scans(save, tmp_path, capsys):
    for name, hu in (("train/p1", texture(10, 3)), ("test/p2", texture(11, 4)), ("bare/p2", texture(12, 2))):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir()
        nibabel.save(nibabel.Nifti1Image(hu.T, np.diag([-1.0, -1, 1, 1])), path)
    for number, plane in enumerate(texture(10, 3)[1:]):
        save(f"test/pictures/{number}.png", plane)
    done = ended([tmp_path / name for name in ("train", "test", "bare")], tmp_path / "out", capsys)
    assert done.told[0][0] == "same-group"
    assert done.rows[0]["text"] == "Group folder 2, scan 1 is on several sides: 4 in test, 2 in unlabelled."
    near = [items for kind, items in done.told if kind == "near-duplicate"]
    assert {
        "folder 2, scan 2, slice 1; folder 1, scan 1, slice 2",
        "folder 2, scan 2, slice 2; folder 1, scan 1, slice 3",
    } <= set(near)
    assert all("folder 2, scan 2" in items and "folder 1, scan 1" in items for items in near)
    assert done.record["parts"][0]["slices"] == {"train": 3, "test": 6, "unlabelled": 2}
    assert done.page.count("<img") == 2  # one pair of volumes


def test_paths_that_cannot_be(store, save, tmp_path):
    save("a/1.png", texture(0)[0])
    save("b/1.png", texture(1)[0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "colour").mkdir()
    Image.fromarray(np.uint8(np.arange(192).reshape(8, 8, 3))).resize((8, 8)).save(tmp_path / "colour" / "x.png")
    a, b = tmp_path / "a", tmp_path / "b"

    def refused(error, says, *paths, fold=None, record=None):
        with pytest.raises(error, match=says) as told:
            run_audit(paths, tmp_path / "out", fold, record, True)
        assert str(tmp_path) not in str(told.value)
        assert not (tmp_path / "out").exists()

    refused(UsageError, "nothing at absent", a, tmp_path / "absent")
    refused(UsageError, "1 paths", a)
    refused(UsageError, "4 paths", a, b, a, b)
    refused(UsageError, "no store in the folder", a, b / "1.png")
    refused(UsageError, "A store among folders", store, b)
    refused(UsageError, "Folder 2 holds no picture", a, tmp_path / "empty")
    refused(UsageError, "of folders", a, b, fold=0)
    (tmp_path / "record.json").write_text("{}")
    refused(UsageError, "of folders", a, b, record=tmp_path / "record.json")
    refused(ReadError, "record cannot be read", a, b, record=tmp_path / "absent.json")


def test_an_entry_that_cannot_be_read_is_named(save, tmp_path):
    save("a/1.png", texture(0)[0])
    save("b/1.png", texture(1)[0])
    (tmp_path / "b" / "2.png").write_bytes((tmp_path / "b" / "1.png").read_bytes()[:99])
    with pytest.raises(ReadError, match=r"^2\.png: "):
        run_audit([tmp_path / "a", tmp_path / "b"], tmp_path / "out", None, None, True)
    assert not (tmp_path / "out").exists()


def test_progress_goes_from_nothing_to_all(store, save, tmp_path):
    save("a/1.png", texture(0)[0])
    save("b/1.png", texture(1)[0])
    split = tmp_path / "split.json"
    split.write_text(folds())
    for paths, steps in (((store, split), 12), ((tmp_path / "a", tmp_path / "b"), 2)):
        told = []
        source = audit_sources.find_source(paths, None, None, False)
        assert list(next(iter(source.parts.values()))(told.append))
        assert told == pytest.approx([step / steps for step in range(1, steps + 1)])


def test_no_picture_is_kept_but_its_small_copy(audited, monkeypatch):
    pictures, alive, in_window = [], [], audit_sources._in_window

    def watched(*args):
        alive.append(sum(picture() is not None for picture in pictures))
        made = in_window(*args)
        pictures.append(weakref.ref(made))
        return made

    monkeypatch.setattr(audit_sources, "_in_window", watched)
    assert audited(folds(), fold=0).code == 0
    assert len(alive) == 12
    assert max(alive) <= 1


@pytest.fixture(scope="module")
def real_store(data, tmp_path_factory):
    """The fifty labelled slices of COVID-SemiSeg, prepared."""
    from groundglass.datasets import covid_semiseg
    from groundglass.datasets._case import Cases
    from groundglass.datasets._preparing import prepare_into

    cases = covid_semiseg.read(data / "covid_semiseg")
    path = tmp_path_factory.mktemp("real") / "store"
    labelled = Cases(cases.loaders[:1], cases.public, cases.intensity)
    prepare_into(path, "covid_semiseg", labelled, Preparation(intensity="calibrated"), key=b"")
    return path


@pytest.mark.real
@pytest.mark.parametrize("seed", [0, 1])
def test_the_fifty_slices_split_by_slice(data, real_store, tmp_path, capsys, seed):
    with (data / "covid_semiseg" / "groups.csv").open(newline="") as stream:
        group_of = {f"labelled/{row['slice']}": row["group"] for row in csv.DictReader(stream)}
    names = [info.id for info in open_store(real_store).slices]
    others = np.random.default_rng(seed).permutation(
        [name for name in names if name not in ("labelled/10", "labelled/43")]
    )
    test = {"labelled/10", *others[:15]}
    (tmp_path / "split.json").write_text(json.dumps({"train": sorted({*names} - test), "test": sorted(test)}))
    done = ended([real_store, tmp_path / "split.json"], tmp_path / "out", capsys)
    assert done.code == 1
    across = {
        group for group in group_of.values() if len({name in test for name in names if group_of[name] == group}) > 1
    }
    shared = [row["items"].split("; ") for row in done.rows if row["kind"] == "same-group"]
    assert {group_of[one] for items in shared for one in items} == across
    assert all({*items} == {name for name in names if group_of[name] == group_of[items[0]]} for items in shared)
    pictured = [row["items"] for row in done.rows if row["kind"] in ("identical", "near-duplicate", "alike")]
    assert pictured[0] == "labelled/10; labelled/43"
    assert all(group_of[one] == group_of[other] for one, other in (items.split("; ") for items in pictured))


@pytest.mark.real
def test_the_fifty_slices_split_by_group(real_store, tmp_path, capsys):
    (tmp_path / "split.json").write_text(as_json(make_folds(open_store(real_store).slices, 5, 0)))
    done = ended([real_store, tmp_path / "split.json"], tmp_path / "out", capsys)
    assert (done.code, done.told) == (0, [])
    assert len(done.record["parts"]) == 5


def test_the_command_says_what_leaks(tmp_path, run):
    store = make_store(tmp_path / "store")
    ids = [f"toy/{number}" for number in range(10)]
    (tmp_path / "split.json").write_text(json.dumps({"train": ids[:5], "test": ids[5:]}))
    ended = run("study", "audit", store, tmp_path / "split.json", "-o", tmp_path / "out", "-q")
    assert ended.code == 1  # toy/0 and toy/5 are of one group, and so on
    assert "same-group: 5" in ended.out

"""Stages that make the labels which they train on."""

import csv
import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image

from groundglass import handover, pseudo_labels, runs
from groundglass.build import load_model
from groundglass.cli.spent import written_down
from groundglass.engine import checkpoint
from groundglass.engine.fit import Report
from groundglass.evaluation.consistency import Consistency
from groundglass.evaluation.costs import read_sittings
from groundglass.inference.kmeans import SETS
from groundglass.methods.supervised import Supervised
from groundglass.pseudo_labels import Labelling
from groundglass.recipe import load
from groundglass.store import open_store
from tests.cli.conftest import FILES
from tests.thorax import draw, ellipsoid
from tests.toy_store import make_store, make_thorax_store

HEAD = """
[data]
store = "absent"
[network]
name = "unet"
settings = { widths = [4, 8] }
"""
STAGE = """
[[stage]]
method = "supervised"
[stage.training]
steps = 3
batch = 4
rate = 1e-2
augmentation = "weak"
precision = "float32"
checkpoint_every = 1
"""
ROUNDS = STAGE.replace("[stage.training]", "rounds = 3\n[stage.labels]\ncount = 2\nconfidence = 0.4\n[stage.training]")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "toy")


@pytest.fixture(scope="module")
def thorax(tmp_path_factory):
    haze = ellipsoid((0, 35, -60), (24, 20, 24))
    scan = draw(haze=(haze, -600), noise_hu=20)
    return make_thorax_store(tmp_path_factory.mktemp("store") / "thorax", scan, range(14, 34, 2))


def recipe(folder, text):
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def levels(folder):
    with (folder / "levels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def weights(folder):
    return checkpoint.read(folder / "model.safetensors")[0]


def test_rounds_label_more_and_more_slices_and_train_on_all_of_them(run, store, tmp_path):
    ended = run("train", recipe(tmp_path, HEAD + STAGE + ROUNDS), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 0, ended.err
    rows = levels(tmp_path / "run")
    assert [(row["stage"], row["round"], row["slices"], row["kept"]) for row in rows] == [
        ("2", "1", "2", "1"),
        ("2", "2", "4", "1"),
        ("2", "3", "6", "1"),
    ]
    told = [line for line in ended.err.splitlines() if line.endswith("slices labelled")]
    assert told == [f"supervised, round {turn} of 3: 2 of 2 slices labelled" for turn in (1, 2, 3)]
    labelled = []
    for turn in (1, 2, 3):
        folder = tmp_path / "run" / f"stage-2-round-{turn}" / "labels"
        numbers = [int(path.stem) for path in folder.glob("*.png")]
        assert len(numbers) == 2
        labelled += numbers
        record = json.loads((folder / "made_by.json").read_text())
        assert record["round"] == turn
        assert str(tmp_path) not in json.dumps(record)
    assert sorted(labelled) == list(range(10, 16))  # never what people labelled


def test_a_run_that_was_stopped_anywhere_ends_in_the_same_files(run, store, tmp_path, monkeypatch):
    words = "train", recipe(tmp_path, HEAD + STAGE + ROUNDS), "--store", store, "-o"
    assert run(*words, tmp_path / "whole").code == 0
    moments = [("make", 1), ("fit", 2), ("make", 3), ("fit", 3)]  # the first round's state is gone by the last
    for name, place in moments:
        owner = pseudo_labels if name == "make" else runs
        plain, calls = getattr(owner, name), []

        def interrupted(*given, plain=plain, calls=calls, place=place, name=name, **more):
            calls.append(1)
            if len(calls) < place:
                return plain(*given, **more)
            if name == "fit":
                more["on_step"] = stop
            else:
                given = (*given[:2], broken(given[2]), *given[3:])
            return plain(*given, **more)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, interrupted)
            assert run(*words, tmp_path / "cut").code == 130
    assert run(*words, tmp_path / "cut").code == 0
    whole = {path.relative_to(tmp_path / "whole"): path for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    cut = {path.relative_to(tmp_path / "cut") for path in (tmp_path / "cut").rglob("*") if path.is_file()}
    assert set(whole) == cut
    for name, path in whole.items():
        again = tmp_path / "cut" / name
        if path.suffix == ".safetensors":  # whose header has its two entries in either order
            (tensors, record), (others, other) = checkpoint.read(path), checkpoint.read(again)
            assert record == other, name
            assert all(torch.equal(value, others[key]) for key, value in tensors.items()), name
        else:
            assert path.read_bytes() == again.read_bytes(), name


def test_slices_that_a_stage_labels_are_told_and_count_as_no_steps(tmp_path):
    told = []
    watch = written_down(lambda *_: nullcontext(told.append), tmp_path / "spent.csv", lambda _: ("run", "training"))
    with watch("supervised", 3, tmp_path) as tell:
        tell(Labelling(1, 2))
    assert not (tmp_path / "spent.csv").exists()
    report = Report(1, 3, {}, 1e-3, 1.0, 0.0)
    with watch("supervised", 3, tmp_path) as tell:
        tell(Labelling(2, 2))
        tell(report)
    assert told == [Labelling(1, 2), Labelling(2, 2), report]
    assert [sitting.done for sitting in read_sittings(tmp_path / "spent.csv")] == [1]


def stop(report):
    if report.step == 2:
        raise KeyboardInterrupt


def broken(labeller):
    def label(numbers):
        yield next(iter(labeller(numbers)))
        raise KeyboardInterrupt

    return label


def test_a_label_map_that_was_changed_between_rounds_is_not_trained_on(run, store, tmp_path, monkeypatch):
    words = "train", recipe(tmp_path, HEAD + STAGE + ROUNDS), "--store", store, "-o", tmp_path / "run"
    plain, calls = runs.fit, []

    def at_once(report):
        raise KeyboardInterrupt

    def interrupted(*given, **more):
        calls.append(1)
        return plain(*given, **(more | {"on_step": at_once} if len(calls) == 4 else more))

    with monkeypatch.context() as patched:
        patched.setattr(runs, "fit", interrupted)
        assert run(*words).code == 130
    for file in (tmp_path / "run").glob("stage-2-round-[12]/labels/*.png"):
        file.write_bytes(file.read_bytes()[:-20])
    ended = run(*words)
    assert ended.code == 1
    assert "damaged, missing, or was changed" in ended.error


def test_the_last_round_alone_keeps_its_state_and_the_run_is_known_to_be_done(run, store, tmp_path, monkeypatch):
    words = "train", recipe(tmp_path, HEAD + STAGE + ROUNDS), "--store", store, "-o", tmp_path / "run"
    assert run(*words).code == 0
    states = {path.parent.name for path in (tmp_path / "run").rglob("state.safetensors")}
    assert states == {"stage-1", "stage-2-round-3"}
    before = weights(tmp_path / "run")
    begun = []
    plain = runs.fit
    monkeypatch.setattr(runs, "fit", lambda *given, **more: begun.append(given[3].name) or plain(*given, **more))
    assert run(*words).code == 0
    assert begun == ["stage-1", "stage-2-round-3"]
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path / "run").items())
    (tmp_path / "run" / "stage-2-round-3" / "state.safetensors").unlink()
    for _ in range(2):  # with and without what it came to
        ended = run(*words)
        assert ended.code == 1
        assert "stage-2-round-3 is damaged or missing" in ended.error
        (tmp_path / "run" / "stage-2-round-3" / "finished.json").unlink(missing_ok=True)
    (tmp_path / "run" / "stage-2-round-2" / "finished.json").write_text("{}")
    assert "stage-2-round-2 is damaged or missing" in run(*words).error


def test_held_out_slices_are_never_labelled_and_score_each_level(run, store, tmp_path):
    few = HEAD.replace('"absent"', '"absent"\nlabels = 4')
    ended = run(
        "train", recipe(tmp_path, few + STAGE + ROUNDS), "-o", tmp_path / "run", "--store", store, "--fold", "1"
    )
    assert ended.code == 0, ended.err
    opened = open_store(store)
    table = load(tmp_path / "recipe.toml").model_dump()
    table["data"] |= {"fold": 1, "folds": 5}
    dealt = runs.roles(runs.Recipe.parse(table), opened)
    guessed = {int(path.stem) for path in (tmp_path / "run").rglob("*.png")}
    assert guessed <= set(dealt.unlabelled)
    assert not guessed & {*dealt.test, *dealt.train}
    assert all(0 <= float(row["dice_infection"]) <= 1 for row in levels(tmp_path / "run"))


WEAK = STAGE.replace(
    "[stage.training]", '[stage.labels]\nby = "kmeans"\ninstead = true\njudge = true\n[stage.training]'
)
SECOND = STAGE.replace(
    "[stage.training]",
    "[stage.labels]\nagain = true\ninstead = true\njudge = true\nconfidence = 0.5\n"
    '[stage.training]\nfrozen = ["down.0"]',
)


def test_without_any_label_clusters_teach_the_first_level_and_it_the_second(run, thorax, dicom, tmp_path):
    ended = run("train", recipe(tmp_path, HEAD + WEAK + SECOND), "-o", tmp_path / "run", "--store", thorax)
    assert ended.code == 0, ended.err
    first, second = levels(tmp_path / "run")
    assert first["kept"] == "1"
    assert first["dice_infection"] == ""  # nobody labelled anything
    assert 0 <= float(second["agreement"]) <= 1
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.method.outputs == (1, 2, 4, 8)
    maps = [np.array(Image.open(path)) for path in (tmp_path / "run" / "stage-1" / "labels").glob("*.png")]
    assert {1, 2, 4} <= set(np.unique(maps)) <= {*SETS, 15}  # 15 in the padding
    assert run("segment", dicom, "-o", tmp_path / "out", "--model", tmp_path / "run" / "model.safetensors").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


@pytest.mark.parametrize(("later", "kept"), [(Consistency(0.4, 0.9), False), (Consistency(0.6, 0.9), True)])
def test_a_level_that_agrees_less_does_not_count(run, store, tmp_path, monkeypatch, later, kept):
    judged = ROUNDS.replace("count = 2", "count = 2\njudge = true").replace("rounds = 3", "rounds = 4")
    told = iter([Consistency(0.5, 0.8), later, Consistency(1, 1), Consistency(1, 1)])
    monkeypatch.setattr(runs.levels, "measure", lambda *_: next(told))
    ended = run("train", recipe(tmp_path, HEAD + STAGE + judged), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 0, ended.err
    rows = levels(tmp_path / "run")
    assert [row["kept"] for row in rows] == (["1", "1", "1"] if kept else ["1", "0"])
    last = "stage-2-round-3" if kept else "stage-2-round-1"
    state, _ = checkpoint.read(tmp_path / "run" / last / "state.safetensors")
    for name, value in weights(tmp_path / "run").items():
        assert torch.equal(value, state[f"method/{name}"])
    monkeypatch.setattr(runs.levels, "measure", None)  # what is known is not measured again
    assert run("train", tmp_path / "recipe.toml", "-o", tmp_path / "run", "--store", store).code == 0
    assert levels(tmp_path / "run") == rows


def test_what_is_frozen_stays_with_its_statistics_and_the_rest_moves(run, store, tmp_path):
    frozen = STAGE.replace("[stage.training]", '[stage.training]\nfrozen = ["down.0"]')
    words = "--store", store, "-o"
    assert run("train", recipe(tmp_path, HEAD + STAGE), *words, tmp_path / "one").code == 0
    assert run("train", recipe(tmp_path, HEAD + STAGE + frozen), *words, tmp_path / "two").code == 0
    before, after = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in before.items():
        assert torch.equal(value, after[name]) is name.startswith("network.down.0"), name
    wrong = STAGE.replace("[stage.training]", '[stage.training]\nfrozen = ["stem"]')
    ended = run("train", recipe(tmp_path, HEAD + wrong), *words, tmp_path / "three")
    assert ended.code == 2
    assert "UNet has no part 'stem'" in ended.error


def test_pictures_are_standardised_by_the_training_slices_and_the_model_knows(run, store, dicom, tmp_path):
    text = "above = 0.5\ntiles = true\n" + HEAD.replace('name = "unet"', 'name = "unet"\nstandardise = true')
    assert run("train", recipe(tmp_path, text + STAGE), "--store", store, "-o", tmp_path / "run").code == 0
    opened = open_store(store)
    pixels = np.stack([opened.prepared(number) for number in opened.labelled]).astype(np.float64)
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.method.network.standard == pytest.approx((pixels.mean(), pixels.std()), rel=1e-6)
    assert model.above == 0.5
    assert model.tiles
    seen = model.method.network.check(torch.from_numpy(pixels.astype(np.float32))[:, None])
    assert float(seen.mean()) == pytest.approx(0, abs=1e-4)
    assert float(seen.std()) == pytest.approx(1, abs=1e-3)
    words = "-o", tmp_path / "out", "--model", tmp_path / "run" / "model.safetensors"
    assert run("segment", dicom, *words).code == 0


def test_soft_labels_are_learnt_from_beside_peoples_sets(run, store, tmp_path, monkeypatch):
    soft = ROUNDS.replace("count = 2", "count = 2\nsoft = true").replace("rounds = 3", "rounds = 2")
    seen, updates = [], Supervised.updates

    def watched(self, labelled, *more):
        seen.append(labelled)
        return updates(self, labelled, *more)

    monkeypatch.setattr(Supervised, "updates", watched)
    ended = run("train", recipe(tmp_path, HEAD + STAGE + soft), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 0, ended.err
    assert all(batch.soft is None for batch in seen[:3])
    known = [(batch.label_set != 15).flatten(1).any(1) for batch in seen[3:]]
    guessed = [batch.soft.flatten(1).any(1) for batch in seen[3:]]
    assert all(torch.equal(a, ~b) for a, b in zip(known, guessed, strict=True))
    assert 0 < sum(int(part.sum()) for part in guessed) < 4 * 6
    folder = tmp_path / "run" / "stage-2-round-1" / "labels"
    with Image.open(next(folder.glob("*.png"))) as picture:
        assert picture.size == (32, 3 * 32)  # three groups, one plane below the other
    assert json.loads((folder / "made_by.json").read_text())["groups"] == [3, 4, 8]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + STAGE + ROUNDS.replace("count = 2", 'soft = true\nby = "kmeans"'), "have no probabilities"),
        (HEAD + STAGE + ROUNDS.replace("count = 2", "soft = true").replace("supervised", "inf_net"), "are soft"),
        (HEAD + ROUNDS, "that has learnt nothing yet"),
        (HEAD + STAGE.replace('"supervised"', '"supervised"\nrounds = 2'), "2 rounds and makes no labels"),
        (HEAD.replace('"absent"', '"absent"\nunlabelled = false') + STAGE + ROUNDS, "uses no unlabelled ones"),
        (HEAD + STAGE + ROUNDS.replace("confidence", "confidense"), "confidence, perhaps"),
        (HEAD + STAGE + ROUNDS.replace("count = 2", "offsets = [99]"), "finds no slice that it could label"),
    ],
)
def test_labels_that_cannot_be(run, store, tmp_path, text, told):
    ended = run("train", recipe(tmp_path, text), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 2
    assert told in ended.error


def test_a_store_without_labels_needs_stages_that_make_all_of_them(run, thorax, tmp_path):
    ended = run(
        "train", recipe(tmp_path, HEAD + WEAK.replace("instead = true\n", "")), "-o", tmp_path, "--store", thorax
    )
    assert ended.code == 2
    assert "no labelled slice" in ended.error


def test_rounds_start_from_a_checkpoint_once(run, store, tmp_path, monkeypatch):
    words = "--store", store, "-o"
    assert run("train", recipe(tmp_path, HEAD + STAGE), *words, tmp_path / "first").code == 0
    loaded, plain = [], handover.load

    def counted(*given):
        loaded.append(given)
        plain(*given)

    monkeypatch.setattr(handover, "load", counted)
    start = f'start_from = "{tmp_path}/first/model.safetensors"\nrounds = 2'
    text = HEAD + ROUNDS.replace("rounds = 3", start)
    assert run("train", recipe(tmp_path, text), *words, tmp_path / "second").code == 0
    assert len(loaded) == 2  # looked at before anything else, and at the first of two rounds
    assert len(levels(tmp_path / "second")) == 2

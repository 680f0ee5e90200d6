import csv
from functools import partial

import pytest
from PIL import Image

from groundglass.cli import demo, demo_trainings
from groundglass.cli.phases import Phases
from groundglass.datasets import _phantoms
from groundglass.errors import UsageError
from groundglass.preprocess.preparation import Preparation
from groundglass.runs import roles
from tests.cli.conftest import FILES

RECIPE = """
[data]
store = "store"
labels = 4
folds = 2
fold = 0
[network]
name = "unet"
settings = { widths = [8, 16] }
[[stage]]
method = "mean_teacher"
settings = { ema = 0.9 }
[stage.training]
steps = 2
batch = 2
unlabelled_batch = 2
augmentation = "weak"
"""


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A demo of few small phantoms and two steps."""
    (tmp_path / "demo.toml").write_text(RECIPE)
    monkeypatch.setattr(demo, "SHAPE", (24, 96, 96))
    monkeypatch.setattr(demo_trainings, "RECIPE", tmp_path / "demo.toml")
    monkeypatch.setattr(demo_trainings, "jobs", lambda: 1)  # another process would not see these settings
    monkeypatch.setattr(demo_trainings, "PATIENTS", 4)
    monkeypatch.setattr(demo_trainings, "PREPARATION", Preparation(size=(16, 24)))
    monkeypatch.setattr(demo_trainings, "draw", partial(_phantoms.draw, shape=(8, 40, 40)))


def test_the_demo_ends_with_the_path_of_a_page_that_tells_what_came_of_it(small, run, tmp_path):
    out = tmp_path / "out"
    ended = run("demo", "-o", out)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-2:] == [demo.PHANTOMS, f"The page: {out / 'page.html'}"]
    assert {path.name for path in out.iterdir()} == FILES | {
        *("overview.png", "phantom-dicom", "store", "runs", "scores.csv")
    }
    assert len(list((out / "phantom-dicom").glob("*.dcm"))) == 24
    with Image.open(out / "overview.png") as picture:
        assert picture.width > 1000
    page = (out / "page.html").read_text()
    for words in ("Against the truth", "Where it went wrong most", "Did the unlabelled slices help?", demo.PHANTOMS):
        assert words in page
    assert "4 labelled slices of phantoms of seed 0" in page  # the model that segmented: supervised
    with (out / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    trainings = {(row["method"], row["seed"]) for row in rows}
    assert trainings == {(method, seed) for method in ("supervised", "mean_teacher") for seed in "012"}


def test_a_demo_that_was_interrupted_goes_on_where_it_was(small, run, tmp_path, monkeypatch):
    out, score, scored = tmp_path / "out", demo_trainings.runs.score, []

    def interrupted(*words):
        scored.append(words)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score(*words)

    monkeypatch.setattr(demo_trainings.runs, "score", interrupted)
    assert run("demo", "-o", out, "-q").code == 130
    assert not (out / "page.html").exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("state.safetensors")}
    assert len(before) == 3
    monkeypatch.setattr(demo_trainings, "draw", None)  # the store is there
    assert run("demo", "-o", out, "-q").code == 0
    assert (out / "page.html").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_both_methods_learn_from_the_same_labels_and_the_baseline_from_nothing_else(small, tmp_path):
    with Phases(quiet=True) as phases:
        store = demo_trainings.prepare(tmp_path / "store", 0, phases)
        with pytest.raises(UsageError, match="a store of another data set"):  # phantoms of two seeds do not mix
            demo_trainings.prepare(tmp_path / "store", 1, phases)
    baseline, other = (
        roles(demo_trainings.recipe_of(method, 1), store) for method in (demo_trainings.BASELINE, demo_trainings.OTHER)
    )
    assert baseline.train == other.train
    assert len(baseline.train) == 4
    assert not baseline.unlabelled
    patients = {number: info.group for number, info in enumerate(store.slices)}
    seen = {patients[number] for number in (*other.train, *other.unlabelled)}
    assert seen.isdisjoint(patients[number] for number in other.test)


@pytest.mark.parametrize("seed", ["-1", "x"])
def test_an_impossible_seed(run, tmp_path, seed):
    assert run("demo", "-o", tmp_path / "out", "--seed", seed).code == 2

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from groundglass.engine import checkpoint
from tests.toy_store import make_store

RECIPE = """
[data]
store = "absent"
[network]
name = "unet"
settings = { widths = [4, 8] }
[[stage]]
method = "inpainting"
settings = { first = 1, turn = 1, epochs = 1 }
[stage.training]
steps = 2
batch = 2
unlabelled_batch = 2
augmentation = "weak"
precision = "float32"
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "toy")


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    from groundglass import runs
    from groundglass.recipe import load
    from groundglass.store import open_store

    folder = tmp_path_factory.mktemp("run")
    (folder / "recipe.toml").write_text(RECIPE)
    runs.train(load(folder / "recipe.toml"), open_store(store), folder / "run")
    return folder / "run"


def test_it_draws_and_counts_what_is_erased_beside_what_other_steps_left(run, trained, store, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "inpainting-000001.png").write_bytes(b"earlier")
    ended = run("explain", "inpainting", trained, store, "-o", tmp_path / "out", "--slices", "3")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "inpainting-000001.png", "inpainting-000002.png", "inpainting-000002.csv",
    }  # fmt: skip
    with (tmp_path / "out" / "inpainting-000002.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["slice"] for row in rows] == ["toy/0", "toy/8", "toy/15"]
    assert all(0 < float(row["erased"]) < 0.75 for row in rows)
    assert ended.out.startswith("step 2: ")
    assert np.asarray(Image.open(tmp_path / "out" / "inpainting-000002.png")).any()


def test_a_run_that_does_not_inpaint_and_a_damaged_or_strange_state(run, trained, store, tmp_path):
    ended = run("explain", "inpainting", tmp_path, store, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "no state of a stage that inpaints" in ended.error
    cut = tmp_path / "cut"
    shutil.copytree(trained, cut)
    state = cut / "stage-1" / "state.safetensors"
    tensors, record = checkpoint.read(state)
    checkpoint.write(state, {k: v for k, v in tensors.items() if "coach" not in k}, record)
    assert "does not fit this version" in run("explain", "inpainting", cut, store, "-o", tmp_path / "out").error
    state.write_bytes(state.read_bytes()[:1000])
    assert "damaged" in run("explain", "inpainting", cut, store, "-o", tmp_path / "out").error
    assert not (tmp_path / "out").exists()


def test_a_model_that_inpaints_segments_nothing(run, trained, dicom, tmp_path):
    ended = run("segment", dicom, "-o", tmp_path / "out", "--model", trained / "model.safetensors")
    assert ended.code == 1
    assert "never taught to tell ground-glass opacity" in ended.error

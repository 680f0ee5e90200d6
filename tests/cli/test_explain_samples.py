import csv
import io

import numpy as np
import pytest
from PIL import Image

from groundglass.report.sheets import GAP, LINE, SIDE
from tests.toy_store import make_store

RECIPE = """
[data]
store = "absent"
[network]
name = "svae"
settings = { widths = [4, 8] }
[[stage]]
method = "svae"
[stage.training]
steps = 2
batch = 2
unlabelled_batch = 2
augmentation = "weak"
precision = "float32"
"""
STITCH = """
[[stage]]
method = "stitchnet"
[stage.training]
steps = 3
batch = 2
unlabelled_batch = 2
augmentation = "weak"
precision = "float32"
"""


LADDERS = RECIPE.replace("svae", "stichnet2020").replace("[4, 8]", "[4, 4], blocks = 4")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "toy")


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A pre-training of the autoencoder, then StitchNet; and the autoencoder by itself."""
    from groundglass import runs
    from groundglass.recipe import load
    from groundglass.store import open_store

    folder = tmp_path_factory.mktemp("run")
    for name, text in (("svae", RECIPE), ("stitchnet", RECIPE + STITCH), ("stichnet2020", LADDERS)):
        (folder / f"{name}.toml").write_text(text)
        runs.train(load(folder / f"{name}.toml"), open_store(store), folder / name)
    return folder


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_draws_slices_styles_and_samples_and_measures_collapse_by_kind(run, trained, store, tmp_path):
    out = tmp_path / "out"
    words = ("explain", "samples", trained / "stitchnet", store, "-o", out, "--slices", "3", "--samples", "2")
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert {path.name for path in out.iterdir()} == {
        "samples-000003.png", "samples-000003.csv", "collapse-000003.csv",
    }  # fmt: skip
    rows = rows_of(out / "samples-000003.csv")
    assert [row["kind"] for row in rows] == ["labelled"] * 3 + ["unlabelled"] * 3
    assert rows[0]["slice"] == "toy/0"
    assert all(float(row["bits_per_pixel"]) > 0 and float(row["noise_hu"]) > 0 for row in rows)
    labelled, unlabelled = rows_of(out / "collapse-000003.csv")
    assert (labelled["kind"], unlabelled["kind"]) == ("labelled", "unlabelled")
    shares = [float(unlabelled[f"share of {name}"]) for name in (
        "background or lung", "ground-glass opacity", "consolidation",
    )]  # fmt: skip
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert float(unlabelled["styles_apart_hu"]) > 0
    assert float(unlabelled["error_of_mean_picture_hu"]) > 0
    with Image.open(out / "samples-000003.png") as drawn:
        assert drawn.size == (7 * (SIDE + GAP), 2 * LINE + 8 * (SIDE + GAP))
    assert ended.out.count("bits between classes and pictures") == 2
    before = (out / "samples-000003.png").read_bytes()
    assert run(*words).code == 0
    assert (out / "samples-000003.png").read_bytes() == before


def test_the_autoencoder_alone_has_one_style_and_nothing_to_tell_apart(run, trained, store, tmp_path):
    ended = run(
        "explain", "samples", trained / "svae", store, "-o", tmp_path / "out", "--slices", "2", "--samples", "0"
    )
    assert ended.code == 0, ended.err
    (row, *_) = rows_of(tmp_path / "out" / "collapse-000002.csv")
    assert row["styles_apart_hu"] == ""
    assert float(row["share of any"]) == 1
    seen = np.asarray(Image.open(io.BytesIO((tmp_path / "out" / "samples-000002.png").read_bytes())))
    assert seen.shape[1] == 5 * (SIDE + GAP)
    assert "styles" not in ended.out


def test_slices_are_of_the_kind_that_they_were_to_the_run(run, store, tmp_path):
    """Of ten labelled slices two are held out and four keep their labels; of another store's it knows nothing."""
    data = '[data]\nstore = "absent"\nfolds = 5\nfold = 0\nlabels = 4'
    (tmp_path / "few.toml").write_text(RECIPE.replace('[data]\nstore = "absent"', data))
    assert run("train", tmp_path / "few.toml", "--store", store, "-o", tmp_path / "run", "-q").code == 0
    told = {}
    for name, shown in (("own", store), ("other", make_store(tmp_path / "other", labelled=3, unlabelled=2))):
        words = "--slices", "20", "--samples", "0", "-o", tmp_path / name
        assert run("explain", "samples", tmp_path / "run", shown, *words).code == 0
        told[name] = {row["kind"]: row["slices"] for row in rows_of(tmp_path / name / "collapse-000002.csv")}
    assert told["own"] == {"labelled": "4", "unlabelled": "10", "held out": "2"}
    assert told["other"] == {"labelled": "3", "unlabelled": "2"}
    with Image.open(tmp_path / "own" / "samples-000002.png") as drawn:  # of ten unlabelled ones eight are drawn
        assert drawn.height == 2 * LINE + (4 + 8 + 2) * (SIDE + GAP)


def test_of_two_ladders_each_level_has_its_name_and_the_bits_are_a_bernoullis(run, trained, store, tmp_path):
    ended = run("explain", "samples", trained / "stichnet2020", store, "-o", tmp_path / "out", "--samples", "1")
    assert ended.code == 0, ended.err
    labelled, unlabelled = rows_of(tmp_path / "out" / "collapse-000002.csv")
    levels = [float(unlabelled[f"divergence_{name}"]) for name in ("z1", "z2", "k1", "k2")]
    assert all(level > 0 for level in levels)
    assert float(labelled["bernoulli_bits"]) > 0
    assert "bits_per_pixel" not in labelled
    assert "bernoulli bits" in ended.out


def test_a_run_that_generates_nothing_and_a_damaged_state(run, trained, store, tmp_path):
    ended = run("explain", "samples", tmp_path, store, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "no state of a stage that generates slices. Expected a folder" in ended.error
    assert "with the method svae or stitchnet or stichnet2020" in ended.error
    state = trained / "svae" / "stage-1" / "state.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:1000])
    try:
        assert "damaged" in run("explain", "samples", trained / "svae", store, "-o", tmp_path / "out").error
    finally:
        state.write_bytes(whole)
    assert not (tmp_path / "out").exists()


def test_a_model_of_it_segments_and_one_of_the_autoencoder_does_not(run, trained, dicom, tmp_path):
    words = ("segment", dicom, "-o", tmp_path / "out", "--model")
    ended = run(*words, trained / "svae" / "model.safetensors")
    assert ended.code == 1
    assert "never taught to tell ground-glass opacity" in ended.error
    ended = run(*words, trained / "stitchnet" / "model.safetensors")
    assert ended.code == 0, ended.err

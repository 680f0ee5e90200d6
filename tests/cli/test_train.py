import csv
import json
import resource
import shutil
import sys

import nibabel
import numpy as np
import pytest
import torch

from groundglass.build import load_model
from groundglass.cli import train as train_module
from groundglass.engine import checkpoint, log
from groundglass.engine.log import EVENTS_FILE, LOG_FILE
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import load
from groundglass.runs import roles
from groundglass.store import open_store
from tests.cli.conftest import FILES, label_map
from tests.toy_store import make_store

RECIPE = """
seed = 1
[data]
store = "absent"
[network]
name = "unet"
settings = { widths = [8, 16] }
[[stage]]
method = "supervised"
[stage.training]
steps = 60
batch = 4
rate = 1e-2
augmentation = "weak"
precision = "float32"
checkpoint_every = 10
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "toy")


def recipe(folder, text=RECIPE):
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_becomes_a_model_with_all_that_prediction_needs(run, store, tmp_path):
    ended = run("train", recipe(tmp_path), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 0, ended.err
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.method.outputs == (3, 4, 8)  # the labels never tell lung from background
    assert model.preparation.size == (32, 32)
    assert "10 labelled and 6 unlabelled slices of toy" in model.card.trained_on
    _, record = checkpoint.read(tmp_path / "run" / "model.safetensors")
    assert "absent" not in json.dumps(record)  # no path
    assert not list((tmp_path / "run").glob(".*"))


def test_a_held_out_fold_is_scored_and_learnt(run, store, tmp_path):
    ended = run("train", recipe(tmp_path), "-o", tmp_path / "run", "--store", store, "--fold", "1")
    assert ended.code == 0, ended.err
    with (tmp_path / "run" / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["slice"] for row in rows} <= {f"toy/{number}" for number in range(10)}
    dice = [float(row["dice"]) for row in rows if row["region"] == "infection"]
    assert len(dice) == 2
    assert np.mean(dice) > 0.5
    assert "Infection: Dice" in ended.out


def test_fewer_labels_are_a_draw_by_the_seed_and_the_others_count_as_unlabelled(run, store, tmp_path):
    few = RECIPE.replace("steps = 60", "steps = 1").replace('store = "absent"', 'store = "absent"\nlabels = 3')
    drawn = [
        roles(load(recipe(tmp_path, few.replace("seed = 1", f"seed = {seed}"))), open_store(store))
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0].train) == 3
    assert sorted((*drawn[0].train, *drawn[0].unlabelled)) == list(range(16))
    assert set(roles(load(recipe(tmp_path, few.replace("= 3", "= 2"))), open_store(store)).train) < set(drawn[0].train)
    assert run("train", recipe(tmp_path, few), "-o", tmp_path / "run", "--store", store).code == 0
    assert "3 labelled and 13 unlabelled slices" in load_model(tmp_path / "run" / "model.safetensors").card.trained_on
    ended = run("train", recipe(tmp_path, few.replace("= 3", "= 30")), "-o", tmp_path / "two", "--store", store)
    assert ended.code == 2
    assert "30 labelled slices are asked for, 10 can be trained on" in ended.error


def test_two_stages_hand_the_network_on(run, store, tmp_path):
    second = (
        RECIPE[RECIPE.index("[[stage]]") :].replace("supervised", "mean_teacher").replace("steps = 60", "steps = 1")
    )
    first = RECIPE.replace("steps = 60", "steps = 3")
    ended = run(
        "train",
        recipe(tmp_path, first + second.replace("rate = 1e-2", "rate = 1e-12")),
        "-o",
        tmp_path / "two",
        "--store",
        store,
    )
    assert ended.code == 0, ended.err
    alone = run("train", recipe(tmp_path, first), "-o", tmp_path / "one", "--store", store)
    assert alone.code == 0
    one, _ = checkpoint.read(tmp_path / "one" / "model.safetensors")
    two, _ = checkpoint.read(tmp_path / "two" / "model.safetensors")
    weights = [name for name in one if name.endswith("weight")]
    for name in weights:
        torch.testing.assert_close(two[name.replace("network.", "teacher.")], one[name], atol=1e-6, rtol=1e-5)


def test_a_model_segments_a_scan(run, store, dicom, tmp_path):
    assert run("train", recipe(tmp_path), "-o", tmp_path / "run", "--store", store).code == 0
    model = tmp_path / "run" / "model.safetensors"
    for views in ("1", "4"):
        ended = run("segment", dicom, "-o", tmp_path / "out", "--model", model, "--views", views)
        assert ended.code == 0, ended.err
        assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert set(np.unique(label_map(tmp_path / "out"))) >= {0, 1}
    page = (tmp_path / "out" / "page.html").read_text()
    assert "supervised, unet" in page
    assert str(tmp_path) not in page
    provenance = (tmp_path / "out" / "provenance.json").read_text()
    assert str(tmp_path) not in provenance


def test_probabilities_on_demand_lie_where_the_scan_does(run, store, dicom, tmp_path):
    assert run("train", recipe(tmp_path), "-o", tmp_path / "run", "--store", store).code == 0
    model = tmp_path / "run" / "model.safetensors"
    names = {f"probability_{region}" for region in ("infection", "ground_glass", "consolidation")}
    for label_format, suffix in (("nifti", ".nii.gz"), ("nrrd", ".nrrd"), ("png", "")):
        out = tmp_path / label_format
        ended = run("segment", dicom, "-o", out, "--model", model, "--probabilities", "--format", label_format)
        assert ended.code == 0, ended.err
        assert {path.name for path in out.glob("probability*")} == {name + suffix for name in names}
    image = nibabel.load(tmp_path / "nifti" / "probability_infection.nii.gz")
    labels = nibabel.load(tmp_path / "nifti" / "labels.nii.gz")
    np.testing.assert_array_equal(image.affine, labels.affine)
    values = np.asarray(image.dataobj)
    assert values.shape == labels.shape
    assert 0.5 < values.max() <= 1  # the header says that 255 is 1
    slices = sorted((tmp_path / "png" / "probability_infection").iterdir())
    assert len(slices) == values.shape[2]
    ended = run("segment", dicom, "-o", tmp_path / "out", "--probabilities")
    assert ended.code == 2
    assert "threshold has no probabilities" in ended.error


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("steps = 60", "stepps = 60", "no key stage.0.training.stepps. Expected steps, perhaps"),
        ("steps = 60", "steps = 0", "stage.0.training.steps of the recipe cannot be 0"),
        ('name = "unet"', 'name = "unett"', "Did you mean 'unet'"),
        ("widths", "width", "The network 'unet' cannot be made"),
        ('"supervised"', '"superwised"', "Did you mean 'supervised'"),
        ('augmentation = "weak"', 'augmentation = "week"', "Did you mean 'weak'"),
        ("[[stage]]", "[[stages]]", "no key stages"),
        ("seed = 1", "seed = ", "is no recipe"),
    ],
)
def test_a_recipe_that_cannot_be(run, store, tmp_path, old, new, says):
    ended = run("train", recipe(tmp_path, RECIPE.replace(old, new)), "-o", tmp_path / "run", "--store", store)
    assert ended.code in {1, 2}
    assert says in ended.error


def test_a_recipe_that_is_not_there(run, tmp_path):
    assert run("train", tmp_path / "no.toml", "-o", tmp_path / "run").code == 2


def test_a_store_that_is_not_there_or_half_prepared(run, store, tmp_path):
    assert run("train", recipe(tmp_path), "-o", tmp_path / "run").code == 2
    half = tmp_path / "half"
    shutil.copytree(store, half)
    manifest = json.loads((half / "manifest.json").read_text())
    (half / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    ended = run("train", recipe(tmp_path), "-o", tmp_path / "run", "--store", half)
    assert ended.code == 1
    assert "half-prepared" in ended.error


def test_a_checkpoint_that_is_none(run, dicom, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 nothing")
    ended = run("segment", dicom, "-o", tmp_path / "out", "--model", tmp_path / "bad.safetensors")
    assert ended.code == 1
    assert "no checkpoint of groundglass" in ended.error
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_other_classes(run, store, dicom, tmp_path):
    assert (
        run("train", recipe(tmp_path, RECIPE.replace("steps = 60", "steps = 1")), "-o", tmp_path, "--store", store).code
        == 0
    )
    tensors, record = checkpoint.read(tmp_path / "model.safetensors")
    checkpoint.write(tmp_path / "other.safetensors", tensors, record | {"outputs": [3, 12]})
    ended = run("segment", dicom, "-o", tmp_path / "out", "--model", tmp_path / "other.safetensors")
    assert ended.code == 1
    assert "does not fit" in ended.error


def few_steps(folder, steps=6):
    return recipe(folder, RECIPE.replace("steps = 60", f"steps = {steps}").replace("every = 10", "every = 2"))


def test_events_beside_the_log_are_the_same_after_an_interruption_and_for_a_run_that_is_done(
    run, store, tmp_path, monkeypatch
):
    pytest.importorskip("tensorboard")
    words = ["train", few_steps(tmp_path), "--store", store, "--tensorboard", "-o"]
    assert run(*words, tmp_path / "whole").code == 0
    written = (tmp_path / "whole" / "stage-1" / EVENTS_FILE).read_bytes()
    assert written == log.events(log.read_log(tmp_path / "whole" / "stage-1" / LOG_FILE))
    assert run(*words[:-2], "-o", tmp_path / "late").code == 0
    assert not (tmp_path / "late" / "stage-1" / EVENTS_FILE).exists()
    plain = train_module._write_events
    with monkeypatch.context() as patched:

        def interrupted(folder):
            plain(folder)
            if len(log.read_log(folder / LOG_FILE)) == 4:
                raise KeyboardInterrupt

        patched.setattr(train_module, "_write_events", interrupted)
        assert run(*words, tmp_path / "cut").code == 130
    assert (tmp_path / "cut" / "stage-1" / EVENTS_FILE).read_bytes() != written
    for name in ("cut", "late"):
        assert run(*words, tmp_path / name).code == 0
        assert (tmp_path / name / "stage-1" / EVENTS_FILE).read_bytes() == written
    assert not list(tmp_path.rglob(".*"))


def test_tensorboard_that_is_not_installed_is_said_before_training(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    ended = run("train", few_steps(tmp_path), "-o", tmp_path / "run", "--store", store, "--tensorboard")
    assert ended.code == 2
    assert 'pip install "groundglass[tensorboard]"' in ended.error
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_names_step_and_terms_and_leaves_no_model(run, store, tmp_path):
    wild = recipe(tmp_path, RECIPE.replace("rate = 1e-2", "rate = 1e30\nwarmup = 0"))
    ended = run("train", wild, "-o", tmp_path / "run", "--store", store)
    assert ended.code == 1
    assert "The loss is not finite at step 2 of 60: cross_entropy nan, dice nan." in ended.error
    assert "Lower the learning rate" in ended.error
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["stage-1"]


def test_a_store_that_changed_since_the_run_began(run, store, tmp_path):
    words = "train", few_steps(tmp_path), "-o", tmp_path / "run", "--store"
    assert run(*words, store).code == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    ended = run(*words, make_store(tmp_path / "other", labelled=9))
    assert ended.code == 1
    assert "another recipe, store, version or number" in ended.error
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_more_folds_than_groups_would_leave_one_without_labels(run, tmp_path):
    small = make_store(tmp_path / "store", labelled=6, groups=3)
    ended = run("train", few_steps(tmp_path), "-o", tmp_path / "run", "--store", small, "--fold", "0")
    assert ended.code == 2
    assert "3 labelled groups for 5 folds" in ended.error
    assert not (tmp_path / "run").exists()


def test_a_store_without_any_label(run, tmp_path):
    bare = make_store(tmp_path / "store", labelled=0)
    ended = run("train", few_steps(tmp_path), "-o", tmp_path / "run", "--store", bare)
    assert ended.code == 2
    assert "no labelled slice" in ended.error
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_full_disk_leaves_no_half_state_and_the_run_goes_on_when_there_is_room(run, start, store, tmp_path):
    words = "train", few_steps(tmp_path), "-o", tmp_path / "run", "--store", store
    process = start(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = [line for line in err.splitlines() if line.startswith("groundglass: ")]
    assert "could not be written" in line
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "run").rglob("*")} == {"stage-1", LOG_FILE}
    assert run(*words).code == 0


def test_data_prepared_otherwise_are_another_run(run, store, tmp_path):
    words = "train", few_steps(tmp_path), "-o", tmp_path / "run", "--store"
    assert run(*words, store).code == 0
    otherwise = make_store(tmp_path / "other", preparation=Preparation(size=(64, 64), crop="none"))
    ended = run(*words, otherwise)
    assert ended.code == 1
    assert "another recipe, store, version or number" in ended.error


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ({"preparation": {"size": [64, 64]}}, "was made for another preparation"),
        ({"predictor": "nothing."}, "of another network or other classes: it lacks '"),
        ({"outputs": [1, 2, 4, 8]}, "of another network or other classes: it tells the sets [1, 2, 4, 8] apart, not ["),
        ({"outputs": None}, "of another network or other classes: its record is damaged"),
        ({"preparation": None}, "of another network or other classes: its record is damaged"),
        ({"card": None}, "of another network or other classes: its record is damaged"),
        ({"card": {"sources": [1]}}, "of another network or other classes: its record is damaged"),
    ],
)
def test_a_checkpoint_to_start_from_that_does_not_fit(run, store, tmp_path, harm, told):
    assert run("train", few_steps(tmp_path, 1), "-o", tmp_path, "--store", store).code == 0
    tensors, record = checkpoint.read(tmp_path / "model.safetensors")
    changed = {key: {**record[key], **value} if isinstance(value, dict) else value for key, value in harm.items()}
    checkpoint.write(tmp_path / "other.safetensors", tensors, record | changed)
    later = RECIPE.replace(
        'method = "supervised"', f'method = "supervised"\nstart_from = "{tmp_path}/other.safetensors"'
    )
    ended = run("train", recipe(tmp_path, later), "-o", tmp_path / "run", "--store", store)
    assert ended.code == 1
    assert told in ended.error
    assert str(tmp_path) not in ended.error
    assert ("Prepare the data with --lungs" in ended.error) == ("[1, 2, 4, 8]" in told)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_told_by_the_first_weight_that_differs(run, store, tmp_path):
    assert run("train", few_steps(tmp_path, 1), "-o", tmp_path, "--store", store).code == 0
    wider = RECIPE.replace(
        'method = "supervised"', f'method = "supervised"\nstart_from = "{tmp_path}/model.safetensors"'
    )
    assert "widths = [8, 16]" in wider
    ended = run(
        "train", recipe(tmp_path, wider.replace("[8, 16]", "[8, 24]")), "-o", tmp_path / "run", "--store", store
    )
    assert ended.code == 1
    assert "it holds 'down.1." in ended.error
    assert "of shape (16, 8, 3, 3) for (24, 8, 3, 3) and " in ended.error
    assert "more (of " in ended.error

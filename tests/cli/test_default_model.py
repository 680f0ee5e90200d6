"""The model that ``segment`` takes unless told otherwise, and the one that the package holds."""

import json
import re
from pathlib import Path

import pytest
import torch

from groundglass import default, export, runs
from groundglass.build import load_model
from groundglass.cli.prepare import Options
from groundglass.cli.window import parse_window
from groundglass.engine import checkpoint
from groundglass.inference.predict import needs
from groundglass.labels import Region
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import Recipe, load
from groundglass.store import open_store
from tests.cli.conftest import FILES
from tests.toy_store import make_store

DOCS = Path(__file__).parents[2] / "docs"
RECIPE = {
    "data": {"store": "absent", "unlabelled": False},
    "network": {"name": "unet", "settings": {"widths": [4, 8]}},
    "stage": [{"method": "supervised", "training": {"steps": 1, "batch": 2, "precision": "float32"}}],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    runs.train(Recipe.parse(RECIPE), open_store(make_store(folder / "toy")), folder / "run")
    return folder / "run" / "model.safetensors"


def test_an_export_is_what_segment_takes_and_page_and_measurements_name_it(run, dicom, trained, tmp_path, monkeypatch):
    file = tmp_path / "ship" / "model.safetensors"
    words = ("--half", "--name", "trial <1>", "--source", "Trained on toys: for playing only.")
    ended = run("models", "export", trained, "-o", file, *words)
    assert ended.code == 0, ended.err
    digest = re.search(r"SHA-256 ([0-9a-f]{64})", ended.out)[1]
    monkeypatch.setattr("groundglass.cli.segment.default_model", lambda: file)
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    page = (tmp_path / "out" / "page.html").read_text()
    assert "trial &lt;1&gt;" in page
    assert digest[:16] in page
    assert "for playing only" in page
    record = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert (record["model"], record["weights_sha256"]) == ("trial <1>", digest)
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["data"]["weights"] == digest
    assert run("segment", dicom, "-o", tmp_path / "named", "--model", "default").out == ended.out.replace(
        "out", "named"
    )
    ended = run("segment", dicom, "-o", tmp_path / "two", "--model", "threshold")
    record = json.loads((tmp_path / "two" / "measurements.json").read_text())
    assert (record["model"], record["weights_sha256"]) == ("threshold", None)


def test_without_weights_in_the_package_the_classical_model_segments(run, dicom, tmp_path):
    assert run("segment", dicom, "-o", tmp_path).code == 0
    assert json.loads((tmp_path / "measurements.json").read_text())["model"] == "threshold"


@pytest.mark.parametrize(("target", "says"), [("folder", "no file of weights"), ("a.pt", "no file of weights")])
def test_an_export_that_cannot_be(run, trained, tmp_path, target, says):
    (tmp_path / "folder").mkdir()
    ended = run("models", "export", trained, "-o", tmp_path / target)
    assert ended.code == 2
    assert says in ended.error
    (tmp_path / "bad.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 nothing")
    assert (
        "no checkpoint" in run("models", "export", tmp_path / "bad.safetensors", "-o", tmp_path / "x.safetensors").error
    )
    assert run("models", "export", tmp_path / "absent.safetensors", "-o", tmp_path / "x.safetensors").code == 2
    assert not (tmp_path / "x.safetensors").exists()


def test_the_package_finds_its_weights_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(default, "MODEL", tmp_path / "model.safetensors")
    assert default.default_model() is None
    default.MODEL.write_bytes(b"")
    assert default.default_model() == default.MODEL


def test_a_training_that_begins_as_the_model_of_the_package_hands_its_data_and_terms_on(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(default, "MODEL", tmp_path / "model.safetensors")
    export.export(trained, default.MODEL, half=True, name="ours", sources=["Trained on toys: for playing only."])
    stage = {**RECIPE["stage"][0], "start_from": "default"}
    stage["training"] = stage["training"] | {"rate": 1e-9, "weight_decay": 0.0}
    store = open_store(make_store(tmp_path / "toy"))
    runs.train(Recipe.parse({**RECIPE, "seed": 5, "stage": [stage]}), store, tmp_path / "run")
    file = tmp_path / "run" / "model.safetensors"
    (began, _), (ended, record) = checkpoint.read(default.MODEL), checkpoint.read(file)
    for name in (name for name in began if began[name].ndim == 4):
        torch.testing.assert_close(ended[name], began[name].float(), atol=1e-6, rtol=0)
    card = load_model(file).card
    assert card.trained_on == (
        "10 labelled slices of toy, prepared at 32 pixels. "
        "It began as a model of 10 labelled slices of toy, prepared at 32 pixels."
    )
    assert card.sources == ("Trained on toys: for playing only.",)
    assert str(tmp_path) not in json.dumps(record)


packaged = pytest.mark.skipif(default.default_model() is None, reason="the package holds no weights")


@packaged
def test_the_weights_of_the_package_are_small_load_and_know_what_is_asked():
    assert default.MODEL.stat().st_size <= default.LARGEST == 15_000_000
    needs(load_model(default.MODEL).method.outputs, Region.GROUND_GLASS)
    text = json.dumps(checkpoint.read(default.MODEL)[1])
    assert not re.search(r"/(home|root|tmp|work|Users|mnt)\b|\\\\", text)


@packaged
def test_the_recipe_that_begins_as_it_fits_it_and_the_usual_preparation():
    recipe, record = load(DOCS.parent / "recipes" / "fine_tune.toml"), checkpoint.read(default.MODEL)[1]
    assert recipe.stage[0].start_from == default.DEFAULT
    assert recipe.network.model_dump() == record["network"] | {"weights": None}
    made_for = Preparation.from_json(record["preparation"])
    usual = Options()
    assert (made_for.size, made_for.crop, made_for.fit) == ((usual.size, usual.size), usual.crop, usual.fit)
    assert made_for.window_hu == parse_window(usual.window)


@packaged
def test_the_card_of_the_weights_is_of_them_and_its_numbers_stand_in_a_table_of_the_docs():
    card = default.MODEL.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    assert load_model(default.MODEL).card.digest in card
    assert "LICENSE-WEIGHTS" in card
    assert default.MODEL.with_name("LICENSE-WEIGHTS").is_file()
    documented = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")).splitlines()
    rows = [line for line in card.splitlines() if line.startswith("|") and re.search(r"\d\.\d{3}", line)]
    assert rows
    for row in rows:
        assert row in documented

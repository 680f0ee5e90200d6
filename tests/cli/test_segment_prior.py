"""A model whose network takes a prior segments by one file."""

import json

from groundglass import runs
from groundglass.engine import checkpoint
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.cli.conftest import FILES
from tests.toy_store import make_store

TRAINING = {"steps": 1, "batch": 2, "augmentation": "weak", "precision": "float32"}
NETWORK = {"name": "unet", "settings": {"widths": [4, 8]}}
RECIPE = {
    "data": {"store": "absent", "unlabelled": False},
    "network": {"name": "unet", "settings": {"widths": [4, 8], "in_channels": 6}},
    "prior": {"folds": 2, "network": NETWORK, "stage": [{"method": "inf_net", "training": TRAINING}]},
    "stage": [{"method": "inf_net_multi", "training": TRAINING}],
}


def test_a_model_with_a_prior_segments_by_one_file(run, dicom, tmp_path):
    store = open_store(make_store(tmp_path / "toy"))
    runs.train(Recipe.parse(RECIPE), store, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").rename(tmp_path / "alone.safetensors")
    ended = run("segment", dicom, "-o", tmp_path / "out", "--model", tmp_path / "alone.safetensors", "--views", "2")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert "inf_net_multi, unet" in (tmp_path / "out" / "page.html").read_text()
    tensors, record = checkpoint.read(tmp_path / "alone.safetensors")
    assert "absent" not in json.dumps(record)
    less = {name: value for name, value in tensors.items() if not name.startswith("prior.")}
    checkpoint.write(tmp_path / "cut.safetensors", less, record)
    ended = run("segment", dicom, "-o", tmp_path / "two", "--model", tmp_path / "cut.safetensors")
    assert ended.code == 1
    assert "does not fit this version" in ended.error

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundglass import runs
from groundglass.build import load_model
from groundglass.engine import checkpoint
from groundglass.errors import ReadError
from groundglass.export import export
from groundglass.inference.predict import predict_batch
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.toy_store import make_store, slice_of

TOLERANCE = 0.01  # of a probability at worst, a twentieth of it on average; by bfloat16 it would be eight times as much
TRAINING = {"steps": 60, "batch": 4, "rate": 1e-2, "augmentation": "weak", "precision": "float32"}
WORDS = {"command": "groundglass train /home/jane/r.toml", "cost": "on jane's", "expected": "a lot", "got": "less"}


def recipe(method):
    return Recipe.parse(
        {
            **WORDS,
            "data": {"store": "/home/jane/store", "unlabelled": True},
            "network": {"name": "unet", "settings": {"widths": [8, 16]}},
            "stage": [{"method": method, "settings": {"ema": 0.5}, "training": TRAINING}],
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A teacher and its student."""
    folder = tmp_path_factory.mktemp("model")
    runs.train(recipe("mean_teacher"), open_store(make_store(folder / "toy")), folder / "run")
    return folder / "run" / "model.safetensors"


def probabilities(path):
    model = load_model(path)
    black, white = model.preparation.window_hu
    images = np.stack([np.clip((slice_of(seed)[0] - black) / (white - black), 0, 1) for seed in range(20, 24)])
    return predict_batch(model.method, torch.from_numpy(images[:, None, :32, :32].astype(np.float32)))


def test_what_predicts_is_kept_and_answers_as_before(model, tmp_path):
    told = export(model, tmp_path / "a.safetensors")
    assert told.difference == 0
    torch.testing.assert_close(probabilities(tmp_path / "a.safetensors"), probabilities(model), rtol=0, atol=0)
    assert told.size < 0.6 * model.stat().st_size  # without the student
    tensors, record = checkpoint.read(tmp_path / "a.safetensors")
    assert record["method"] == "supervised"
    assert all(name.startswith(record["predictor"]) for name in tensors)
    assert record["recipe"]["stage"][0]["method"] == "mean_teacher"  # what it was trained by is told
    before = load_model(model)
    assert load_model(tmp_path / "a.safetensors").card == replace(before.card, digest=told.digest)
    assert told.digest != before.card.digest


def test_half_the_size_and_the_same_answers_to_a_stated_tolerance(model, tmp_path):
    whole, half = export(model, tmp_path / "a.safetensors"), export(model, tmp_path / "b.safetensors", half=True)
    tensors, _ = checkpoint.read(tmp_path / "b.safetensors")
    assert {value.dtype for value in tensors.values() if value.dim() > 1} == {torch.float16}
    assert {value.dtype for value in tensors.values() if value.dim() == 1} == {torch.float32}
    numbers = sum(value.numel() for value in tensors.values() if value.dim() > 1)
    assert abs(whole.size - half.size - 2 * numbers) < 500  # two bytes each less, and another header
    loaded = load_model(tmp_path / "b.safetensors").method
    assert {value.dtype for value in loaded.state_dict().values() if value.is_floating_point()} == {torch.float32}
    found, expected = probabilities(tmp_path / "b.safetensors"), probabilities(model)
    assert expected.std() > 0.1  # it has learnt to tell things apart
    difference = float((found - expected).abs().max())
    assert 0 < difference < TOLERANCE
    assert float((found - expected).abs().mean()) < TOLERANCE / 20
    assert 0 < half.difference < TOLERANCE


def test_nothing_of_its_author_is_in_it(model, tmp_path):
    tensors, record = checkpoint.read(model)
    assert not {"jane", "a lot"} & set(json.dumps(record).split('"'))
    assert "jane" not in json.dumps(record)
    # as versions before wrote it
    older = {**record, "recipe": {**record["recipe"], **WORDS, "network": {"weights": "/home/jane/w.pth"}}}
    older["network"] = {**record["network"], "weights": "/home/jane/w.pth"}
    checkpoint.write(tmp_path / "older.safetensors", tensors, older)
    export(tmp_path / "older.safetensors", tmp_path / "new.safetensors")
    text = json.dumps(checkpoint.read(tmp_path / "new.safetensors")[1])
    assert "jane" not in text
    assert "a lot" not in text
    assert '"command": "train"' in text  # of the provenance
    older["network"]["weights"] = "imagenet"
    checkpoint.write(tmp_path / "older.safetensors", tensors, older)
    export(tmp_path / "older.safetensors", tmp_path / "new.safetensors")
    assert checkpoint.read(tmp_path / "new.safetensors")[1]["network"]["weights"] == "imagenet"


def test_a_method_that_answers_otherwise_than_its_network_stays_whole(tmp_path):
    """jin2022 predicts by its network; Inf-Net's answer is not the softmax of its logits."""
    store = open_store(make_store(tmp_path / "toy"))
    one = {**TRAINING, "steps": 1}
    table = {
        "data": {"store": "absent", "unlabelled": False},
        "network": {"name": "unet", "settings": {"widths": [4, 8], "in_channels": 6}},
        "prior": {
            "folds": 2,
            "network": {"name": "unet", "settings": {"widths": [4, 8]}},
            "stage": [{"method": "inf_net", "training": one}],
        },
        "stage": [{"method": "inf_net_multi", "training": one}],
    }
    runs.train(Recipe.parse(table), store, tmp_path / "run")
    source = tmp_path / "run" / "model.safetensors"
    export(source, tmp_path / "a.safetensors")
    _, record = checkpoint.read(tmp_path / "a.safetensors")
    assert record["method"] == "inf_net_multi"
    assert "prior" in record
    torch.testing.assert_close(probabilities(tmp_path / "a.safetensors"), probabilities(source), rtol=0, atol=0)


def test_a_weight_beyond_half_precision_is_refused(model, tmp_path):
    tensors, record = checkpoint.read(model)
    name = next(name for name, value in tensors.items() if value.dim() > 1 and name.startswith("teacher"))
    tensors[name].view(-1)[0] = 1e6
    checkpoint.write(tmp_path / "large.safetensors", tensors, record)
    with pytest.raises(ReadError, match="have no half-precision numbers"):
        export(tmp_path / "large.safetensors", tmp_path / "b.safetensors", half=True)
    assert not (tmp_path / "b.safetensors").exists()

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from groundglass import default
from groundglass.build import load_model, make_method, make_network
from groundglass.engine import checkpoint
from groundglass.errors import ReadError, UsageError
from groundglass.inference.predict import predict_batch
from groundglass.inference.segmentation import ModelCard
from groundglass.preprocess.preparation import Preparation
from groundglass.recipe import Network

TINY = Network(name="unet", settings={"widths": [4, 8]})


def method(name, **settings):
    return make_method(name, make_network(TINY, 3), (3, 4, 8), settings, seed=7)


def test_a_method_with_randomness_of_its_own_takes_the_recipes_seed():
    assert method("mean_teacher").config.seed == 7
    assert method("mean_teacher", seed=2).config.seed == 2
    assert method("supervised").config.dice == 1


def test_a_setting_that_a_method_has_not_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no setting .consistancy.* Expected consistency, perhaps"):
        method("mean_teacher", consistancy=1.0)


@pytest.fixture
def whole():
    """The tensors and the record of a model."""
    made = method("supervised")
    return dict(made.state_dict()), {
        "network": {"name": "unet", "settings": {"widths": [4, 8]}},
        "method": "supervised",
        "settings": {},
        "outputs": [3, 4, 8],
        "above": 0.0,
        "preparation": Preparation(size=(32, 32)).as_json(),
        "card": asdict(ModelCard("a", "b", "c", "d")),
    }


def test_a_model_is_read_as_it_was_written(whole, tmp_path):
    checkpoint.write(tmp_path / "model.safetensors", *whole)
    read = load_model(tmp_path / "model.safetensors")
    assert all(torch.equal(value, whole[0][name]) for name, value in read.method.state_dict().items())


def test_a_model_with_one_damaged_byte_is_refused_wherever_it_is(whole, tmp_path):
    """Random weights answer something too: nothing else would tell."""
    file = tmp_path / "model.safetensors"
    checkpoint.write(file, *whole)
    content = file.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")
    for place in (head, (head + len(content)) // 2, len(content) - 1):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ReadError, match="it is damaged"):
            load_model(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"above": 2.0}, "does not fit"),
        ({"above": None}, "does not fit"),
        ({"standard": [0.5, 0.0]}, "does not fit"),
        ({"standard": "0.5"}, "does not fit"),
        ({"standard": [float("inf"), 1.0]}, "does not fit"),
        ({"preparation": {"size": [float("inf"), 32]}}, "whose values have other types"),
        ({"network": {"settings": {"widths": [4, 8], "weights": "/etc/passwd"}}}, "has 'weights' among its settings"),
        ({"network": {"settings": {"widths": []}}}, "cannot be made"),
        ({"network": {"settings": {"widths": [-1, 2]}}}, "cannot be made"),
    ],
)
def test_a_model_whose_record_says_what_cannot_be(whole, tmp_path, change, says):
    tensors, record = whole
    for key, value in change.items():
        record[key] = {**record[key], **value} if isinstance(value, dict) else value
    text = json.dumps(record)  # Infinity is no JSON, and is read
    save_file(tensors, tmp_path / "model.safetensors", {"format": checkpoint.FORMAT, "record": text})
    with pytest.raises((ReadError, UsageError), match=says):
        load_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(whole, tmp_path, value):
    tensors, record = whole
    tensors["network.head.bias"] = torch.full_like(tensors["network.head.bias"], value)
    checkpoint.write(tmp_path / "model.safetensors", tensors, record)
    with pytest.raises(ReadError, match=r"weights of the model are damaged\. Expected finite numbers"):
        load_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_no_numbers_are_refused(monkeypatch, value):
    made = method("supervised").eval()
    monkeypatch.setattr(made, "predict", lambda image: torch.full((1, 3, *image.shape[2:]), value))
    with pytest.raises(ReadError, match="answered what is no number"):
        predict_batch(made, torch.ones(1, 1, 16, 16))


def test_the_weights_of_the_package_are_those_that_it_was_made_with(monkeypatch):
    load_model(default.MODEL)
    monkeypatch.setattr("groundglass.build.DIGEST", "0" * 64)
    with pytest.raises(ReadError, match="Expected those that the package came with"):
        load_model(default.MODEL)


@pytest.mark.parametrize("name", ["weights", "classes"])
def test_settings_that_are_no_settings_of_a_network(name):
    with pytest.raises(UsageError, match=f"has '{name}' among its settings"):
        make_network(Network(name="unet", settings={name: 2}), 3)

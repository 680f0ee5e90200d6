"""docs/training.md says what is so: every key and its default, and its commands run."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass import recipe
from groundglass.build import method_of
from groundglass.lookup import find_module, names
from groundglass.methods._both import Both, BothConfig
from tests.thorax import AFFINE, draw

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
TABLES = {
    "": recipe.Recipe,
    "data.": recipe.Data,
    "network.": recipe.Network,
    "prior.": recipe.Prior,
    "stage.": recipe.Stage,
    "stage.labels.": recipe.Labels,
    "stage.training.": recipe.Training,
}


def as_told(field):
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    words = {None: "none", True: "`true`", False: "`false`"}
    if default is None or isinstance(default, bool):
        return words[default]
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


def test_the_page_has_every_key_of_a_recipe_with_its_default():
    told = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    keys = {
        prefix + name: as_told(field) for prefix, table in TABLES.items() for name, field in table.model_fields.items()
    }
    tables = {"data", "network", "stage.training"}  # said key by key
    assert {key: told.get(key) for key in keys if key not in tables} == {
        key: default for key, default in keys.items() if key not in tables
    }
    assert {key for key in told if "." in key and not key.endswith((".csv", ".safetensors"))} <= set(keys)


def test_the_page_has_every_setting_of_the_methods_for_both_kinds_of_slices():
    told = dict(re.findall(r"^\| `([a-z_]+)` \| (`[a-z_]+` [0-9.]+(?:, .*)?) \|$", PAGE, re.MULTILINE))
    methods = [name for name in names("groundglass.methods") if issubclass(method_of(name), Both)]
    common = {field.name for field in fields(BothConfig)}
    assert sorted(told) == sorted(methods)
    for name in methods:
        config = find_module("groundglass.methods", name).Config
        own = {field.name: field.default for field in fields(config) if field.name not in common}
        stated = {key: float(value) for key, value in re.findall(r"`([a-z_]+)` ([0-9.]+)", told[name])}
        assert stated == pytest.approx(own, abs=1e-3)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of the page, with its table of codes and its recipe."""
    monkeypatch.chdir(tmp_path)
    codes, recipe_text = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    scan = draw()
    labels = np.zeros(scan.hu.shape, np.uint8)
    labels[10:, 50:60, 30:50], labels[10:, 60:80, 30:50] = 1, 2
    for name in ("images/b", "labels/b"):
        (tmp_path / "my-data" / name).mkdir(parents=True)
    for array, name in ((scan.hu.T, "images/a"), (labels.T, "labels/a"), (scan.hu.T, "../scan")):
        nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / "my-data" / f"{name}.nii.gz")
    for number, name in enumerate(("images/b/1", "images/b/2", "images/c")):
        grey = np.random.default_rng(number).integers(0, 255, (40, 50), np.uint8)
        Image.fromarray(grey).save(tmp_path / "my-data" / f"{name}.png")
    Image.fromarray(np.full((40, 50), 2, np.uint8)).save(tmp_path / "my-data/labels/b/1.png")
    (tmp_path / "my-data/labels.toml").write_text(codes)
    small = recipe_text.replace("steps = 400", "steps = 1").replace('weights = "imagenet"', "").replace(
        "unet_efficientnet", "unet").replace(
        "encoder_rate = 5e-4", "").replace("128, 64, 48, 32", "4, 8").replace("batch = 8", "batch = 2")  # fmt: skip
    assert small != recipe_text
    (tmp_path / "my-recipe.toml").write_text(small)
    return tmp_path


def test_the_commands_of_the_page_run(run, here):
    commands = re.findall(r"^    groundglass (.+)$", PAGE, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["prepare", "train", "segment", "models"]
    for command in commands:
        words = shlex.split(command) + (["--size", "32"] if command.startswith("prepare") else [])
        ended = run(*words)
        assert ended.code == 0, ended.err
    assert (here / "results" / "page.html").exists()
    assert (here / "model.safetensors").exists()
    assert {"model.safetensors", "stage-1"} == {path.name for path in (here / "run").iterdir()}
    assert {path.name for path in (here / "run/stage-1").iterdir()} == {"state.safetensors", "log.csv"}

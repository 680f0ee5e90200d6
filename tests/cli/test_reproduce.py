from pathlib import Path

import pytest

from groundglass.cli import reproduce_drsegunet
from groundglass.datasets._phantoms import draw

BASE = """
above = 0.5
[data]
store = "absent"
unlabelled = false
[network]
name = "unet"
standardise = true
settings = { widths = [8, 16] }
[[stage]]
method = "supervised"
settings = { dice = 0.0 }
training = { steps = 20, batch = 2, rate = 1e-2, optimizer = "adam", augmentation = "none", precision = "float32" }
"""
LEVEL = """
[data]
unlabelled = true
[[stage]]
labels = { by = "kmeans", count = 3, instead = true, judge = true }
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """Two recipes of tiny trainings, on few phantoms of few pixels."""
    monkeypatch.setattr(reproduce_drsegunet, "draw", lambda seed, _: draw(seed, 5, (4, 48, 48)))
    monkeypatch.setattr(reproduce_drsegunet, "FAST_SIZE", 32)
    folder = tmp_path / "recipes" / "drsegunet"
    folder.mkdir(parents=True)
    (tmp_path / "recipes" / "drsegunet.toml").write_text(BASE)
    (folder / "table14.toml").write_text('extends = "../drsegunet.toml"\n')
    (folder / "table15.toml").write_text('extends = "../drsegunet.toml"\n' + LEVEL)
    return folder


def test_tables_and_figures_and_what_is_done_is_not_done_again(run, recipes, tmp_path, monkeypatch):
    words = "study", "reproduce", "drsegunet", "--on", "phantom", "--fast", "--recipes", recipes, "-o", tmp_path / "out"
    ended = run(*words, "--fold", "1")
    assert ended.code == 0, ended.err
    tables = (tmp_path / "out" / "tables.md").read_text()
    assert ended.out == tables
    assert tables.count("phantoms, which say nothing of patients") == 4  # a heading of each table that has rows
    assert "| table15 | 1 | 1 | 3 |" in tables
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "losses.svg",
        "probabilities-after.svg",
        "probabilities-before.svg",
        "runs",
        "store",
        "tables.md",
    }
    assert str(tmp_path) not in tables
    monkeypatch.setattr(reproduce_drsegunet.runs, "train", None)  # it would be a fault to train again
    assert run(*words, "--fold", "1").out == tables
    (tmp_path / "recipes" / "drsegunet.toml").write_text(BASE.replace("1e-2", "2e-2"))
    ended = run(*words, "--fold", "1")
    assert ended.code == 1
    assert "The scores of table14-fold-1 are of another recipe" in ended.error


def test_what_cannot_be_reproduced(run, recipes, tmp_path):
    words = "study", "reproduce", "drsegunet", "-o", tmp_path / "out", "--recipes"
    assert "The folder of the data was not said" in run(*words, recipes).error
    assert "There are no recipes" in run(*words, tmp_path, "--on", "phantom").error
    assert "no 'mosmed'" in run(*words, recipes, "--on", "mosmed").error
    assert "no fold 7" in run(*words, recipes, "--on", "phantom", "--fold", "7").error
    ended = run("study", "reproduce", "jin2023", "-o", tmp_path / "out")
    assert ended.code == 2
    assert not (tmp_path / "out").exists()


def test_the_recipes_are_those_that_the_tables_know():
    from groundglass.report.reproduction import THESIS

    folder = Path(__file__).parents[2] / "recipes" / "drsegunet"
    assert {path.stem for path in folder.glob("*.toml")} == set(THESIS)

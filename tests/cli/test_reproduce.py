import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.cli import reproduce, reproduce_trials
from groundglass.datasets._case import Cases
from groundglass.datasets._phantoms import draw
from groundglass.evaluation.published import papers, read_paper
from groundglass.recipe import load
from groundglass.report.sheets import GAP, SIDE

RECIPES = Path(__file__).parents[2] / "recipes"
PLAIN = """
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
extends = "plain.toml"
[data]
unlabelled = true
[[stage]]
labels = { by = "kmeans", count = 30, instead = true, judge = true }
"""
PRIOR = """
[data]
store = "absent"
unlabelled = UNLABELLED
[network]
name = "unet"
settings = { widths = [4, 8], in_channels = 2 }
[prior]
folds = 2
[prior.network]
name = "unet"
settings = { widths = [4, 8] }
[[prior.stage]]
method = "inf_net"
settings = { scales = [1.0] }
training = { steps = 20, batch = 2, unlabelled_batch = BATCH, precision = "float32" }
[[stage]]
method = "inf_net_multi"
training = { steps = 20, batch = 2, precision = "float32" }
"""
INPAINTING = """
[data]
store = "absent"
[network]
name = "unet"
settings = { widths = [4, 8] }
[[stage]]
method = "inpainting"
settings = { first = 1, epochs = 1 }
training = { steps = 20, batch = 2, unlabelled_batch = 2, precision = "float32", augmentation = "weak" }
[[stage]]
method = "inf_net"
settings = { scales = [1.0] }
training = { steps = 20, batch = 2, precision = "float32" }
"""
DRAWING = """
[data]
store = "absent"
unlabelled = true
[network]
name = "vq_unet"
settings = { encoder = "resnet18", codes = 8 }
[[stage]]
method = "jin2022"
settings = { first_phase = 0.5 }
training = { steps = 20, batch = 2, unlabelled_batch = 2, rate = 0.01, precision = "float32", augmentation = "weak" }
"""
PAPER = """
title = "A toy"
crop = "none"
folds = 5
measured = [
    { title = "ours", regions = ["infection"] },
    { title = "AUC", metric = "roc_auc", regions = ["infection"] },
    { title = "too", regions = ["infection"], slices = "both" },
    { title = "overall", regions = ["background", "ground_glass", "consolidation"] },
]
printed = ["F1"]
[scales.full]
recipes = ["toy"]
size = 64
[scales.fast]
recipes = ["toy"]
size = 32
share = 0.1
batch = 2
folds = [0]
[[table]]
title = "Table I"
row = [
    { label = "first", recipe = "plain", cells = ["0.5 ± 0.1"] },
    { label = "second", recipe = "level", against = "plain" },
    { label = "third", recipe = "multi", against = "plain" },
    { label = "fourth", recipe = "other", against = "multi" },
    { label = "a rival", cells = ["0.75"] },
]
[[figure]]
kind = "losses"
file = "losses"
title = "Losses"
[[figure]]
kind = "probabilities"
file = "probabilities"
title = "Probabilities"
[[figure]]
kind = "roc"
file = "roc"
title = "ROC"
[[figure]]
kind = "panels"
file = "panels"
title = "Panels"
recipes = ["plain", "multi"]
"""


def drawn(case):
    return case


@pytest.fixture(scope="module")
def patients():
    """Few phantoms of few pixels, drawn once."""
    return Cases(tuple(partial(drawn, case) for case in draw(0, 5, (4, 48, 48))), public=True)


@pytest.fixture
def recipes(tmp_path, monkeypatch, patients):
    """A paper of four recipes of tiny trainings."""
    monkeypatch.setattr(reproduce, "draw", lambda *_: patients)
    folder = tmp_path / "recipes"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy.tables").write_text(PAPER)
    (folder / "toy" / "plain.toml").write_text(PLAIN)
    (folder / "toy" / "level.toml").write_text(LEVEL)
    # they differ in what the prior does not look at
    (folder / "toy" / "multi.toml").write_text(PRIOR.replace("UNLABELLED", "false").replace("BATCH", "3"))
    (folder / "toy" / "other.toml").write_text("seed = 1\n" + PRIOR.replace("UNLABELLED", "true").replace("BATCH", "1"))
    return folder


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_and_figures_and_what_is_done_is_not_done_again(run, recipes, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = "study", "reproduce", "toy", "--on", "phantom", "--fast", "--recipes", recipes, "-o", out, "-q"
    began, train = [], reproduce_trials.runs.train

    def watched(recipe, *given, **more):
        began.append(recipe)
        if len(began) == 3:
            raise KeyboardInterrupt
        return train(recipe, *given, **more)

    monkeypatch.setattr(reproduce_trials.runs, "train", watched)
    assert run(*words, "--fold", "1").code == 130
    ended = run(*words, "--fold", "1")
    assert ended.code == 0, ended.err
    assert len(began) == 5  # the two that were done are kept
    assert "multi: steps 3 x 2 of the prior, shared, 2 inf_net_multi" in ended.err
    assert "level: steps 2 supervised" in ended.err
    tables = (out / "tables.md").read_text()
    assert ended.out == tables
    assert "phantoms, which say nothing of patients" in tables
    assert "10.0% of the steps of every stage, no more than 2 slices of a kind a step, folds 1 of 5" in tables
    assert {stage.training.unlabelled_batch for recipe in began for stage in recipe.stage} == {2}  # of 8
    priors = [recipe.prior for recipe in began if recipe.prior]
    assert {stage.training.unlabelled_batch for prior in priors for stage in prior.stage} == {1, 2}  # of 1 and 3
    lines = tables.splitlines()
    (first,) = [line for line in lines if line.startswith("| first |")]
    assert first.split(" | ")[1] == "0.5 ± 0.1"
    assert "| a rival | 0.75 |  |  |  |  |  |" in lines
    assert [line for line in lines if line.startswith("| fourth | multi | overall | ")]
    assert [line for line in lines if line.startswith("| level | 0 | 1 | 1 | 1 | 3 |")]  # a tenth of 30 slices
    assert {path.name for path in out.iterdir()} == {
        "losses.svg", "panels.png", "priors", "probabilities-after.svg", "probabilities-before.svg", "results.csv",
        "roc.svg", "runs", "spent.csv", "store", "tables.md", "trained_on.csv",
    }  # fmt: skip
    with Image.open(out / "panels.png") as panels:
        assert panels.size[0] == 4 * (SIDE + GAP)  # picture, truth, two networks
    assert len(list((out / "priors").iterdir())) == 1  # one prior of two recipes, whose own seed does not count
    assert {row["region"] for row in rows_of(out / "results.csv")} == {
        "background", "consolidation", "ground_glass", "infection", "lung_field",  # clusters tell lung apart
    }  # fmt: skip
    held_out, trained = ({row["slice"] for row in rows_of(out / name)} for name in ("results.csv", "trained_on.csv"))
    assert held_out
    assert not held_out & trained
    assert not list(out.rglob("state.safetensors"))
    for file in out.rglob("*.*"):
        assert str(tmp_path).encode() not in file.read_bytes() if file.is_file() else True
    assert run(*words, "--fold", "1").out == tables
    assert len(began) == 5


def test_what_two_recipes_share_is_paid_once_and_counted_for_both(run, recipes, tmp_path):
    out = tmp_path / "out"
    words = "--on", "phantom", "--fast", "--recipes", recipes, "-o", out, "-q", "--only", "multi", "--only", "other"
    ended = run("study", "reproduce", "toy", *words, "--seeds", "2")
    assert ended.code == 0, ended.err
    spent = rows_of(out / "spent.csv")
    assert [row["phase"] for row in spent].count("prior") == 2 * 3  # seeds; two folds and all
    assert [row["phase"] for row in spent].count("inf_net_multi") == 2 * 2
    costs = [line for line in ended.out.splitlines() if line.startswith(("| multi | ", "| other | "))]
    # three trainings of two steps, and two steps
    assert [[cell.split(",")[0] for cell in line.split(" | ")[1:3]] for line in costs] == [["6", "2"]] * 2
    assert "seeds ±" in ended.out
    assert (out / "losses.svg").exists()


def test_size_and_share_may_be_others_than_the_paper_s_file_has(run, recipes, tmp_path):
    words = "--on", "phantom", "--fast", "--recipes", recipes, "-o", tmp_path / "out", "-q", "--only", "plain"
    ended = run("study", "reproduce", "toy", *words, "--size", "48", "--share", "0.2")
    assert ended.code == 0, ended.err
    assert "48 pixels" in ended.out
    assert "20.0% of the steps of every stage" in ended.out
    assert "plain: steps 4 supervised" in ended.err


def test_a_scale_may_have_a_larger_learning_rate(run, recipes, tmp_path):
    tables = (recipes / "toy.tables").read_text()
    rates = {}
    for factor in (1, 3):
        (recipes / "toy.tables").write_text(tables.replace("share = 0.1", f"share = 0.1\nrate = {factor}"))
        out = tmp_path / str(factor)
        words = "--on", "phantom", "--fast", "--recipes", recipes, "-o", out, "-q", "--only", "plain"
        ended = run("study", "reproduce", "toy", *words)
        assert ended.code == 0, ended.err
        assert ("3 times the learning rate" in ended.out) == (factor == 3)
        (log,) = (out / "runs").rglob("log.csv")
        rates[factor] = [float(row["rate"]) for row in rows_of(log)]
    assert rates[3] == pytest.approx([3 * rate for rate in rates[1]])
    assert min(rates[1]) > 0


def test_a_recipe_that_was_changed_is_run_anew(run, recipes, tmp_path):
    out = tmp_path / "out"
    words = "--on", "phantom", "--fast", "--recipes", recipes, "-o", out, "-q", "--only", "plain"
    first = run("study", "reproduce", "toy", *words)
    (recipes / "toy" / "plain.toml").write_text(PLAIN.replace("1e-2", "2e-2"))
    second = run("study", "reproduce", "toy", *words)
    assert (first.code, second.code) == (0, 0)
    assert len({row["digest"] for row in rows_of(out / "results.csv")}) == 2
    assert len(list((out / "runs").iterdir())) == 2
    for left in (out / "runs").glob("*/curves.json"):
        left.write_text("{")
    ended = run("study", "reproduce", "toy", *words)
    assert ended.code == 1
    assert "Remove that folder" in ended.error


def test_what_inpaints_leaves_a_picture_of_it_and_its_cost_beside_the_rest(run, recipes, tmp_path):
    (recipes / "toy" / "plain.toml").write_text(INPAINTING)
    words = "--on", "phantom", "--fast", "--recipes", recipes, "-o", tmp_path / "out", "-q", "--only", "plain"
    ended = run("study", "reproduce", "toy", *words)
    assert ended.code == 0, ended.err
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    assert {"inpainting.png", "inpainting.csv"} <= {path.name for path in folder.iterdir()}
    assert "| recipe | inpainting | inf_net | all, min | times | compared with |" in ended.out
    assert "| first | 0.5 ± 0.1 |" in ended.out


def test_what_shows_something_of_itself_is_measured_and_drawn(run, recipes, tmp_path):
    (recipes / "toy" / "plain.toml").write_text(DRAWING)
    words = "--on", "phantom", "--fast", "--size", "64", "--recipes", recipes, "-o", tmp_path / "out", "-q"
    ended = run("study", "reproduce", "toy", *words, "--only", "plain", "--only", "multi")
    assert ended.code == 0, ended.err
    folders = [path.parent for path in (tmp_path / "out" / "runs").glob("*/maps.csv")]
    assert len(folders) == 1  # the other shows nothing
    rows = rows_of(folders[0] / "maps.csv")
    assert [row["slice"] for row in rows] == list(dict.fromkeys(row["slice"] for row in rows))
    assert all(float(row["psnr_db"]) > 0 and -1 <= float(row["ssim"]) <= 1 for row in rows)
    assert all(0 <= float(row["error_area"]) <= 1 for row in rows if row["error_area"])
    with Image.open(folders[0] / "maps.png") as drawn:
        assert drawn.size[0] == 4 * (SIDE + GAP)  # picture, wrong, reconstruction, confidence
    section = ended.out.split("## What they show of themselves")[1].split("##")[0]
    (line,) = [line for line in section.splitlines() if line.startswith("| plain |")]
    assert f"({len(rows)} slices)" in line
    assert "| multi |" not in section
    (folders[0] / "maps.csv").write_text("slice,psnr_db\na,b\n")
    again = run("study", "reproduce", "toy", *words, "--only", "plain")
    assert again.code == 1
    assert "damaged" in again.error


def test_single_recipes_may_have_more_seeds(run, recipes, tmp_path):
    file = recipes / "toy.tables"
    file.write_text(PAPER.replace("folds = [0]", "folds = [0]\nmore_seeds = { multi = 2 }"))
    words = "study", "reproduce", "toy", "--on", "phantom", "--fast", "--recipes", recipes, "-q", "--only", "multi"
    out = tmp_path / "out"
    ended = run(*words, "--only", "plain", "-o", out)
    assert ended.code == 0, ended.err
    seeds = {(row["recipe"], row["seed"]) for row in rows_of(out / "results.csv")}
    assert seeds == {("plain", "0"), ("multi", "0"), ("multi", "1")}
    assert "seeds 0 to 0, to 1 of multi, convention" in ended.out
    assert {row["seed"] for row in rows_of(out / "results.csv") if row["recipe"] == "plain"} == {"0"}
    one = run(*words, "--seeds", "1", "-o", out)  # asked for, it is of all
    assert "seeds 0 to 0, convention" in one.out
    file.write_text(PAPER.replace("folds = [0]", "more_seeds = { nobody = 2 }"))
    assert "more seeds of nobody, which no row has" in run(*words, "-o", out).error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "The folder of the data was not said"),
        (("--on", "mosmed"), "no 'mosmed'"),
        (("--on", "phantom", "--fold", "7"), "no fold 7"),
        (("--on", "phantom", "--share", "0"), "share of 0"),
        (("--on", "phantom", "--small"), "has no --small"),
        (("--on", "phantom", "--small", "--fast"), "--small and --fast"),
        (("--on", "phantom", "--only", "multy"), "no recipe 'multy'"),
    ],
)
def test_what_cannot_be_reproduced(run, recipes, tmp_path, words, told):
    ended = run("study", "reproduce", "toy", "-o", tmp_path / "out", "--recipes", recipes, *words)
    assert ended.code == 2
    assert told in ended.error
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file(run, recipes, tmp_path):
    (tmp_path / "out").write_text("mine")
    ended = run("study", "reproduce", "toy", "--on", "phantom", "--fast", "--recipes", recipes, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "out is a file" in ended.error
    assert (tmp_path / "out").read_text() == "mine"


def test_papers_that_there_are_none_of(run, recipes, tmp_path):
    words = "-o", tmp_path / "out", "--recipes"
    assert "Did you mean 'toy'" in run("study", "reproduce", "toys", *words, recipes).error
    assert "no published tables" in run("study", "reproduce", "toy", *words, tmp_path).error


@pytest.mark.parametrize("paper", papers(RECIPES))
def test_every_row_of_the_published_tables_has_its_recipe_in_every_size(paper):
    published = read_paper(RECIPES, paper)
    for scale in published.scales.values():
        for name in published.recipes:
            load(next(path for folder in scale.recipes if (path := RECIPES / folder / f"{name}.toml").exists()))
        own = {path.stem for path in (RECIPES / scale.recipes[0]).glob("*.toml")}
        assert own <= set(published.recipes)


def test_what_lies_beyond_the_crop_is_background():
    """Probabilities are 0 there in all channels, which would decide for nothing at all."""
    whole = np.zeros((2, 2, 3), np.float32)
    whole[:, :, 0] = [[0.25, 0.75], [0.75, 0.25]]
    made = reproduce_trials._beyond_the_crop(whole, (3, 12))
    assert made[0].tolist() == [[0.25, 1, 1], [0.75, 1, 1]]
    assert made[1].tolist() == [[0.75, 0, 0], [0.25, 0, 0]]
    assert not whole[:, :, 1:].any()  # a copy
    assert reproduce_trials._beyond_the_crop(whole, (4, 8)).tolist() == whole.tolist()  # nobody says background

import csv
import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from groundglass import runs
from groundglass.cli import spent, study
from groundglass.engine import checkpoint
from groundglass.preprocess.preparation import Preparation
from tests.cli.test_train import RECIPE
from tests.toy_store import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "toy")


@pytest.fixture
def recipes(tmp_path):
    short = RECIPE.replace("steps = 60", "steps = 3")
    (tmp_path / "plain.toml").write_text(short)
    (tmp_path / "teacher.toml").write_text(short.replace("supervised", "mean_teacher"))
    return tmp_path / "plain.toml", tmp_path / "teacher.toml"


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_crossval_tests_every_labelled_slice_once_a_seed_and_writes_all_down(run, store, recipes, tmp_path):
    ended = run("study", "crossval", *recipes, "--store", store, "--seeds", "2", "-o", tmp_path / "out", "-q")
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "out" / "results.csv")
    tested = [(row["recipe"], row["seed"], row["slice"]) for row in rows if row["region"] == "infection"]
    assert sorted(tested) == sorted(
        (name, seed, f"toy/{number}") for name in ("plain", "teacher") for seed in "01" for number in range(10)
    )
    assert {row["labels"] for row in rows} == {"all"}
    assert json.loads((tmp_path / "out" / "split.json").read_text())["folds"] == 5
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "convention present" in summary["heading"]
    teacher = [entry for entry in summary["entries"] if entry["recipe"] == "teacher"]
    assert all(entry["against_first"]["pairs"] == 5 for entry in teacher if entry["region"] == "infection")
    assert "| all | Infection | teacher |" in ended.out
    assert "\n| all | teacher | " in (tmp_path / "out" / "overview.md").read_text()
    told = (tmp_path / "out" / "failures.md").read_text()
    assert "## plain, all labels" in told
    assert "| toy/" in told
    assert not list((tmp_path / "out" / "runs").iterdir())  # what runs left is gone
    assert str(tmp_path) not in (tmp_path / "out" / "results.csv").read_text()


def test_a_study_goes_on_where_it_was(run, store, recipes, tmp_path, monkeypatch):
    words = ("study", "crossval", *recipes, "--store", store, "--seeds", "1", "--fold", "0", "--fold", "1", "-q")
    trained, train = [], runs.train

    def stopped(*args, **more):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(args[0].seed)
        return train(*args, **more)

    monkeypatch.setattr(runs, "train", stopped)
    results = ("--results", tmp_path / "all.csv")
    assert run(*words, *results, "-o", tmp_path / "out").code == 130
    assert len({(row["recipe"], row["fold"]) for row in rows_of(tmp_path / "all.csv")}) == 3
    trained.clear()
    ended = run(*words, *results, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "4 trainings, 3 of them have results already" in ended.err
    assert len(trained) == 1
    again = run(*words, *results, "-o", tmp_path / "elsewhere")  # a table is continued, wherever it is written
    assert len(trained) == 1
    assert again.out == ended.out


def test_trainings_at_a_time_leave_the_rows_of_one_after_the_other(run, store, recipes, tmp_path):
    words = ("study", "crossval", recipes[0], "--store", store, "--seeds", "1", "--fold", "0", "--fold", "1", "-q")
    seen = []
    for jobs in ("1", "2"):
        ended = run(*words, "--jobs", jobs, "-o", tmp_path / jobs)
        assert ended.code == 0, ended.err
        rows = rows_of(tmp_path / jobs / "results.csv")
        # what was found may differ in a last bit by the number of threads; what was looked at, and its truth, may not
        truth = (
            (int(row["both"]) + int(row["true_only"]), int(row["found_only"]) + int(row["neither"])) for row in rows
        )
        named = ([row[key] for key in ("recipe", "digest", "data", "fold", "slice", "group", "region")] for row in rows)
        seen.append(sorted([*words, *pixels] for words, pixels in zip(named, truth, strict=True)))
        assert not list((tmp_path / jobs / "runs").iterdir())
    assert seen[0] == seen[1]
    assert len({row[3] for row in seen[0]}) == 2


def test_budget_has_a_row_for_each_number_of_labels_and_a_curve(run, store, recipes, tmp_path):
    """All that a fold leaves are cross-validation's rows, which are not trained again."""
    words = ("--store", store, "-o", tmp_path / "out", "--seeds", "1", "--fold", "2", "-q")
    ended = run("study", "crossval", *recipes, *words)
    assert ended.code == 0, ended.err
    ended = run("study", "budget", *recipes, *words, "--labels", "2,6, all,2")
    assert ended.code == 0, ended.err
    assert "6 trainings, 2 of them have results already." in ended.err
    assert {row["labels"] for row in rows_of(tmp_path / "out" / "results.csv")} == {"2", "6", "all"}
    assert (tmp_path / "out" / "curve.svg").read_text().startswith("<svg")
    answer = (tmp_path / "out" / "labels_needed.md").read_text()
    assert answer in ended.out
    row = next(line for line in answer.splitlines() if line.startswith("| Infection"))
    assert [cell.strip() for cell in row.split("|")[3:5]] == ["8", "teacher"]


ROUNDS = """
[[stage]]
method = "supervised"
rounds = 2
labels = { count = 2 }
[stage.training]
steps = 2
batch = 4
precision = "float32"
"""


def test_a_budget_compares_with_the_supervised_recipe_those_with_rounds_too(run, store, recipes, tmp_path):
    """Whatever the order of their names; of two labels the others count as unlabelled, and are labelled by rounds."""
    plain, teacher = recipes
    rounds = tmp_path / "a_rounds.toml"
    rounds.write_text(plain.read_text() + ROUNDS)
    words = ("--labels", "2,8", "--seeds", "1", "--fold", "0", "-q")
    ended = run("study", "budget", rounds, teacher, plain, "--store", store, "-o", tmp_path / "out", *words)
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    infection = [entry for entry in summary["entries"] if entry["region"] == "infection"]
    assert [(entry["labels"], entry["recipe"]) for entry in infection] == [
        (labels, name) for labels in "28" for name in ("plain", "a_rounds", "teacher")
    ]
    assert all((entry["against_first"] is None) == (entry["recipe"] == "plain") for entry in infection)


def test_more_labels_than_a_fold_leaves_are_refused_before_anything_is_trained(run, store, recipes, tmp_path):
    words = ("--labels", "2,9", "--seeds", "1", "--fold", "0", "-q")
    ended = run("study", "budget", *recipes, "--store", store, "-o", tmp_path / "out", *words)
    assert ended.code == 2
    assert "9 labelled slices are asked for, 8 can be trained on" in ended.error
    assert not (tmp_path / "out" / "results.csv").exists()


def test_a_split_by_its_groups_alone_is_used(run, store, recipes, tmp_path):
    split = {"format": 1, "seed": 9, "folds": 2, "fold_of_group": {f"g{n}": int(n > 0) for n in range(5)}}
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ("--split", tmp_path / "split.json", "--seeds", "1", "--fold", "0", "-q")
    assert run("study", "crossval", recipes[0], "--store", store, "-o", tmp_path / "out", *words).code == 0
    assert {row["group"] for row in rows_of(tmp_path / "out" / "results.csv")} == {"g0"}
    split["fold_of_group"] = {f"g{n}": int(n < 4) for n in range(5)}
    (tmp_path / "split.json").write_text(json.dumps(split))
    ended = run("study", "crossval", recipes[0], "--store", store, "-o", tmp_path / "out", *words)
    assert ended.code == 2
    assert "plain on fold 0 are of other slices than this split tests there" in ended.error
    split["fold_of_group"].pop("g1")
    (tmp_path / "split.json").write_text(json.dumps(split))
    ended = run("study", "crossval", recipes[0], "--store", store, "-o", tmp_path / "other", *words)
    assert ended.code == 1
    assert "the group g1 is not in both" in ended.error


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("budget", ("--labels", "5,x"), "whole numbers"),
        ("budget", ("--labels", "0"), "whole numbers"),
        ("budget", ("--labels", ""), "whole numbers"),
        ("crossval", ("--convention", "presnt"), "Did you mean 'present'"),
        ("crossval", ("--convention", "pooled"), "one of empty-zero, empty-one, present, defined: results are counts"),
        ("crossval", ("--convention", "curve"), "A study under the convention curve+empty-zero"),
        ("crossval", ("--fold", "7"), "below the number of folds"),
        ("crossval", ("--against", "teacher"), "No recipe here is called teacher. Expected one of plain"),
        ("budget", ("--labels", "30"), "30 labelled slices are asked for, 8 can be trained on"),
    ],
)
def test_a_study_that_cannot_be(run, store, recipes, tmp_path, command, words, says):
    ended = run("study", command, recipes[0], "--store", store, "-o", tmp_path / "out", *words, "-q")
    assert ended.code == 2
    assert says in ended.error


def test_a_budget_without_a_supervised_recipe_is_refused(run, store, recipes, tmp_path):
    ended = run("study", "budget", recipes[1], "--store", store, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "without a supervised recipe" in ended.error
    recipes[0].write_text(recipes[0].read_text() + ROUNDS)
    ended = run("study", "budget", recipes[0], "--store", store, "-o", tmp_path / "out")
    assert "without a supervised recipe" in ended.error


def test_the_same_network_on_labels_alone_is_what_another_method_is_compared_with(run, store, recipes, tmp_path):
    """Any method without unlabelled slices will do, the first of them whatever stands before."""
    alone = tmp_path / "alone.toml"
    without = recipes[1].read_text().replace("[data]", "[data]\nunlabelled = false")
    alone.write_text(without.replace("mean_teacher", "svae"))
    made = study._recipes([recipes[1], alone, recipes[0]], study.Options(store, tmp_path, labels=["2"]))
    assert list(made) == ["alone", "teacher", "plain"]


def test_a_crossval_compares_with_the_recipe_that_is_asked_for(run, store, recipes, tmp_path):
    words = "--store", store, "-o", tmp_path / "out", "--seeds", "1", "--against", "teacher", "-q"
    ended = run("study", "crossval", *recipes, *words)
    assert ended.code == 0, ended.err
    entries = json.loads((tmp_path / "out" / "summary.json").read_text())["entries"]
    assert {entry["recipe"] for entry in entries if entry["against_first"] is None} == {"teacher"}
    assert "plain" in {entry["recipe"] for entry in entries}


def test_a_recipe_with_a_number_of_labels_of_its_own_is_refused(run, store, recipes, tmp_path):
    recipes[0].write_text(recipes[0].read_text().replace("[data]", "[data]\nlabels = 4"))
    ended = run("study", "crossval", recipes[0], "--store", store, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "says data.labels = 4" in ended.error
    assert not (tmp_path / "out").exists()


def test_runs_are_kept_where_that_is_asked_for(run, store, recipes, tmp_path):
    words = "--seeds", "1", "--fold", "0", "-q"
    for keep in ((), ("--keep",)):
        out = tmp_path / f"out{len(keep)}"
        assert run("study", "crossval", recipes[0], "--store", store, "-o", out, *words, *keep).code == 0
        assert len(list(out.glob("runs/*/model.safetensors"))) == len(keep)
        assert len(list(out.glob("runs/*/stage-1/state.safetensors"))) == len(keep)


def test_rows_of_one_preparation_are_no_rows_of_another(run, store, recipes, tmp_path):
    cropped = make_store(tmp_path / "cropped", preparation=Preparation(size=(32, 32), crop="lungs"))
    words = ("--seeds", "1", "--fold", "0", "--results", tmp_path / "all.csv", "-o", tmp_path / "out", "-q")
    for each in (store, cropped):
        ended = run("study", "crossval", recipes[0], "--store", each, *words)
        assert ended.code == 0, ended.err
    rows = [row for row in rows_of(tmp_path / "all.csv") if row["region"] == "infection"]
    assert len(rows) == 2 * len({row["slice"] for row in rows})


def test_two_recipes_that_are_one_training_are_refused(run, store, recipes, tmp_path):
    (tmp_path / "again.toml").write_text('got = "the same"\n' + recipes[0].read_text())
    ended = run("study", "crossval", recipes[0], tmp_path / "again.toml", "--store", store, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "plain and again are the same training" in ended.error


def test_minutes_are_of_all_sittings(run, store, recipes, tmp_path, monkeypatch):
    """Stopped after one of three steps; by this clock each sitting takes a minute."""
    words = ("study", "crossval", recipes[0], "--store", store, "--seeds", "1", "--fold", "0", "-o", tmp_path / "out")
    recipes[0].write_text(recipes[0].read_text().replace("checkpoint_every = 10", "checkpoint_every = 1"))
    clock = iter(range(0, 600, 60))
    monkeypatch.setattr(spent, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    train = runs.train

    def stopped(recipe, store, folder, watch, **more):
        @contextmanager
        def once(*args):
            with watch(*args) as show:

                def tell(report):
                    show(report)
                    raise KeyboardInterrupt

                yield tell

        return train(recipe, store, folder, once, **more)

    monkeypatch.setattr(runs, "train", stopped)
    assert run(*words, "-q").code == 130
    monkeypatch.setattr(runs, "train", train)
    ended = run(*words, "-q")
    assert ended.code == 0, ended.err
    assert {row["minutes"] for row in rows_of(tmp_path / "out" / "results.csv")} == {"2.00"}


def test_what_started_from_slices_of_the_same_data_says_that_it_may_know_those_held_out(run, store, recipes, tmp_path):
    first = tmp_path / "first"
    assert run("train", recipes[0], "--store", store, "-o", first, "-q").code == 0
    method = 'method = "supervised"'
    later = recipes[0].read_text().replace(method, f'{method}\nstart_from = "{first}/model.safetensors"')
    (tmp_path / "later.toml").write_text(later)
    fold = ("--seeds", "1", "--fold", "0", "-q", "--results", tmp_path / "all.csv", "-o", tmp_path / "out")
    words = ("study", "crossval", recipes[0], tmp_path / "later.toml", "--store", store, *fold)
    said = "What later started from learnt from slices of toy, perhaps from those that are held out here."
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert said in ended.out.splitlines()[0]
    assert all(said in (tmp_path / "out" / name).read_text() for name in ("table.md", "overview.md", "failures.md"))
    alone = run("train", tmp_path / "later.toml", "--store", store, "--fold", "0", "-o", tmp_path / "run", "-q")
    assert "The model that it starts from learnt from slices of toy, perhaps from those" in alone.out
    alone = run("train", recipes[0], "--store", store, "--fold", "0", "-o", tmp_path / "plain", "-q")
    assert "held-out slices" in alone.out
    assert "perhaps" not in alone.out
    tensors, record = checkpoint.read(first / "model.safetensors")
    card = record["card"] | {"trained_on": record["card"]["trained_on"].replace("toy", "others")}
    checkpoint.write(first / "model.safetensors", tensors, record | {"card": card})
    assert said not in run(*words).out
    (first / "model.safetensors").unlink()  # its rows are there: it need not be
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert said not in ended.out

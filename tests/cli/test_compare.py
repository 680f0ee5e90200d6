import csv
import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass.cli.compare import methods_of, run_compare
from groundglass.cli.evaluate import Options
from groundglass.errors import UsageError
from groundglass.store import open_store
from tests.toy_store import make_store

FILES = {"table.md", "table.csv", "table.tex", "differences.csv", "summary.json", "page.html"}
QUIET = Options(quiet=True, metrics=("dice",))


def save(path, codes):
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.name.endswith(".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.array(codes, np.uint8).T, np.diag([-10.0, -10.0, 5.0, 1.0])), path)
    else:
        Image.fromarray(np.array(codes, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Infection's Dice: weak 1, 2/3, 0 and good 1, 1, 2/3; in d there is none and weak finds some."""
    for name, rows in (
        ("truth", ([2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0])),
        ("weak", ([2, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0])),
        ("good", ([2, 2, 0, 0], [2, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0])),
    ):
        for image, row in zip("abcd", rows, strict=True):
            save(tmp_path / name / f"{image}.png", [row])
    return tmp_path


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_and_differences_by_hand(folders, capsys):
    out = folders / "out"
    run_compare([folders / "weak", folders / "good"], folders / "truth", out, QUIET)
    assert {path.name for path in out.iterdir()} == FILES
    told = json.loads((out / "summary.json").read_text())
    assert (told["methods"], told["first"], told["images"]) == (["weak", "good"], "weak", 4)
    good = told["regions"]["infection"]["dice"]["present"]["good"]
    assert (good["mean"], good["n"], good["best"]) == (pytest.approx(8 / 9), 3, True)
    # differences 0, 1/3, 2/3; t = sqrt(3) with 2 degrees of freedom: p = 1 - sqrt(3/5), the only test of the table
    assert good["difference"]["mean_difference"] == pytest.approx(1 / 3)
    assert good["difference"]["effect_size"] == pytest.approx(1)
    assert good["difference"]["t_p"] == good["difference"]["t_p_holm"] == pytest.approx(1 - 0.6**0.5)
    row = next(row for row in rows(out / "differences.csv") if row["region"] == "infection")
    assert (row["method"], row["less"], row["mean_difference"], row["pairs"]) == ("good", "weak", "0.333333", "3")
    assert float(row["wilcoxon_p_holm"]) == 0.5  # two differences, both positive: 2 / 2²
    cells = {(row["region"], row["method"]): row for row in rows(out / "table.csv")}
    assert (cells["infection", "weak"]["mean"], cells["infection", "weak"]["best"]) == ("0.555556", "0")
    assert cells["infection", "weak"]["t_p_holm"] == ""
    table = (out / "table.md").read_text()
    assert "| method | Dice ↑ (`present`, n = 3) |" in table
    assert "| good | **0.889** [" in table
    said = capsys.readouterr()
    assert "infection dice, present: good 0.889 (n = 3); +0.333 against weak, corrected p = 0.23" in said.out
    assert "note: No groups given" in said.err


def test_identical_methods_have_p_1_and_no_best(folders):
    out = folders / "out"
    run_compare([folders / "weak", Path(f"again={folders / 'weak'}")], folders / "truth", out, QUIET)
    again = json.loads((out / "summary.json").read_text())["regions"]["infection"]["dice"]["present"]["again"]
    assert (again["difference"]["t_p_holm"], again["difference"]["wilcoxon_p_holm"], again["best"]) == (1, 1, False)
    assert (again["difference"]["mean_difference"], again["difference"]["effect_size"]) == (0, 0)
    for path in out.iterdir():
        assert not re.search(r"\bnan\b", path.read_text(), re.IGNORECASE)
    page = (out / "page.html").read_text()
    assert "no method is ahead" in page
    assert "The methods have the same Dice of infection on every image." in page


def test_of_a_single_image_there_is_no_interval_and_it_says_so(folders, capsys):
    for name in ("truth", "weak", "good"):
        for image in "acd":
            (folders / name / f"{image}.png").unlink()
    run_compare([folders / "weak", folders / "good"], folders / "truth", folders / "out", QUIET)
    good = json.loads((folders / "out" / "summary.json").read_text())["regions"]["infection"]["dice"]["present"]["good"]
    assert good["ci_low"] is good["difference"]["t_p"] is good["difference"]["ci_low"] is None
    assert good["difference"]["mean_difference"] == pytest.approx(1 / 3)
    assert "| good | **1.000** |" in (folders / "out" / "table.md").read_text()
    said = capsys.readouterr().err
    assert "One group only: no interval." in said
    assert "One pair only: nothing to test." in said
    page = (folders / "out" / "page.html").read_text()
    assert "no limits of one" in page
    assert "One pair only: nothing to test." in page


def test_the_images_that_differ_most_come_first_and_are_drawn(folders):
    run_compare([folders / "weak", folders / "good"], folders / "truth", folders / "out", QUIET)
    page = (folders / "out" / "page.html").read_text()
    # apart by 1 (d, a false alarm), 2/3 (c), 1/3 (b), 0 (a)
    assert [page.index(f"<h3>{name}</h3>") for name in "dcb"] == sorted(
        page.index(f"<h3>{name}</h3>") for name in "dcb"
    )
    assert "<h3>a</h3>" not in page
    assert page.count("data:image/png;base64,") == 3 * 3
    assert 'aria-label="weak on d, 0.000: ground-glass opacity 25.0\N{NO-BREAK SPACE}%."' in page


def test_groups_make_the_pairs(folders):
    (folders / "groups.csv").write_text("image,patient\na,p\nb,p\nc,q\nd,q\n")
    options = Options(quiet=True, metrics=("dice",), groups=folders / "groups.csv")
    run_compare([folders / "weak", folders / "good"], folders / "truth", folders / "out", options)
    row = next(row for row in rows(folders / "out" / "differences.csv") if row["region"] == "infection")
    # patient p: (0 + 1/3) / 2, q: 2/3 (d has no infection)
    assert (row["pairs"], row["mean_difference"]) == ("2", f"{(1 / 6 + 2 / 3) / 2:.6g}")


def test_volumes_of_scans_are_in_millilitres(tmp_path):
    # voxels of 0.5 mL: 4 true, 4 and 2 found
    for name, second in (("truth", 3), ("one", 3), ("two", 0)):
        save(tmp_path / name / "scan.nii.gz", [[[2, 2], [0, 0]], [[second, second], [0, 0]]])
    run_compare([tmp_path / "one", tmp_path / "two"], tmp_path / "truth", tmp_path / "out", QUIET)
    page = (tmp_path / "out" / "page.html").read_text()
    assert "Infection, mL" in page
    assert "<b>one</b>: mean 0.00 mL" in page
    assert "<b>two</b>: mean \N{MINUS SIGN}1.00 mL" in page
    assert "<h3>scan#2</h3>" in page
    assert "<h3>scan#1</h3>" not in page
    assert 'aria-label="Truth of scan#2: consolidation 50.0' in page
    assert 'aria-label="two on scan#2, 0.000: no lesion."' in page
    row = next(row for row in rows(tmp_path / "out" / "differences.csv") if row["region"] == "infection")
    assert (row["pairs"], row["note"]) == ("1", "One pair only: nothing to test.")  # two slices of one scan


def test_maps_are_compared_and_drawn_above_the_threshold(folders):
    for name, value in (("low", 100), ("high", 255)):
        for image in "abcd":
            save(folders / name / f"{image}.png", [[value, value, 0, 0]])
    options = Options(
        kind="map", regions=("infection",), conventions=("curve", "present"), metrics=("dice",), quiet=True
    )
    run_compare([folders / "low", folders / "high"], folders / "truth", folders / "out", options)
    table = (folders / "out" / "table.md").read_text()
    assert "Dice ↑ (`curve+empty-zero`, n = 4) | Dice ↑ (`present`, n = 3)" in table
    page = (folders / "out" / "page.html").read_text()
    assert 'aria-label="high on a, 1.000: ground-glass opacity or consolidation 50.0' in page
    assert 'aria-label="low on a, 0.000: no lesion."' in page
    assert "overall" not in json.loads((folders / "out" / "summary.json").read_text())["regions"]


def test_a_note_is_told_once(folders, capsys):
    for name in ("truth", "weak", "good"):
        for number in range(10):
            save(folders / name / f"{number}.png", [[2, 2, 2, 2 if number else 0 if name == "weak" else 3]])
    options = Options(quiet=True, metrics=("dice", "hausdorff_95"))
    run_compare([folders / "weak", folders / "good"], folders / "truth", folders / "out", options)
    notes = [line.removeprefix("note: ") for line in capsys.readouterr().err.splitlines()]
    # enough images with ground glass, one with consolidation: the shorter note is part of the longer one
    assert [note for note in notes if "No groups given" in note] == [
        "No groups given: images count as independent; those of one patient are not. One group only: no interval."
    ]
    assert [note for note in notes if "no pixel size" in note] == [
        "Pictures have no pixel size: what is in mm is in pixels for them, and they have no volume."
    ]
    assert "Where n differs, means are of different images; differences are of those that both have." in notes
    table = (folders / "out" / "table.md").read_text()
    assert "Hausdorff distance, 95 %, pixels ↓ (`present`)" in table


def test_a_store_is_a_truth(tmp_path):
    store = open_store(make_store(tmp_path / "store"))
    for number in store.labelled[:4]:
        codes = np.select([store.label_set(number) == 4, store.label_set(number) == 8], [2, 3], 0)
        for method, shift in (("right", 0), ("shifted", number)):
            name = store.slices[number].id.replace("/", "_")
            save(tmp_path / method / f"{name}.png", np.roll(codes, shift, axis=1))
    run_compare([tmp_path / "right", tmp_path / "shifted"], tmp_path / "store", tmp_path / "out", QUIET)
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told["regions"]["infection"]["dice"]["present"]["right"]["mean"] == 1
    assert "<h3>toy_3</h3>" in (tmp_path / "out" / "page.html").read_text()
    next((tmp_path / "shifted").iterdir()).unlink()
    with pytest.raises(UsageError, match="was predicted by only one of right and shifted"):
        run_compare([tmp_path / "right", tmp_path / "shifted"], tmp_path / "store", tmp_path / "more", QUIET)


def test_what_has_no_partner_is_told_before_anything_is_scored(folders, monkeypatch):
    (folders / "good" / "c.png").unlink()
    monkeypatch.setattr("groundglass.cli.compare.score", lambda *_: pytest.fail("scored"))
    with pytest.raises(UsageError, match="no partner, the first is c"):
        run_compare([folders / "weak", folders / "good"], folders / "truth", folders / "out", QUIET)
    assert not (folders / "out").exists()


def test_methods_are_named_by_folder_or_by_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lr=0.1").mkdir()
    given = [Path("lr=0.1"), tmp_path / "b", Path(f"c={tmp_path / 'b'}"), Path("d=e=f"), tmp_path / "absent=x"]
    assert methods_of(given) == {
        "lr=0.1": Path("lr=0.1"),
        "b": tmp_path / "b",
        "c": tmp_path / "b",
        "d": Path("e=f"),
        "absent=x": tmp_path / "absent=x",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a/found", "b/found"], r"Two methods are called found\..*NAME=FOLDER"),
        (["x=a", "x=b"], "Two methods are called x"),
        (["a"], "1 folders of predictions"),
    ],
)
def test_what_cannot_be_compared(given, says):
    with pytest.raises(UsageError, match=says):
        methods_of([Path(text) for text in given])


def test_the_command_takes_the_truth_last(folders, run):
    ended = run("study", "compare", folders / "weak", folders / "good", folders / "truth", "-o", folders / "out", "-q")
    assert ended.code == 0, ended.err
    assert {path.name for path in (folders / "out").iterdir()} == FILES
    ended = run("study", "compare", folders / "weak", folders / "truth", "-o", folders / "other")
    assert ended.code == 2
    assert "2 folders to compare" in ended.error

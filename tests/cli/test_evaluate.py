import csv
import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass.store import open_store
from tests.toy_store import make_store

AFFINE = np.diag([1.0, 1, 1, 1])


def save_png(path, codes):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.array(codes, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Two pictures; the second has no ground glass."""
    save_png(tmp_path / "found" / "a.png", [[2, 2, 0, 0], [3, 0, 0, 0]])
    save_png(tmp_path / "true" / "a.png", [[2, 0, 0, 0], [3, 3, 0, 0]])
    save_png(tmp_path / "found" / "b.png", [[0, 0, 0, 0], [0, 0, 0, 2]])
    save_png(tmp_path / "true" / "b.png", [[0, 0, 0, 0], [0, 0, 0, 0]])
    return tmp_path / "found", tmp_path / "true"


def test_scores_and_conventions_by_hand(run, folders, tmp_path):
    ended = run("evaluate", *folders, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    # a: ground glass found 2, true 1, both 1: Dice 2/3; b: true 0
    dice = summary["ground_glass"]["dice"]
    assert (dice["present"]["mean"], dice["present"]["n"]) == (pytest.approx(2 / 3), 1)
    assert (dice["empty-zero"]["mean"], dice["empty-zero"]["n"]) == (pytest.approx(1 / 3), 2)
    assert dice["present"]["ci_low"] is None  # of one image there is no interval
    assert set(dice["present"]) == {"mean", "n", "sd", "ci_low", "ci_high", "note"}
    # infection in a: found 3, true 3, both 2
    assert summary["infection"]["iou"]["present"]["mean"] == pytest.approx(2 / 4)
    assert summary["consolidation"]["recall"]["present"]["mean"] == pytest.approx(1 / 2)
    assert summary["consolidation"]["precision"]["present"]["mean"] == pytest.approx(1)
    with (tmp_path / "out" / "scores.csv").open(newline="") as stream:
        rows = {(row["image"], row["region"], row["metric"]): row for row in csv.DictReader(stream)}
    assert rows["b", "infection", "dice"]["value"] == "0"
    assert rows["b", "infection", "recall"]["value"] == ""
    assert (rows["b", "infection", "dice"]["in_truth"], rows["b", "infection", "dice"]["in_prediction"]) == ("0", "1")
    others = "other conventions 0.333 (defined) to 0.667 (patient)"
    assert f"ground_glass dice: 0.667 (n = 1), present; {others}" in ended.out
    assert "| Ground-glass opacity | Dice | 0.667 | 0.333 |" in (tmp_path / "out" / "table.md").read_text()


def test_a_truth_without_lung_says_nothing_of_the_lung(run, folders, tmp_path):
    codes = "0=background|lung,2=ground-glass,3=consolidation"
    assert run("evaluate", *folders, "-o", tmp_path / "out", "--truth-codes", codes).code == 0
    assert set(json.loads((tmp_path / "out" / "summary.json").read_text())) == {
        "infection",
        "ground_glass",
        "consolidation",
        "overall",
    }


def test_infection_as_one_class_is_scored_as_infection_alone(run, folders, tmp_path):
    codes = "0=background|lung,2=ground_glass|consolidation,3=ground_glass|consolidation"
    assert run("evaluate", *folders, "-o", tmp_path / "out", "--truth-codes", codes).code == 0
    assert set(json.loads((tmp_path / "out" / "summary.json").read_text())) == {"infection"}


def test_volumes_are_compared_in_canonical_order(run, tmp_path):
    codes = np.random.default_rng(0).integers(0, 4, (4, 5, 6)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(codes, AFFINE), tmp_path / "a.nii.gz")
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = 3
    nibabel.save(nibabel.Nifti1Image(codes[::-1].copy(), AFFINE @ flip), tmp_path / "b.nii.gz")
    assert run("evaluate", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "-o", tmp_path / "out").code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["infection"]["dice"]["present"]["mean"] == 1


def test_what_cannot_be_compared(run, folders, tmp_path):
    found, true = folders
    save_png(found / "c.png", [[0]])
    assert "no partner, the first is c" in run("evaluate", found, true, "-o", tmp_path / "out").error
    save_png(true / "c.png", [[0, 0]])
    assert "the same grid" in run("evaluate", found, true, "-o", tmp_path / "out", "--no-resize").error
    save_png(true / "c.png", [[9]])
    assert "Label code 9" in run("evaluate", found, true, "-o", tmp_path / "out").error
    assert "no code's meaning" in run("evaluate", found, true, "-o", tmp_path / "out", "--truth-codes", "0=fog").error
    (true / "c.png").write_bytes(b"\x89PNG broken")
    assert run("evaluate", found, true, "-o", tmp_path / "out").code == 1
    assert run("evaluate", found, tmp_path / "absent", "-o", tmp_path / "out").code == 2
    (tmp_path / "empty").mkdir()
    assert run("evaluate", found, tmp_path / "empty", "-o", tmp_path / "out").code == 2
    save_png(true / "c.png", [[0]])
    (tmp_path / "groups.csv").write_text("image,group\na,p\nb,q\n")
    ended = run("evaluate", found, true, "-o", tmp_path / "out", "--groups", tmp_path / "groups.csv")
    assert "1 images have no group, the first is c" in ended.error
    (tmp_path / "groups.csv").write_text("image,group\na,p\na,q\n")
    ended = run("evaluate", found, true, "-o", tmp_path / "out", "--groups", tmp_path / "groups.csv")
    assert "no table of groups" in ended.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--convention", "presnt"), "Did you mean 'present'"),
        (
            ("--convention", "curve+pooled", "--prediction-kind", "map", "--region", "infection"),
            "a curve is of one image",
        ),
        (("--convention", "curve"), "--prediction-kind map"),
        (("--convention", "present+defined"), "no convention"),
        (("--metric", "dise"), "no metric 'dise'"),
        (("--metric", "roc_auc"), "--prediction-kind map"),
        (("--region", "liver"), "none that the codes tell"),
        (("--prediction-kind", "mask"), "labels or map"),
        (("--prediction-kind", "map"), "a map is of one region"),
        (("--prediction-kind", "map", "--region", "infection", "--threshold", "1"), "A threshold of 1"),
    ],
)
def test_what_cannot_be_asked(run, folders, tmp_path, words, says):
    ended = run("evaluate", *folders, "-o", tmp_path / "out", *words)
    assert ended.code == 2
    assert says in ended.error


def test_a_map_that_is_none(run, tmp_path):
    for name, values in (("found", np.full((1, 4, 4), np.nan)), ("true", np.zeros((1, 4, 4)))):
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(values.T.astype(np.float32), AFFINE), tmp_path / name / "a.nii.gz")
    words = ("--prediction-kind", "map", "--region", "infection")
    ended = run("evaluate", tmp_path / "found", tmp_path / "true", "-o", tmp_path / "out", *words)
    assert ended.code == 1
    assert "no probabilities" in ended.error


def test_predictions_of_another_size_are_resized_with_a_note(run, tmp_path):
    save_png(tmp_path / "found" / "a.png", np.kron([[2, 0], [0, 2]], np.ones((2, 2))))
    save_png(tmp_path / "true" / "a.png", [[2, 0], [0, 2]])
    ended = run("evaluate", tmp_path / "found", tmp_path / "true", "-o", tmp_path / "out")
    assert "infection dice: 1.000" in ended.out
    assert "resized to the truth's" in ended.err


def test_distances_and_volumes_in_space(run, tmp_path):
    # one voxel found 2 slices of 3 mm and 1 column of 2 mm away from the true one: sqrt(36 + 4) mm; 0.5 x 2 x 3 mm3
    affine = np.diag([-2.0, -0.5, 3.0, 1.0])
    for name, place in (("found", (3, 2, 4)), ("true", (1, 2, 3))):
        codes = np.zeros((5, 6, 7), np.uint8)
        codes[place] = 2
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(codes.T, affine), tmp_path / name / "a.nii.gz")
    words = (
        "--convention",
        "volume",
        "--metric",
        "hausdorff_95",
        "--metric",
        "volume_error",
        "--metric",
        "lesion_sensitivity",
    )
    ended = run(
        "evaluate", tmp_path / "found", tmp_path / "true", "-o", tmp_path / "out", *words, "--region", "infection"
    )
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["infection"]
    assert summary["hausdorff_95"]["volume"]["mean"] == pytest.approx(40**0.5)
    assert summary["hausdorff_95"]["present"]["mean"] is None  # its slice was missed: no distance
    assert summary["volume_error"]["volume"]["mean"] == 0
    assert summary["lesion_sensitivity"]["volume"]["mean"] == 0


def test_groups_make_the_interval(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = ["image,patient"]
    for number in range(24):
        truth = (rng.random((8, 8)) < 0.4) * 2
        found = np.where(rng.random((8, 8)) < 0.15 * (number % 6), 0, truth)
        save_png(tmp_path / "true" / f"{number}.png", truth)
        save_png(tmp_path / "found" / f"{number}.png", found)
        rows.append(f"{number},p{number % 6}")
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    means = []
    for words in ((), ("--groups", tmp_path / "groups.csv")):
        ended = run("evaluate", tmp_path / "found", tmp_path / "true", "-o", tmp_path / "out", *words)
        assert ("images count as independent" in ended.err) == (not words)
        means.append(json.loads((tmp_path / "out" / "summary.json").read_text())["infection"]["dice"]["present"])
    assert means[0]["mean"] == means[1]["mean"]
    wide = [mean["ci_high"] - mean["ci_low"] for mean in means]
    assert wide[1] > 1.2 * wide[0] > 0  # what differs is the patient


def test_a_store_is_a_truth_with_its_own_groups(run, tmp_path):
    store = open_store(make_store(tmp_path / "store"))
    for number in store.labelled[:6]:
        codes = np.select([store.label_set(number) == 4, store.label_set(number) == 8], [2, 3], 0)
        save_png(tmp_path / "found" / f"{store.slices[number].id.replace('/', '_')}.png", codes)
    ended = run("evaluate", tmp_path / "found", tmp_path / "store", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary) == {"infection", "ground_glass", "consolidation", "overall"}
    assert summary["ground_glass"]["dice"]["present"]["mean"] == 1
    with (tmp_path / "out" / "scores.csv").open(newline="") as stream:
        assert {row["group"] for row in csv.DictReader(stream)} == {f"g{number}" for number in range(5)}
    (tmp_path / "groups.csv").write_text("image,patient\ntoy_0,p")
    ended = run(
        "evaluate", tmp_path / "found", tmp_path / "store", "-o", tmp_path / "out", "--groups", tmp_path / "groups.csv"
    )
    assert ended.code == 2
    assert "5 images have no group, the first is toy_1" in ended.error
    save_png(tmp_path / "found" / "toy_99.png", codes)
    ended = run("evaluate", tmp_path / "found", tmp_path / "store", "-o", tmp_path / "out")
    assert ended.code == 2
    assert "of no labelled slice of the store, the first is toy_99" in ended.error


def blocks(page):
    """The fenced tables of a page: rows of cells, which are two blanks apart."""
    fenced = page.split("```")[1::2]
    return [[re.split(r" {2,}", line) for line in block.strip().splitlines()[1:]] for block in fenced]


def told(page, heading):
    """convention -> number, of the table under a heading of columns."""
    table = page[page.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return {cells[1].strip(" `"): cells[3].strip() for cells in (line.split("|") for line in table)}


def numbers(text):
    return np.array([int(part) for part in text.split()], np.uint8)


def test_the_page_of_conventions_says_what_the_command_says(run, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()
    scans, pictures = blocks(page)
    by_scan = {}
    for scan, _, truth, found, group in scans:
        by_scan.setdefault((scan, group), []).append((numbers(truth), numbers(found)))
    for (scan, _), slices in by_scan.items():
        for side, name in enumerate(("true", "found")):
            (tmp_path / name).mkdir(exist_ok=True)
            codes = np.stack([pair[side] for pair in slices])[:, None]
            nibabel.save(nibabel.Nifti1Image(codes.T, AFFINE), tmp_path / name / f"{scan}.nii.gz")
    table = ["scan,group", *(f"{scan},{group}" for scan, group in by_scan)]
    (tmp_path / "groups.csv").write_text("\n".join(table))
    codes = "0=background|lung,2=ground_glass,3=consolidation"
    words = [
        "--prediction-codes",
        codes,
        "--truth-codes",
        codes,
        "--groups",
        tmp_path / "groups.csv",
        "--metric",
        "dice",
    ]
    expected = told(page, "convention | by hand | Dice"), told(page, "convention | by hand | overall Dice")
    for name in (*expected[0], *expected[1]):
        words += ["--convention", name]
    assert run("evaluate", tmp_path / "found", tmp_path / "true", "-o", tmp_path / "out", *words).code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for region, means in zip(("ground_glass", "overall"), expected, strict=True):
        assert {name: f"{summary[region]['dice'][name]['mean']:.3f}" for name in means} == means
    assert len(expected[0]) == 7
    for name, truth, values in pictures:
        save_png(tmp_path / "true maps" / f"{name}.png", [2 * numbers(truth)])
        save_png(tmp_path / "maps" / f"{name}.png", [numbers(values)])
    means = told(page[page.index("## Maps") :], "convention | by hand | Dice")
    words = ["--prediction-kind", "map", "--region", "infection", "--metric", "dice"]
    for name in means:
        words += ["--convention", name]
    assert run("evaluate", tmp_path / "maps", tmp_path / "true maps", "-o", tmp_path / "out", *words).code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["infection"]["dice"]
    names = {"curve": "curve+empty-zero", "adaptive": "adaptive+empty-zero"}
    assert {name: f"{summary[names.get(name, name)]['mean']:.3f}" for name in means} == means


@pytest.mark.parametrize(("metric", "noted"), [("surface_dice", True), ("hausdorff_95", True), ("dice", False)])
def test_pictures_are_said_to_have_no_size_where_it_matters(run, tmp_path, metric, noted):
    save_png(tmp_path / "found" / "a.png", np.eye(8) * 2)
    ended = run("evaluate", tmp_path / "found", tmp_path / "found", "-o", tmp_path / "out", "--metric", metric)
    assert ended.code == 0, ended.err
    assert ("is in pixels for them" in ended.err + ended.out) == noted

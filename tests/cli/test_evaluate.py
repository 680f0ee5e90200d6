import csv
import json

import nibabel
import numpy as np
import pytest
from PIL import Image

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
    assert summary["ground_glass"]["dice"]["present"] == {"mean": pytest.approx(2 / 3), "n": 1}
    assert summary["ground_glass"]["dice"]["empty-zero"] == {"mean": pytest.approx(1 / 3), "n": 2}
    # infection in a: found 3, true 3, both 2
    assert summary["infection"]["iou"]["present"]["mean"] == pytest.approx(2 / 4)
    assert summary["consolidation"]["recall"]["present"]["mean"] == pytest.approx(1 / 2)
    assert summary["consolidation"]["precision"]["present"]["mean"] == pytest.approx(1)
    with (tmp_path / "out" / "scores.csv").open(newline="") as stream:
        rows = {(row["name"], row["region"]): row for row in csv.DictReader(stream)}
    assert rows["b", "infection"]["dice"] == "0.0"
    assert rows["b", "infection"]["recall"] == ""


def test_a_truth_without_lung_says_nothing_of_the_lung(run, folders, tmp_path):
    codes = "0=background|lung,2=ground-glass,3=consolidation"
    assert run("evaluate", *folders, "-o", tmp_path / "out", "--truth-codes", codes).code == 0
    assert set(json.loads((tmp_path / "out" / "summary.json").read_text())) == {
        "infection",
        "ground_glass",
        "consolidation",
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
    assert "the same grid" in run("evaluate", found, true, "-o", tmp_path / "out").error
    save_png(true / "c.png", [[9]])
    assert "Label code 9" in run("evaluate", found, true, "-o", tmp_path / "out").error
    assert "no code's meaning" in run("evaluate", found, true, "-o", tmp_path / "out", "--truth-codes", "0=fog").error
    (true / "c.png").write_bytes(b"\x89PNG broken")
    assert run("evaluate", found, true, "-o", tmp_path / "out").code == 1
    assert run("evaluate", found, tmp_path / "absent", "-o", tmp_path / "out").code == 2
    (tmp_path / "empty").mkdir()
    assert run("evaluate", found, tmp_path / "empty", "-o", tmp_path / "out").code == 2
    assert not (tmp_path / "out").exists()

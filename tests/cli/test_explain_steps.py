import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import FILES, label_map


def test_segment_by_kmeans_writes_what_segment_writes(run, dicom, tmp_path):
    ended = run("segment", dicom, "-o", tmp_path / "out", "--model", "kmeans")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert set(np.unique(label_map(tmp_path / "out"))) == {0, 1, 2}
    assert "kmeans" in (tmp_path / "out" / "page.html").read_text()
    ended = run("segment", dicom, "-o", tmp_path / "two", "--model", "kmeans", "--probabilities")
    assert ended.code == 2
    assert "kmeans has no probabilities" in ended.error
    assert "threshold, kmeans, or a checkpoint" in run("segment", dicom, "-o", tmp_path / "two", "--model", "k").error


@pytest.mark.parametrize(("more", "first", "last"), [([], "lung", "7"), (["--as-published"], "threshold", "8")])
def test_each_step_is_a_picture_and_all_are_on_the_page(run, dicom, tmp_path, more, first, last):
    ended = run("explain", "steps", dicom, "-o", tmp_path / "out", *more)
    assert ended.code == 0, ended.err
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert pictures[1].name == f"02_{first}.png"
    assert pictures[-1].name == f"0{last}_ground_glass.png"
    with Image.open(pictures[0]) as first_one, Image.open(pictures[-1]) as last_one:
        assert first_one.size == (160, 128)
        assert set(np.unique(np.array(last_one))) == {0, 255}
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<img") == len(pictures)
    assert "Content-Security-Policy" in page
    assert "<script" not in page
    assert str(tmp_path) not in page + ended.out.replace(str(tmp_path / "out"), "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"page.html", *(path.name for path in pictures)}


def test_a_slice_is_counted_from_the_feet_from_1(run, dicom, tmp_path):
    ended = run("explain", "steps", dicom, "-o", tmp_path / "out", "--slice", "48")
    assert ended.code == 0, ended.err
    assert "slice 48 of 48" in (tmp_path / "out" / "page.html").read_text()
    ended = run("explain", "steps", dicom, "-o", tmp_path / "two", "--slice", "49")
    assert ended.code == 2
    assert "no slice 49. Expected 1 to 48" in ended.error
    assert not (tmp_path / "two").exists()


def test_a_scan_that_is_not_there(run, tmp_path):
    assert run("explain", "steps", tmp_path / "no", "-o", tmp_path / "out").code == 2

import pytest
from PIL import Image

from groundglass.cli import demo
from tests.cli.conftest import FILES


def test_the_demo_ends_with_the_path_of_a_page_with_the_truth_on_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SHAPE", (32, 128, 128))
    ended = run("demo", "-o", tmp_path / "out")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"The page: {tmp_path / 'out' / 'page.html'}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"overview.png", "phantom-dicom"}
    assert len(list((tmp_path / "out" / "phantom-dicom").glob("*.dcm"))) == 32
    page = (tmp_path / "out" / "page.html").read_text()
    assert "Against the truth" in page
    with Image.open(tmp_path / "out" / "overview.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize("seed", ["-1", "x"])
def test_an_impossible_seed(run, tmp_path, seed):
    assert run("demo", "-o", tmp_path / "out", "--seed", seed).code == 2

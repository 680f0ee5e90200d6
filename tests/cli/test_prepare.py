import numpy as np
import pytest

from groundglass.store import open_store
from tests.datasets.archives import semiseg


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return semiseg(tmp_path_factory.mktemp("semiseg"))


def test_a_publishers_folder_becomes_a_store(run, root, tmp_path):
    ended = run("prepare", "covid-semiseg", root, "-o", tmp_path / "store", "--size", "64", "--fit", "stretch")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "8 slices: 3 labelled, of 2 groups; 5 unlabelled.")
    store = open_store(tmp_path / "store")
    assert store.prepared(0).shape == (64, 64)
    assert (store.preparation.fit, store.preparation.intensity) == ("stretch", "calibrated")


def test_a_second_run_takes_over_what_is_there(run, root, tmp_path):
    run("prepare", "covid_semiseg", root, "-o", tmp_path / "store")
    ended = run("prepare", "covid_semiseg", root, "-o", tmp_path / "store")
    assert "8 slices (4 cases were there already)" in ended.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("covid_semisegg", "{root}"), 2, "Did you mean 'covid_semiseg'?"),
        (("covid_semiseg", "{root}/absent"), 2, "nothing at absent"),
        (("covid_semiseg", "{root}/TrainingSet"), 1, "give the folder that holds TrainingSet"),
        (("covid_semiseg", "{root}", "--fit", "crop"), 2, "no fit of that name"),
        (("covid_semiseg", "{root}", "--orientation", "sideways"), 2, "no orientation of that name"),
        (("covid_semiseg", "{root}", "--orientation", "transpose"), 2, "knows how its images lie"),
        (("covid_ct_md", "{root}"), 1, "holds no DICOM files"),
        (("folder", "{root}"), 1, "nothing in images"),
    ],
)
def test_what_cannot_be_is_one_line(run, root, tmp_path, words, code, told):
    ended = run("prepare", *(word.format(root=root) for word in words), "-o", tmp_path / "store")
    assert ended.code == code
    assert told in ended.error
    assert not (tmp_path / "store" / "index.csv").exists()


def test_an_own_folder_without_any_label(run, tmp_path):
    from PIL import Image

    (tmp_path / "own" / "images").mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)).save(
        tmp_path / "own/images/Anna.png"
    )
    ended = run("prepare", "folder", tmp_path / "own", "-o", tmp_path / "store")
    assert ended.code == 0, ended.err
    assert "1 slices: 0 labelled" in ended.out
    assert b"Anna" not in b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())

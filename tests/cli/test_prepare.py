import resource
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from groundglass.store import open_store
from groundglass.store.writer import INDEX, read_manifest
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


def test_whole_slices_in_a_window_of_ones_own(run, root, tmp_path):
    words = "prepare", "covid_semiseg", root, "-o", tmp_path / "store", "--size", "64"
    ended = run(*words, "--window=-1000,100", "--crop", "none")
    assert ended.code == 0, ended.err
    store = open_store(tmp_path / "store")
    assert (store.preparation.window_hu, store.preparation.crop) == ((-1000, 100), "none")
    assert all(info.box == (0, 0, info.height, info.width) for info in store.slices)


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
        (("covid_semiseg", "{root}", "--crop", "body"), 2, "no crop of that name"),
        (("covid_semiseg", "{root}", "--window", "lung"), 2, "The window is not two numbers"),
        (("covid_semiseg", "{root}", "--window", "100,-1000"), 2, "black below white"),
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
    (tmp_path / "own" / "images").mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)).save(
        tmp_path / "own/images/Anna.png"
    )
    ended = run("prepare", "folder", tmp_path / "own", "-o", tmp_path / "store")
    assert ended.code == 0, ended.err
    assert "1 slices: 0 labelled" in ended.out
    assert b"Anna" not in b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())


def own_folder(root, labels, table='[codes]\n0 = ["background", "lung"]\n1 = "infection"\n'):
    """Two pictures, the second with labels."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for number in (1, 2):
        grey = np.random.default_rng(number).integers(0, 255, (40, 50), np.uint8)
        Image.fromarray(grey).save(root / "images" / f"{number}.png")
    Image.fromarray(np.asarray(labels, np.uint8)).save(root / "labels" / "2.png")
    (root / "labels.toml").write_text(table)
    return root


@pytest.mark.parametrize(
    ("labels", "table", "told"),
    [
        (np.zeros((41, 50)), None, "50 x 40 pixels and its labels 50 x 41"),
        (np.full((40, 50), 7), None, "Label code 7"),
        (np.zeros((40, 50)), "[codes]\n0 = []\n", "no tissue at all"),
        (np.zeros((40, 50)), "[codes]\n0 = 'lunge'\n", "'lunge' is no tissue"),
    ],
)
def test_labels_that_cannot_be_are_one_line_and_no_store(run, tmp_path, labels, table, told):
    root = own_folder(tmp_path / "own", labels, *([] if table is None else [table]))
    ended = run("prepare", "folder", root, "-o", tmp_path / "store")
    assert ended.code == 1
    assert told in ended.error
    assert str(tmp_path) not in ended.err
    assert not (tmp_path / "store" / INDEX).exists()
    ended = run("train", tmp_path / "absent.toml", "-o", tmp_path / "run", "--store", tmp_path / "store")
    assert ended.code == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_full_disk_leaves_a_store_that_knows_it_is_half_and_the_next_run_finishes_it(run, start, root, tmp_path):
    words = "prepare", "covid_semiseg", root, "-o", tmp_path / "store"
    process = start(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = [line for line in err.splitlines() if line.startswith("groundglass: ")]
    assert "could not be written" in line
    assert "Traceback" not in err
    assert read_manifest(tmp_path / "store")["complete"] is False
    assert not (tmp_path / "store" / INDEX).exists()
    assert [path.name for path in (tmp_path / "store" / "cases").iterdir()] == ["zarr.json"]  # nothing half-written
    assert run(*words).code == 0
    shutil.copytree(tmp_path / "store", tmp_path / "first")
    assert run("prepare", "covid_semiseg", root, "-o", tmp_path / "whole").code == 0
    assert open_store(tmp_path / "first").content == open_store(tmp_path / "whole").content


def test_phantoms_are_drawn_and_lie_in_no_folder(run, tmp_path):
    words = "prepare", "phantom", "--size", "32", "-q", "-o"
    for patients in ("2", "3"):
        ended = run(*words, tmp_path / patients, "--patients", patients)
        assert ended.code == 0, ended.err
        assert f"of {patients} groups" in ended.out
    two, three = (open_store(tmp_path / patients) for patients in ("2", "3"))
    assert two.dataset == "phantom"
    shown = {info.id: three.number(info.id) for info in two.slices}  # the first are the same
    assert all(np.array_equal(two.prepared(two.number(name)), three.prepared(n)) for name, n in shown.items())
    assert "A folder of phantoms" in run("prepare", "phantom", tmp_path, "-o", tmp_path / "x").error
    assert "The folder of the data was not said" in run("prepare", "covid_semiseg", "-o", tmp_path / "x").error
    assert not (tmp_path / "x").exists()

"""Several processes make the same store as one."""

import pickle
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from groundglass.datasets import _workers, covid_semiseg
from groundglass.datasets._case import Case, Cases
from groundglass.datasets._preparing import prepare_into
from groundglass.errors import GroundglassError, LabelError, ReadError
from groundglass.preprocess.preparation import Preparation
from groundglass.store import open_store
from tests.datasets.archives import semiseg

PREPARATION = Preparation(size=(48, 64), intensity="calibrated")


def make(root, path, workers):
    read = partial(covid_semiseg.read, root)
    return prepare_into(path, "covid_semiseg", read(), PREPARATION, key=b"key", workers=workers, read=read)


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return semiseg(tmp_path_factory.mktemp("semiseg"))


@pytest.fixture(scope="module")
def alone(root, tmp_path_factory):
    """The store that one process makes."""
    path = tmp_path_factory.mktemp("stores") / "store"
    make(root, path, 1)
    return bytes_of(path)


def test_two_processes_write_the_same_bytes_and_keep_what_is_there(root, alone, tmp_path):
    assert make(root, tmp_path / "store", 2).reused == 0
    assert bytes_of(tmp_path / "store") == alone
    assert make(root, tmp_path / "store", 1).reused == 4


def test_an_error_passes_between_processes(tmp_path, monkeypatch):
    """As it does in a process, but for the process."""
    broken = semiseg(tmp_path / "semiseg")
    (broken / "TrainingSet/LungInfection-Train/Doctor-label/GT/3.png").write_bytes(
        (broken / "TrainingSet/LungInfection-Train/Doctor-label/GT/0.png").read_bytes()
    )
    for name, value in (("read", partial(covid_semiseg.read, broken)), ("count", 4), ("job", None), ("cases", None)):
        monkeypatch.setattr(_workers._Worker, name, value, raising=False)
    with pytest.raises(LabelError) as caught:
        _workers._work(0)
    passed = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert type(passed) is LabelError
    assert "infection mask of slice 3 is not where its classes are" in str(passed)
    assert str(passed) == str(caught.value)
    monkeypatch.setattr(_workers._Worker, "cases", None)
    monkeypatch.setattr(_workers._Worker, "count", 5)
    with pytest.raises(ReadError, match="changed while it was prepared"):
        _workers._work(0)


def killed(*_):
    import os

    os.kill(os.getpid(), signal.SIGKILL)


def cases_that_kill():
    return Cases((killed, killed))


def test_a_process_that_is_killed_is_told_of(tmp_path):
    with pytest.raises(GroundglassError, match=r"ended from outside.*Take fewer workers"):
        prepare_into(tmp_path / "s", "x", cases_that_kill(), PREPARATION, key=b"", workers=2, read=cases_that_kill)


def test_a_run_that_was_killed_leaves_no_process_and_is_taken_up(root, alone, tmp_path):
    """The processes hold the pipe of the run's output: it ends when the last of them has ended."""
    words = ["prepare", "covid_semiseg", root, "-o", tmp_path / "store", "--size", "48", "-q", "--workers"]
    run = [sys.executable, "-m", "groundglass", *map(str, words)]
    process = subprocess.Popen([*run, "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "store" / "manifest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert subprocess.run([*run, "1"], capture_output=True).returncode == 0
    assert len(open_store(tmp_path / "store")) == 8


def test_a_case_that_is_there_twice_is_prepared_once(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    twice = Cases(tuple(partial(Case, "a", (picture,), None, (group,), cropped=True) for group in ("p", "q")))
    made = prepare_into(tmp_path / "store", "x", twice, PREPARATION, key=b"")
    assert (made.slices, [info.group for info in open_store(tmp_path / "store").slices]) == (1, ["p"])
    assert [notice.text for notice in made.notices] == ["a is there twice; the second is left out."]
    assert not list((tmp_path / "store" / "cases").glob(".partial*"))

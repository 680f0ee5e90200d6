import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from groundglass.cli.main import main
from groundglass.io import write_series
from tests.thorax import draw, ellipsoid

FILES = {
    "labels.json",
    "labels.nii.gz",
    "measurements.csv",
    "measurements.json",
    "page.html",
    "provenance.json",
    "slices.csv",
}


@pytest.fixture(scope="session")
def patient():
    """A scan with haze in the right lung and a solid lesion in the left."""
    return draw(
        haze=(ellipsoid((0, 35, -60), (24, 20, 24)), -600),
        solid=(ellipsoid((0, 10, 70), (16, 14, 14)), 0),
        noise_hu=20,
    )


@pytest.fixture(scope="session")
def dicom(patient, tmp_path_factory):
    """The patient as a DICOM series."""
    folder = tmp_path_factory.mktemp("scans") / "dicom"
    write_series(patient, folder)
    return folder


@pytest.fixture(autouse=True)
def _no_default(monkeypatch):
    """Unless a test says otherwise it segments by the model that needs no training, whatever the package holds."""
    monkeypatch.setattr("groundglass.cli.segment.default_model", lambda: None)


class Ended:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def error(self):
        """The one line of the error; what is told of phases and notes is not part of it."""
        lines = [line for line in self.err.splitlines() if line.startswith("groundglass: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["groundglass", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@pytest.fixture
def start():
    """Start the command in a process of its own."""
    started = []

    def call(*words, **more):
        if words[0] == "segment" and "--model" not in words:
            words = (*words, "--model", "threshold")  # see `_no_default`
        process = subprocess.Popen(
            [sys.executable, "-m", "groundglass", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            **more,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def label_map(folder: Path) -> np.ndarray:
    """The label map in a folder of results, in canonical order."""
    import nibabel

    image = nibabel.load(folder / "labels.nii.gz")
    ornt = nibabel.orientations
    turned = ornt.apply_orientation(
        np.asarray(image.dataobj),
        ornt.ornt_transform(ornt.io_orientation(image.affine), ornt.axcodes2ornt(("L", "P", "S"))),
    )
    return turned.T

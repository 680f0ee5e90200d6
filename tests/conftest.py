"""What tests of several folders share."""

import os

# before numpy is imported: with many threads on few cores the small matrix products of tests take three times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real CT, which is not part of this repository."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("GROUNDGLASS_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real CT here: set GROUNDGLASS_DATA to its folder")
    return folder


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key for case names is made in a folder of the tests, never in the settings of who runs them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "settings"))

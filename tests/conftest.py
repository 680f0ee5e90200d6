"""What tests of several folders share."""

from __future__ import annotations

import os
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

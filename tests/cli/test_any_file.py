"""Every file that pydicom and nibabel ship as test data, through the command."""

from pathlib import Path

import nibabel
import pydicom
import pytest

FOLDERS = [
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(pydicom.__file__).parent / "data" / "charset_files",
    Path(nibabel.__file__).parent / "tests" / "data",
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parts[-2] + "-" + folder.name)
def test_every_file_ends_with_a_result_or_one_line(run, tmp_path, folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 10
    for number, file in enumerate(files):
        out = tmp_path / str(number)
        ended = run("segment", file, "-o", out, "--quiet", "--window=-1350,150")
        assert ended.code in {0, 1, 2}, file.name
        if ended.code:
            assert "fault in groundglass" not in ended.error, file.name
        assert out.exists() == (ended.code == 0), file.name

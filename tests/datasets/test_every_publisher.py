import sys

import pytest

from groundglass.cli.main import main
from groundglass.datasets._case import Asked
from groundglass.errors import ReadError, UsageError
from groundglass.lookup import find_module
from groundglass.store import open_store
from tests.datasets.fake_publishers import ALL, medseg_arrays

FORMS = {
    **{name: (name, build) for name, build in ALL.items()},
    "medseg as arrays": ("medseg", medseg_arrays),
    "radiopaedia9 as arrays": ("radiopaedia9", lambda root: medseg_arrays(root, "radiopedia")),
}
# slices in the store, of them labelled, groups of these
EXPECTED = {
    "medseg": (4, 4, 3),
    "radiopaedia9": (8, 8, 2),
    "covid19_ct_seg": (16, 16, 3),
    "mosmed": (12, 4, 1),
    "ictcf": (7, 0, 0),
    "cc_ccii": (8, 1, 1),
    "medseg as arrays": (4, 4, 4),
    "radiopaedia9 as arrays": (4, 4, 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_publishers_layout_becomes_a_store(form, tmp_path, monkeypatch, capsys):
    name, build = FORMS[form]
    words = ["prepare", name.replace("_", "-"), build(tmp_path / "root"), "-o", tmp_path / "store", "--size", "32"]
    monkeypatch.setattr(sys, "argv", ["groundglass", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert not ended.value.code, told.err
    slices, labelled, groups = EXPECTED[form]
    assert told.out.startswith(
        f"{slices} slices: {labelled} labelled, of {groups} groups; {slices - labelled} unlabelled"
    )
    assert len(open_store(tmp_path / "store").slices) == slices


@pytest.mark.parametrize("name", ALL)
def test_an_orientation_is_not_asked_of_what_is_known(name, tmp_path):
    root = ALL[name](tmp_path / "root")
    with pytest.raises(UsageError, match="knows how its images lie"):
        find_module("groundglass.datasets", name).read(root, Asked(orientation="transpose"))


@pytest.mark.parametrize("name", ALL)
def test_another_folder_is_refused_in_one_line(name, tmp_path):
    reader = find_module("groundglass.datasets", name)
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(ReadError, match=r"holds no|holds neither") as caught:
        reader.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(UsageError, match="nothing at"):
        reader.read(tmp_path / "absent")


@pytest.mark.parametrize("name", ALL)
def test_a_truncated_file_is_met_at_its_turn_and_told_in_one_line(name, tmp_path):
    root = ALL[name](tmp_path / "root")
    for path in root.rglob("*"):
        if path.suffix in (".gz", ".jpg"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cases = find_module("groundglass.datasets", name).read(root)
    with pytest.raises(ReadError, match="truncated") as caught:
        list(cases)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)

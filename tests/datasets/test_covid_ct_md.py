import numpy as np
import pytest

from groundglass.datasets import covid_ct_md
from groundglass.datasets._case import Asked
from groundglass.errors import LabelError, ReadError, UsageError
from tests.datasets.archives import ct_md


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ct_md(tmp_path_factory.mktemp("ct_md"))


def test_each_folder_of_dicom_is_an_unlabelled_case(root):
    first, second = covid_ct_md.read(root)
    assert (first.name, second.name) == ("P001", "normal001")
    assert first.images.hu.shape == (48, 128, 160)
    assert first.labels is None
    assert set(first.groups) == {"P001"}


def test_slice_labels_are_tags_and_no_more(root):
    first, _ = covid_ct_md.read(root)
    assert [tags["infected"] for tags in first.tags] == ["0"] * 24 + ["1"] * 24


def test_a_table_of_another_length_is_refused(root, tmp_path):
    copy = ct_md(tmp_path)
    lines = (copy / "slice_labels.csv").read_text().splitlines()
    (copy / "slice_labels.csv").write_text("\n".join(lines[:-1]))
    _, loader = covid_ct_md.read(copy).loaders
    with pytest.raises(LabelError, match="48 slices, and slice_labels"):
        loader()
    (copy / "slice_labels.csv").write_text("case,k,infected\nP001,1,maybe\n")
    with pytest.raises(ReadError, match="no table of slices"):
        covid_ct_md.read(copy)


def test_a_folder_without_dicom_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no DICOM files"):
        covid_ct_md.read(tmp_path)
    with pytest.raises(UsageError, match="nothing at"):
        covid_ct_md.read(tmp_path / "absent")


def test_an_orientation_is_not_asked_of_it(root):
    with pytest.raises(UsageError, match="knows how its images lie"):
        covid_ct_md.read(root, Asked(orientation="transpose"))


@pytest.mark.real
def test_the_real_patients(data):
    cases = {case.name: case for case in covid_ct_md.read(data / "covid_ct_md")}
    infected = {name: np.sum([tags["infected"] == "1" for tags in case.tags]) for name, case in cases.items()}
    assert {name: len(case) for name, case in cases.items()} == {"P002": 133, "normal002": 167}
    assert infected == {"P002": 68, "normal002": 0}

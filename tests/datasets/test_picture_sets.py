import numpy as np
import pytest
from PIL import Image

from groundglass.datasets import cc_ccii, ictcf
from groundglass.errors import LabelError, ReadError
from tests.datasets import fake_publishers as fake


@pytest.fixture
def patients(tmp_path):
    return fake.ictcf(tmp_path)


@pytest.fixture
def scans(tmp_path):
    return fake.cc_ccii(tmp_path)


def test_two_names_of_one_patient_are_one_group(patients):
    first, second, third = ictcf.read(patients)
    assert (first.name, second.name, third.name) == ("patient-0002", "patient-0010", "patient-0010-2")
    assert {*second.groups, *third.groups} == {"patient-0010"}


def test_pictures_are_unlabelled_and_in_the_order_of_their_numbers(patients):
    first, second, third = ictcf.read(patients)
    assert [case.labels for case in (first, second, third)] == [None] * 3
    # IMG-0001-00001 is no number, so these count; 0, 9 and 10 are places of their own
    assert (first.positions, second.positions, third.positions) == ((1, 2, 3, 4), (0,), (9, 10))
    assert first.slices == ("0001", "0002", "0003", "0004")


def test_words_of_the_clinical_table_are_tags_and_age_and_sex_are_not(patients):
    first, second, _ = ictcf.read(patients)
    assert first.tags[0] == {"covid": "positive", "morbidity": "critically-ill", "mortality": "cured"}
    assert second.tags[0] == {}


def test_without_a_table_there_are_no_tags(patients):
    (patients / "data.csv").unlink()
    assert next(iter(ictcf.read(patients))).tags[0] == {}


def test_a_table_without_patients_is_refused(patients):
    (patients / "data.csv").write_text("name,age\nX,1\n")
    with pytest.raises(ReadError, match=r"data.csv is no table .* columns patient"):
        ictcf.read(patients)


def test_outlined_slices_tell_four_tissues_apart_and_others_are_unlabelled(scans):
    outlined = next(iter(cc_ccii.read(scans)))
    assert (outlined.name, outlined.slices, outlined.positions) == ("outlined-000", ("0084", "0085"), (84, 85))
    np.testing.assert_array_equal(outlined.labels[0], fake.true_sets()[1])
    assert outlined.labels[1] is None


def test_scans_of_one_patient_are_one_group_and_know_their_diagnosis(scans):
    cases = {case.name: case for case in cc_ccii.read(scans)}
    assert list(cases)[1:] == ["NCP-328-1805", "NCP-328-1806", "Normal-1999-900"]
    assert cases["NCP-328-1805"].groups == cases["NCP-328-1806"].groups == ("patient-328",) * 2
    assert cases["Normal-1999-900"].tags[0] == {"diagnosis": "Normal"}
    assert [dict(tags) for tags in cases["NCP-328-1805"].tags] == [
        {"diagnosis": "NCP"},
        {"diagnosis": "NCP", "lesion": "1"},
    ]


def test_what_the_index_says_otherwise_and_who_may_be_there_twice_is_told(scans):
    told = [notice.text for notice in cc_ccii.read(scans).notices]
    assert told[0] == "1 of 3 scans hold another number of pictures than unzip_filenames.csv says."
    assert "of NCP patients that nobody names" in told[1]


def test_either_part_alone_is_a_set(scans, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone")
    for folder in ("image", "mask"):
        (scans / folder).rename(alone / folder)
    assert [case.name for case in cc_ccii.read(alone)] == ["outlined-000"]
    assert len(cc_ccii.read(scans)) == 3


def image_missing(root):
    (root / "image/0/84.jpg").unlink()


def unknown_code(root):
    Image.fromarray(np.full((64, 80), 4, np.uint8)).save(root / "mask/0/84.png")


def another_shape(root):
    Image.fromarray(np.zeros((64, 70), np.uint8)).save(root / "mask/0/84.png")


def in_colour(root):
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(root / "mask/0/84.png")


def no_index(root):
    (root / "unzip_filenames.csv").write_text("a,b\n1,2\n")


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (image_missing, ReadError, "mask/0/84.png has a mask and no image"),
        (unknown_code, LabelError, "mask/0/84.png: Label code 4 is not in the table"),
        (another_shape, LabelError, "Slice 0084 has 80 x 64 pixels and its labels 70 x 64"),
        (in_colour, LabelError, "has colours"),
        (no_index, ReadError, "unzip_filenames.csv is no table"),
    ],
)
def test_what_is_not_as_published_is_told_in_one_line(scans, harm, kind, told):
    harm(scans)
    with pytest.raises(kind, match=told) as caught:
        list(cc_ccii.read(scans))
    assert "\n" not in str(caught.value)
    assert str(scans) not in str(caught.value)

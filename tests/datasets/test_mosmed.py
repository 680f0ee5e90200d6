import numpy as np
import pytest

from groundglass.datasets import mosmed
from groundglass.errors import LabelError, ReadError
from tests.datasets import fake_publishers as fake

MASK = "masks/study_0255_mask.nii.gz"


@pytest.fixture
def root(tmp_path):
    return fake.mosmed(tmp_path)


def test_studies_are_patients_with_a_grade_and_most_have_no_mask(root):
    healthy, labelled, severe = mosmed.read(root)
    assert (healthy.name, labelled.name, severe.name) == ("study-0001", "study-0255", "study-1110")
    assert [case.labels is None for case in (healthy, labelled, severe)] == [True, False, True]
    assert [dict(case.tags[0]) for case in (healthy, severe)] == [{"severity": "CT-0"}, {"severity": "CT-4"}]
    assert set(labelled.groups) == {"study-0255"}


def test_infection_is_one_set_and_the_rest_may_be_lung(root):
    labelled = list(mosmed.read(root))[1]
    np.testing.assert_array_equal(np.stack(labelled.labels), np.where(fake.lesions() > 0, 12, 3))
    np.testing.assert_array_equal(labelled.images.hu, fake.hounsfield())


def test_a_mask_lies_on_its_study_by_the_array_and_not_by_its_own_header(root):
    fake.save(root / MASK, (fake.lesions() > 0).astype(np.uint8), array="LAS", header="RPI")
    labelled = list(mosmed.read(root))[1]
    np.testing.assert_array_equal(np.stack(labelled.labels), np.where(fake.lesions() > 0, 12, 3))


def study_missing(root):
    (root / "studies/CT-1/study_0255.nii.gz").unlink()


def twice(root):
    fake.save(root / "studies/CT-2/study_0255.nii.gz", fake.hounsfield())


def unknown_code(root):
    fake.save(root / MASK, fake.lesions())


def another_shape(root):
    fake.save(root / MASK, fake.lesions()[:, :60])


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (study_missing, ReadError, "0255 has a mask and no image"),
        (twice, ReadError, "Two files are 0255"),
        (unknown_code, LabelError, "study_0255_mask.nii.gz: Label code 2 is not in the table"),
        (another_shape, LabelError, "80 x 60 x 4 voxels and its image 80 x 64 x 4"),
    ],
)
def test_what_is_not_as_published_is_told_in_one_line(root, harm, kind, told):
    harm(root)
    with pytest.raises(kind, match=told) as caught:
        list(mosmed.read(root))
    assert "\n" not in str(caught.value)
    assert str(root) not in str(caught.value)

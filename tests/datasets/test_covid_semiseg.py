import numpy as np
import pytest
from PIL import Image

from groundglass.datasets import covid_semiseg
from groundglass.datasets._case import Asked
from groundglass.errors import LabelError, ReadError, ScanError, UsageError
from groundglass.labels import Region, inside
from tests.datasets.archives import palette, semiseg, semiseg_codes

GT = "TrainingSet/MultiClassInfection-Train/GT"


@pytest.fixture
def root(tmp_path):
    return semiseg(tmp_path)


def test_labelled_slices_come_first_in_order_of_their_numbers(root):
    labelled = next(iter(covid_semiseg.read(root)))
    assert labelled.slices == ("0", "3", "11")
    assert labelled.groups == ("g0", "g1", "g1")
    assert not labelled.one_volume
    assert labelled.cropped


def test_classes_become_sets_and_lie_where_the_image_lies(root):
    labelled = next(iter(covid_semiseg.read(root)))
    expected = np.array([3, 4, 8], np.uint8)[semiseg_codes("3")].T  # transposed
    np.testing.assert_array_equal(labelled.labels[1], expected)
    assert labelled.images[1].shape == expected.shape == (32, 43)


def test_unlabelled_slices_are_volumes_of_patients(root):
    _, corona, first, second = covid_semiseg.read(root)
    assert (corona.name, corona.slices, corona.labels) == ("coronacases-001", ("0002", "0010"), None)
    assert corona.positions == (2, 10)
    assert first.name != second.name
    assert {*first.groups, *second.groups} == {"radiopaedia-10"}


def test_coronacases_are_turned_and_radiopaedia_is_transposed(root):
    _, corona, radiopaedia, _ = covid_semiseg.read(root)
    folder = root / "TrainingSet/LungInfection-Train/Pseudo-label/Imgs"
    for image, name, turn in (
        (corona.images[0], "coronacases_org_001_2", lambda a: np.rot90(a, 1)),
        (radiopaedia.images[0], "radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm_3", np.transpose),
    ):
        np.testing.assert_array_equal(image, turn(np.asarray(Image.open(folder / f"Data-1_{name}.jpg"))))


def test_without_groups_each_labelled_slice_is_alone_and_that_is_said(root):
    (root / "groups.csv").unlink()
    labelled = next(iter(covid_semiseg.read(root)))
    assert len(set(labelled.groups)) == 3
    assert "does not name 3 of 3" in labelled.notices[0].text


def no_training_set(root):
    (root / "TrainingSet").rename(root / "elsewhere")


def class_map_missing(root):
    (root / GT / "3.png").unlink()


def unknown_code(root):
    palette(np.full((43, 32), 7)).save(root / GT / "3.png")


def another_shape(root):
    palette(np.zeros((43, 31))).save(root / GT / "3.png")
    (root / "TrainingSet/LungInfection-Train/Doctor-label/GT/3.png").unlink()


def masks_differ(root):
    codes = semiseg_codes("3")
    codes[30, 30] = 1
    palette(codes).save(root / GT / "3.png")


def in_colour(root):
    Image.fromarray(np.zeros((43, 32, 3), np.uint8)).save(root / GT / "3.png")


def cut_off(root):
    path = root / "TrainingSet/MultiClassInfection-Train/Imgs/3.jpg"
    path.write_bytes(path.read_bytes()[:200])


def strange_name(root):
    folder = root / "TrainingSet/LungInfection-Train/Pseudo-label/Imgs"
    (folder / "Data-1_coronacases_org_001_2.jpg").rename(folder / "holiday.jpg")


def no_table(root):
    (root / "groups.csv").write_text("a,b\n1,2\n")


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (no_training_set, ReadError, "give the folder that holds TrainingSet"),
        (class_map_missing, ReadError, "Slice 3 has an image and no"),
        (unknown_code, LabelError, "Label code 7 is not in the table"),
        (another_shape, LabelError, "Slice 3 has 43 x 32 pixels and its labels 43 x 31"),
        (masks_differ, LabelError, "infection mask of slice 3"),
        (in_colour, LabelError, "has colours"),
        (cut_off, ReadError, "truncated or damaged"),
        (strange_name, ReadError, "holiday names no volume"),
        (no_table, ReadError, "groups.csv is no table"),
    ],
)
def test_what_is_not_as_published_is_told_in_one_line(root, harm, kind, told):
    harm(root)
    with pytest.raises(kind, match=told) as caught:
        list(covid_semiseg.read(root))
    assert "\n" not in str(caught.value)
    assert str(root) not in str(caught.value)


def test_an_orientation_is_not_asked_of_it(root):
    with pytest.raises(UsageError, match="knows how its images lie"):
        covid_semiseg.read(root, Asked(orientation="transpose"))


def test_a_case_checks_its_lists():
    from groundglass.datasets._case import Case

    plane = np.zeros((4, 4), np.uint8)
    for wrong in ({"groups": ()}, {"slices": ("a", "a")}, {"slices": ("../a", "b")}, {"name": ".hidden"}):
        with pytest.raises(ScanError):
            Case(**{"name": "a", "images": (plane, plane), "labels": None, "groups": ("g", "g"), **wrong})
    with pytest.raises(LabelError, match="0 is no label set"):
        Case(name="a", images=(plane,), labels=(plane,), groups=("g",))


@pytest.mark.real
def test_the_real_set(data):
    cases = covid_semiseg.read(data / "covid_semiseg")
    labelled, *volumes = cases
    assert len(cases) == 21
    assert (len(labelled), len(set(labelled.groups))) == (50, 38)
    assert sum(len(volume) for volume in volumes) == 1600
    assert sum(len(volume) for volume in volumes if volume.name.startswith("coronacases")) == 1119
    assert len({group for volume in volumes for group in volume.groups}) == 18  # 10 and 29 have two volumes each
    assert all(inside(sets, Region.INFECTION).any() for sets in labelled.labels)
    assert sum(bool((sets == 8).any()) for sets in labelled.labels) == 39
    # lying as radiologists look at it, a crop of both lungs is wider than high in most slices
    shapes = [plane.shape for case in cases for plane in case.images]
    assert np.mean([width > height for height, width in shapes]) > 0.9

import numpy as np
import pytest

from groundglass.datasets import covid19_ct_seg, covid_semiseg
from groundglass.errors import LabelError, ReadError, ScanError
from groundglass.labels import Region, inside
from groundglass.preprocess.calibrate import calibrate, histogram
from tests.datasets import fake_publishers as fake

MASKS = "Lung_and_Infection_Mask"


@pytest.fixture
def root(tmp_path):
    return fake.covid19_ct_seg(tmp_path)


@pytest.fixture
def cases(root):
    return {case.name: case for case in covid19_ct_seg.read(root)}


def test_volumes_are_called_as_in_covid_semiseg_and_two_volumes_of_one_patient_are_one_group(cases):
    assert list(cases) == [
        "coronacases-001",
        "radiopaedia-10_85902_1",
        "radiopaedia-10_85902_3",
        "radiopaedia-7_85703_0",
    ]
    assert {case.groups[0] for case in cases.values()} == {"coronacases-001", "radiopaedia-10", "radiopaedia-7"}


def test_infection_is_one_set_within_the_lungs(cases):
    expected = fake.true_sets().copy()
    expected[expected > 2] = 12  # ground glass or consolidation
    for case in cases.values():
        np.testing.assert_array_equal(np.stack(case.labels), expected)


def test_front_is_up_and_feet_come_first_whatever_the_headers_say(cases):
    # ground glass lies in slice 1 of 4, towards the back, in the right lung: at low x
    for case in cases.values():
        z, y, x = (axis.mean() for axis in np.nonzero(inside(np.stack(case.labels)[:2], Region.INFECTION)))
        assert (z, y, x) == (1, 40.5, 23.5)
    np.testing.assert_array_equal(cases["coronacases-001"].images.hu, fake.hounsfield())


def test_windowed_radiopaedia_volumes_come_back_to_hounsfield_units(cases):
    truth = np.clip(fake.hounsfield(), *fake.TRUE_WINDOW_HU)
    for name, case in cases.items():
        if name.startswith("radiopaedia"):
            assert np.median(np.abs(case.images.hu - truth)) < 60
            assert f"{name}: A volume holds grey values" in case.notices[0].text
        else:
            assert not case.notices


def test_kaggles_names_and_folders_are_the_same_set(cases, tmp_path):
    copy = fake.covid19_ct_seg(tmp_path / "kaggle", "ct_scans", fake.CT_SEG_KAGGLE, masks="lung_and_infection_mask")
    again = {case.name: case for case in covid19_ct_seg.read(copy)}
    assert [case.digest() for case in again.values()] == [case.digest() for case in cases.values()]


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("coronacases_org_case007.nii", "coronacases-007"),
        ("case009.nii", "coronacases-009"),
        ("radiopaedia_4_85506_1.nii.gz", "radiopaedia-4_85506_1"),
    ],
)
def test_a_volume_has_one_name(name, volume):
    assert covid19_ct_seg._volume(name) == volume


def test_lungs_and_infection_apart_say_the_same(cases, tmp_path):
    apart = fake.covid19_ct_seg(tmp_path / "apart", masks=None)
    for case in covid19_ct_seg.read(apart):
        np.testing.assert_array_equal(np.stack(case.labels), np.stack(cases[case.name].labels))


def test_without_masks_all_is_unlabelled(root):
    for path in (root / MASKS).iterdir():
        path.unlink()
    assert [case.labels for case in covid19_ct_seg.read(root)] == [None] * 4


def mask_missing(root):
    (root / MASKS / "coronacases_001.nii.gz").unlink()


def image_missing(root):
    (root / "COVID-19-CT-Seg_20cases/coronacases_001.nii.gz").unlink()


def unknown_code(root):
    fake.ct_seg_volume(root / MASKS / "coronacases_001.nii.gz", fake.lesions() + 3, "coronacases_001")


def another_shape(root):
    fake.ct_seg_volume(root / MASKS / "coronacases_001.nii.gz", fake.lesions()[:3], "coronacases_001")


def hounsfield_units(root):
    path = root / "COVID-19-CT-Seg_20cases/radiopaedia_10_85902_1.nii.gz"
    fake.ct_seg_volume(path, fake.hounsfield(), "radiopaedia_10_85902_1")


def grey_values(root):
    path = root / "COVID-19-CT-Seg_20cases/coronacases_001.nii.gz"
    fake.ct_seg_volume(path, fake.grey(), "coronacases_001")


def strange_name(root):
    folder = root / "COVID-19-CT-Seg_20cases"
    (folder / "coronacases_001.nii.gz").rename(folder / "holiday.nii.gz")


def twice(root):
    path = root / "COVID-19-CT-Seg_20cases/coronacases_org_001.nii"
    fake.ct_seg_volume(path, fake.hounsfield(), "coronacases_001")


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (mask_missing, ReadError, "coronacases-001 has an image and no mask"),
        (image_missing, ReadError, "coronacases-001 has a mask and no image"),
        (unknown_code, LabelError, "coronacases_001.nii.gz: Label code 4 is not in the table"),
        (another_shape, LabelError, "has 80 x 64 x 3 voxels and its image 80 x 64 x 4"),
        (hounsfield_units, ScanError, "radiopaedia_10_85902_1.nii.gz holds values from -"),
        (grey_values, ScanError, r"coronacases_001.nii.gz: Values from .* looks like an 8-bit picture"),
        (strange_name, ReadError, "holiday.nii.gz names no volume"),
        (twice, ReadError, "are the same volume"),
    ],
)
def test_what_is_not_as_published_is_told_in_one_line(root, harm, kind, told):
    harm(root)
    with pytest.raises(kind, match=told) as caught:
        list(covid19_ct_seg.read(root))
    assert "\n" not in str(caught.value)
    assert str(root) not in str(caught.value)


@pytest.mark.real
def test_the_stated_window_does_not_hold_in_pictures_of_the_real_volumes(data):
    """COVID-SemiSeg's unlabelled pictures of Radiopaedia were made of these volumes."""
    black, white = covid19_ct_seg.STATED_WINDOW_HU
    loaders = covid_semiseg.read(data / "covid_semiseg").loaders[-5:]
    soft = [calibrate(histogram(load().images)).soft_grey for load in loaders]
    soft_hu = [black + grey * (white - black) / 255 for grey in soft]
    assert min(soft_hu) < 0 < 200 < max(soft_hu)  # soft tissue is at about 40 HU

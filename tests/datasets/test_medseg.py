import numpy as np
import pytest

from groundglass.datasets import medseg, radiopaedia9
from groundglass.datasets._case import Asked
from groundglass.errors import LabelError, ReadError, ScanError
from tests.datasets import fake_publishers as fake


@pytest.fixture
def root(tmp_path):
    return fake.medseg(tmp_path)


@pytest.fixture
def volumes(tmp_path):
    return fake.radiopaedia9(tmp_path)


def test_each_slice_is_a_case_of_a_patient_and_lies_right_whatever_the_header_says(root):
    cases = list(medseg.read(root))
    assert [case.name for case in cases] == ["slice-000", "slice-001", "slice-002", "slice-003"]
    assert [case.groups[0] for case in cases] == ["sirm-1", "sirm-2", "sirm-2", "sirm-3"]
    assert [case.positions[0] for case in cases] == [1, 2, 3, 4]
    for number, case in enumerate(cases):
        np.testing.assert_allclose(case.images.hu[0], fake.hounsfield()[number] + 0.25)
    assert not cases[0].images.source.spacing_known


def test_lesions_lungs_and_effusion_become_sets(root):
    expected = fake.true_sets().copy()
    for number, case in enumerate(medseg.read(root)):
        np.testing.assert_array_equal(case.labels[0], expected[number])
    assert next(iter(medseg.read(root))).labels[0][0, 0] == 1  # pleural effusion is background


def test_without_lung_masks_what_is_no_lesion_may_be_lung(root):
    (root / "tr_lungmasks_updated.nii.gz").unlink()
    sets = [np.unique(case.labels[0]).tolist() for case in medseg.read(root)]
    assert sets == [[1, 3], [3, 4], [3, 8], [3]]  # the 1 is the effusion


def test_without_masks_all_is_unlabelled(root):
    (root / "tr_mask.nii.gz").unlink()
    (root / "tr_lungmasks_updated.nii.gz").unlink()
    assert all(case.labels is None for case in medseg.read(root))


def test_without_groups_each_slice_is_alone_and_that_is_said(root):
    (root / "groups.csv").unlink()
    cases = medseg.read(root)
    assert len({case.groups for case in cases}) == 4
    assert "does not name 4 of 4" in cases.notices[0].text


def test_arrays_are_left_as_they_lie_unless_an_orientation_is_given(tmp_path):
    root = fake.medseg_arrays(tmp_path)
    cases = medseg.read(root)
    second = list(cases)[1]
    np.testing.assert_array_equal(second.images.hu[0], fake.hounsfield()[1])
    np.testing.assert_array_equal(second.labels[0], fake.true_sets()[1])
    assert "is not known" in cases.notices[0].text
    turned = list(medseg.read(root, Asked(orientation="transpose")))[1]
    np.testing.assert_array_equal(turned.labels[0], fake.true_sets()[1].T)
    np.testing.assert_array_equal(turned.images.hu[0], fake.hounsfield()[1].T)


def test_volumes_are_patients_with_lungs_and_both_lesions(volumes):
    first, second = radiopaedia9.read(volumes)
    assert (first.name, second.name, second.groups) == ("volume-1", "volume-2", ("volume-2",) * 4)
    assert first.images.spacing_mm == (8, 4, 4)
    np.testing.assert_array_equal(first.images.hu, fake.hounsfield())
    for case in (first, second):
        np.testing.assert_array_equal(np.stack(case.labels), fake.true_sets())


def test_a_volume_of_grey_values_gets_its_hounsfield_units_back(volumes):
    first, second = radiopaedia9.read(volumes)
    assert not first.notices
    assert "volume-2: A volume holds grey values" in second.notices[0].text
    tissue = fake.true_sets() == 2
    assert abs(int(np.median(second.images.hu[tissue])) - int(np.median(first.images.hu[tissue]))) < 60


def test_without_masks_volumes_are_unlabelled(volumes):
    for folder in ("rp_msk", "rp_lung_msk"):
        for path in (volumes / folder).iterdir():
            path.unlink()
    assert [case.labels for case in radiopaedia9.read(volumes)] == [None, None]


def test_arrays_of_volumes_are_one_group(tmp_path):
    cases = radiopaedia9.read(fake.medseg_arrays(tmp_path, "radiopedia"))
    assert {case.groups for case in cases} == {("volumes",)}
    assert "do not say where a volume ends" in cases.notices[0].text


def no_image(root):
    (root / "tr_im.nii.gz").unlink()


def unknown_code(root):
    fake.save(root / "tr_mask.nii.gz", fake.lesions() * 7, array="LPS")


def another_shape(root):
    fake.save(root / "tr_mask.nii.gz", fake.lesions()[:, :, :70], array="LPS")


def probabilities(root):
    fake.save(root / "tr_mask.nii.gz", fake.lesions() * 0.3, array="LPS")


def normalised(root):
    fake.save(root / "tr_im.nii.gz", fake.grey() / 255, array="LPS")


def no_groups(root):
    (root / "groups.csv").write_text("a,b\n1,2\n")


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (no_image, ReadError, "neither tr_im.nii.gz nor images_medseg.npy"),
        (unknown_code, LabelError, "Label code 7 is not in the table"),
        (another_shape, LabelError, r"tr_mask has \(70, 64, 4\) voxels and tr_im \(80, 64, 4\)"),
        (probabilities, LabelError, "tr_mask.nii.gz: It holds values that are no codes"),
        (normalised, ScanError, "is normalised"),
        (no_groups, ReadError, "groups.csv is no table"),
    ],
)
def test_what_is_not_as_published_is_told_in_one_line(root, harm, kind, told):
    harm(root)
    with pytest.raises(kind, match=told) as caught:
        list(medseg.read(root))
    assert "\n" not in str(caught.value)
    assert str(root) not in str(caught.value)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    root = fake.medseg_arrays(tmp_path)
    np.save(root / "masks_medseg.npy", fake.channels()[:3])
    with pytest.raises(LabelError, match="The masks have the shape"):
        medseg.read(root)
    np.save(root / "images_medseg.npy", np.zeros((4, 64)))
    with pytest.raises(ReadError, match=r"images_medseg.npy has the shape \(4, 64\)"):
        medseg.read(root)
    path = fake.medseg_arrays(root) / "images_medseg.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ReadError, match="truncated"):
        medseg.read(root)


def test_a_volume_without_its_partner_is_refused(volumes):
    (volumes / "rp_lung_msk/2.nii.gz").unlink()
    with pytest.raises(ReadError, match="2 has an image and no lung mask"):
        radiopaedia9.read(volumes)
    (volumes / "rp_im/2.nii.gz").unlink()
    with pytest.raises(ReadError, match="2 has a lesion mask and no image"):
        radiopaedia9.read(volumes)

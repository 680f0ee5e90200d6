import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass.datasets import folder
from groundglass.datasets._case import Asked
from groundglass.errors import GroundglassError, LabelError, ReadError, UsageError
from groundglass.io import write_series
from groundglass.labels import NOT_LESION, Tissue
from tests.datasets.archives import grey, palette
from tests.thorax import AFFINE, draw

ASKED = Asked(key=b"a key for tests")
TABLE = """
[codes]
0 = ["background", "lung"]
1 = "infection"

[pictures]
cropped = true

[patients]
"Anna Muster" = "M"
loose = "M"
"""


def save(array, path, affine=AFFINE):
    ras = np.ascontiguousarray(array.T[::-1, ::-1])  # as most NIfTI lie: x to the right, y to the front
    flip = np.diag([-1.0, -1, 1, 1])
    flip[:2, 3] = ras.shape[0] - 1, ras.shape[1] - 1
    nibabel.save(nibabel.Nifti1Image(ras, affine @ flip), path)


def codes():
    made = np.zeros(draw().hu.shape, np.uint8)
    made[20:28, 50:60, 30:50] = 1
    return made


@pytest.fixture
def root(tmp_path):
    """A labelled NIfTI, a DICOM series, a folder of pictures of which one is labelled, and a loose picture."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    for path in (images / "volume", labels / "volume"):
        path.mkdir(parents=True)
    save(draw(noise_hu=5).hu, images / "Anna Muster.nii.gz")
    save(codes(), labels / "Anna Muster.nii.gz")
    write_series(draw(noise_hu=6), images / "series")
    for number, shape in ((1, (40, 50)), (2, (44, 48)), (10, (30, 52))):
        Image.fromarray(grey(shape, number)).save(images / "volume" / f"{number}.png")
    made = np.zeros((44, 48), np.uint8)
    made[5:9, 7:20] = 1
    palette(made).save(labels / "volume" / "2.png")
    Image.fromarray(grey((33, 35), 5)).save(images / "loose.jpg")
    (tmp_path / "labels.toml").write_text(TABLE)
    return tmp_path


def test_all_that_is_there_becomes_cases(root):
    scan, loose, series, volume = folder.read(root, ASKED)
    assert (len(scan), len(loose), len(series), len(volume)) == (48, 1, 48, 3)
    assert loose.labels is None
    assert series.labels is None
    assert [plane.shape for plane in volume.images] == [(40, 50), (44, 48), (30, 52)]  # 1, 2, 10
    assert volume.cropped


def test_labels_of_a_scan_come_to_lie_on_it(root):
    scan = next(iter(folder.read(root, ASKED)))
    np.testing.assert_array_equal(np.stack(scan.labels) == 12, codes() == 1)
    np.testing.assert_array_equal(np.stack(scan.labels) == int(NOT_LESION), codes() == 0)


def test_a_picture_without_labels_needs_none(root):
    *_, volume = folder.read(root, ASKED)
    assert [sets is None for sets in volume.labels] == [True, False, True]
    assert (volume.labels[1][6, 8], volume.labels[1][0, 0]) == (12, 3)


def test_names_are_keyed_hashes_and_patients_are_kept_together(root):
    scan, loose, series, _ = folder.read(root, ASKED)
    assert all(case.name.startswith("case-") for case in (scan, loose, series))
    assert scan.groups[0] == loose.groups[0] != series.groups[0]
    assert scan.groups[0].startswith("patient-")
    assert next(iter(folder.read(root, Asked(key=b"another")))).name != scan.name
    assert "2 of 4 images" in folder.read(root, ASKED).notices[0].text


def test_pictures_and_their_labels_are_turned_alike(root):
    *_, plain = folder.read(root, ASKED)
    *_, turned = folder.read(root, Asked(b"a key for tests", "turn-90"))
    np.testing.assert_array_equal(turned.images[1], np.rot90(plain.images[1]))
    np.testing.assert_array_equal(turned.labels[1], np.rot90(plain.labels[1]))


def test_nothing_labelled_needs_no_table(root):
    import shutil

    shutil.rmtree(root / "labels")
    (root / "labels.toml").unlink()
    assert all(case.labels is None for case in folder.read(root, ASKED))


def test_tables_of_codes(tmp_path):
    (tmp_path / "labels.toml").write_text(
        '[codes]\n0 = ["background", "lung"]\n5 = "consolidation"\n[pictures]\nwindow = [-1350, 150]\n'
    )
    settings = folder.read_settings(tmp_path / "labels.toml")
    assert settings.codes == {0: NOT_LESION, 5: Tissue.CONSOLIDATION}
    assert settings.window_hu == (-1350, 150)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[codes", "no TOML"),
        ("[code]\n0 = 1", "'code' is not known"),
        ('[codes]\nx = "lung"', "no number"),
        ('[codes]\n0 = "bone"', "'bone' is no tissue"),
        ("[codes]\n0 = []", "no tissue at all"),
        ("[pictures]\nwindow = 5", "two numbers"),
        ('[pictures]\ncropped = "yes"', "neither true nor false"),
        ('[pictures]\norientation = "sideways"', "one of as-is"),
        ("codes = 5", "brackets"),
    ],
)
def test_a_table_that_is_wrong_is_told_of(tmp_path, text, told):
    (tmp_path / "labels.toml").write_text(text)
    with pytest.raises(GroundglassError, match=told):
        folder.read_settings(tmp_path / "labels.toml")


def no_images(root):
    (root / "images").rename(root / "pictures")


def no_codes(root):
    (root / "labels.toml").unlink()


def unknown_code(root):
    save(codes() * 9, root / "labels" / "Anna Muster.nii.gz")


def another_shape(root):
    save(codes()[:-1], root / "labels" / "Anna Muster.nii.gz")


def elsewhere(root):
    shift = np.eye(4)
    shift[0, 3] = 5
    save(codes(), root / "labels" / "Anna Muster.nii.gz", shift @ AFFINE)


def probabilities(root):
    save(codes() * np.float32(0.5), root / "labels" / "Anna Muster.nii.gz")


def cut_off(root):
    path = root / "labels" / "Anna Muster.nii.gz"
    path.write_bytes(path.read_bytes()[:100])


def labels_of_nothing(root):
    palette(np.zeros((3, 3))).save(root / "labels" / "stranger.png")


def label_picture_of_nothing(root):
    palette(np.zeros((3, 3))).save(root / "labels" / "volume" / "3.png")


def one_stem_twice(root):
    Image.fromarray(grey((33, 35), 5)).save(root / "images" / "loose.png")


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (no_images, ReadError, "nothing in images"),
        (no_codes, LabelError, "does not say what their codes mean"),
        (unknown_code, LabelError, "Label code 9"),
        (another_shape, LabelError, "160 x 128 x 47 voxels"),
        (elsewhere, LabelError, "elsewhere in space"),
        (probabilities, LabelError, "no whole numbers"),
        (cut_off, ReadError, "damaged or of another format"),
        (labels_of_nothing, UsageError, "stranger is among the labels"),
        (label_picture_of_nothing, UsageError, "The labels 3 have no picture"),
        (one_stem_twice, UsageError, "Two entries of images are called loose"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(root, harm, kind, told):
    harm(root)
    with pytest.raises(kind, match=told) as caught:
        list(folder.read(root, ASKED))
    assert "\n" not in str(caught.value)
    assert str(root) not in str(caught.value)

import json
import tomllib

import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass.datasets import _nnunet, covid_semiseg, folder
from groundglass.datasets._case import Asked, Case, Cases
from groundglass.datasets._converting import class_codes, to_folder, to_nnunet
from groundglass.errors import LabelError, ReadError, UsageError
from groundglass.lookup import find_module
from groundglass.scan import Scan
from tests.datasets.archives import semiseg
from tests.datasets.fake_publishers import ALL

AFFINE = np.array([[-0.75, 0, 0, 10], [0, -0.75, 0, 20], [0, 0, 5.0, -30], [0, 0, 0, 1]])


def scan(seed, shape=(3, 4, 5)):
    return Scan(np.random.default_rng(seed).integers(-1000, 400, shape).astype(np.int16), AFFINE)


def volume(name, values, seed=0):
    """A scan (3, 4, 5) whose slices are labelled with one set each; None for one without."""
    labels = tuple(None if value is None else np.full((4, 5), value, np.uint8) for value in values)
    return Case(name, scan(seed), labels if any(value is not None for value in values) else None, (f"p-{name}",) * 3)


def cases(*loaded):
    return Cases(tuple((lambda one=one: one) for one in loaded))


def same(one, other):
    """Whether two cases hold the same voxels, label sets and groups."""
    assert one.name == other.name
    np.testing.assert_array_equal(np.stack(list(one.planes)), np.stack(list(other.planes)))
    for first, second in zip(one.labels or (None,) * len(one), other.labels or (None,) * len(one), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.groups == other.groups


@pytest.mark.parametrize(
    ("sets", "codes"),
    [
        ({1, 2, 4, 8}, {1: 0, 2: 1, 4: 2, 8: 3}),
        ({3, 4, 8}, {3: 0, 4: 1, 8: 2}),  # COVID-SemiSeg: the background is "background or lung"
        ({3, 12, 15}, {3: 0, 12: 1}),  # MosMed: infection is a class
        ({1, 2, 3, 4, 8, 15}, {1: 0, 2: 1, 4: 2, 8: 3}),  # where lung is told, "background or lung" is ignored
        ({3, 4, 12}, {3: 0, 4: 1}),  # 12 overlaps 4
        ({2, 3}, {2: 1}),  # nothing is surely background; 0 stays free
        ({15}, {}),
    ],
)
def test_the_most_precise_sets_become_classes(sets, codes):
    assert class_codes(sets) == codes


def test_scans_in_nnunets_layout_and_back(tmp_path):
    given = [volume("a", (1, 2, 4)), volume("b", (8, None, 1), 1), volume("c", (None,) * 3, 2)]
    made = to_nnunet(cases(*given), tmp_path, "my_set", 7)
    assert (made.labelled, made.unlabelled, made.sets) == (2, 1, {0: 1, 1: 2, 2: 4, 3: 8})
    root = tmp_path / "Dataset007_MySet"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*.*")) == [
        "dataset.json",
        "imagesTr/a_0000.nii.gz",
        "imagesTr/b_0000.nii.gz",
        "imagesTs/c_0000.nii.gz",
        "labelsTr/a.nii.gz",
        "labelsTr/b.nii.gz",
    ]
    told = json.loads((root / "dataset.json").read_text())
    assert told["labels"] == {
        "background": 0, "lung": 1, "ground_glass": 2, "consolidation": 3, "ignore": 4,
    }  # fmt: skip
    assert (told["channel_names"], told["numTraining"], told["file_ending"]) == ({"0": "CT"}, 2, ".nii.gz")
    # nibabel, as nnU-Net reads: x, y, z; the slice without labels is ignored
    codes = np.asarray(nibabel.load(root / "labelsTr" / "b.nii.gz").dataobj)
    assert codes.shape == (5, 4, 3)
    assert [int(plane[0, 0]) for plane in codes.T] == [3, 4, 0]
    back = list(_nnunet.read(root))
    for one, other in zip(given, back, strict=True):
        np.testing.assert_allclose(one.images.affine, other.images.affine, atol=1e-5)
        if one.name == "b":  # what is ignored comes back as unknown
            assert [int(sets[0, 0]) for sets in other.labels] == [8, 15, 1]
        else:
            same(one, other)


def test_what_became_ignored_is_told(tmp_path):
    made = to_nnunet(cases(volume("a", (1, 2, 3))), tmp_path, "x", 1)
    assert "20 pixels of background or lung became ignored ones." in [notice.text for notice in made.notices]


def test_scans_in_a_plain_folder_and_back(tmp_path):
    given = volume("a", (3, 12, 14))
    made = to_folder(cases(given, volume("c", (None,) * 3, 2)), tmp_path)
    assert (made.labelled, made.unlabelled, made.sets) == (1, 1, {4: 12, 5: 3, 6: 14})
    table = tomllib.loads((tmp_path / "labels.toml").read_text())
    assert table["codes"]["4"] == ["ground-glass", "consolidation"]
    assert table["patients"] == {"a": "p-a", "c": "p-c"}
    first, second = folder.read(tmp_path, Asked(b"key"))
    np.testing.assert_array_equal(first.images.hu, given.images.hu)
    np.testing.assert_array_equal(np.stack(first.labels), np.stack(given.labels))
    assert second.labels is None
    assert len({first.groups[0], second.groups[0]}) == 2


def test_pictures_in_nnunets_layout_and_back(tmp_path):
    given = list(covid_semiseg.read(semiseg(tmp_path / "semiseg")))
    made = to_nnunet(cases(*given), tmp_path / "raw", "covid_semiseg", 1)
    assert (made.labelled, made.unlabelled, made.sets) == (3, 5, {0: 3, 1: 4, 2: 8})
    root = tmp_path / "raw" / "Dataset001_CovidSemiseg"
    told = json.loads((root / "dataset.json").read_text())
    assert told["labels"] == {"background": 0, "ground_glass": 1, "consolidation": 2}
    assert set(np.unique(np.array(Image.open(root / "labelsTr" / "labelled_11.png")))) == {0, 1, 2}
    back = {case.name: case for case in _nnunet.read(root)}
    assert sorted(back) == sorted(case.name for case in given)
    for one in given:
        other = back[one.name]
        assert (one.slices, one.positions, one.groups) == (other.slices, other.positions, other.groups)
        assert (one.one_volume, one.cropped) == (other.one_volume, other.cropped)
        for k, plane in enumerate(one.planes):
            np.testing.assert_array_equal(plane, other.planes[k])
            if one.labels:
                np.testing.assert_array_equal(one.labels[k], other.labels[k])


@pytest.mark.parametrize("name", ALL)
def test_every_publishers_set_as_a_folder_and_back(name, tmp_path):
    given = list(find_module("groundglass.datasets", name).read(ALL[name](tmp_path / "root"), Asked(b"")))
    to_folder(cases(*given), tmp_path / "out")
    back = list(folder.read(tmp_path / "out", Asked(b"key")))
    voxels = {plane.tobytes() + (b"" if sets is None else sets.tobytes()) for plane, sets in slices_of(back)}
    assert voxels == {plane.tobytes() + (b"" if sets is None else sets.tobytes()) for plane, sets in slices_of(given)}
    assert len({group for case in back for group in case.groups}) == len({g for case in given for g in case.groups})


def slices_of(loaded):
    """(slice, label sets or None) of all cases; a slice of a labelled scan without labels has unknown ones."""
    for case in loaded:
        for k, plane in enumerate(case.planes):
            sets = case.labels[k] if case.labels else None
            if sets is None and case.labels and isinstance(case.images, Scan):
                sets = np.full(plane.shape, 15, np.uint8)
            yield np.ascontiguousarray(plane), sets


def others_set(root, labels, codes=(0, 1), ending=".nii.gz"):
    """A data set in nnU-Net's layout that somebody else made."""
    for where in ("imagesTr", "labelsTr"):
        (root / where).mkdir(parents=True)
    image = np.random.default_rng(0).integers(-1000, 400, (5, 4, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([1.0, 1, 2, 1])), root / "imagesTr" / "k_0000.nii.gz")
    mask = np.resize(np.array(codes, np.uint8), (5, 4, 3))
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1, 2, 1])), root / "labelsTr" / "k.nii.gz")
    told = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(told))
    return root


@pytest.mark.parametrize(
    ("labels", "codes", "sets"),
    [
        ({"background": 0, "lesion": 1}, (0, 1), {3, 12}),
        ({"background": 0, "left lung": 1, "Right_Lung": 2, "infection": 3}, (0, 1, 2, 3), {1, 2, 12}),
        ({"background": 0, "GGO": 1, "consolidation": 2, "ignore": 3}, (0, 1, 2, 3), {3, 4, 8, 15}),
    ],
)
def test_classes_of_others_are_told_by_their_names(tmp_path, labels, codes, sets):
    (case,) = _nnunet.read(others_set(tmp_path, labels, codes))
    assert set(np.unique(np.stack(case.labels))) == sets
    # the file's x runs to the right and y to the front: canonical is the other way
    image = np.asarray(nibabel.load(tmp_path / "imagesTr" / "k_0000.nii.gz").dataobj)
    np.testing.assert_array_equal(case.images.hu, image.T[:, ::-1, ::-1])


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (lambda root: (root / "dataset.json").unlink(), ReadError, "no dataset.json"),
        (lambda root: (root / "imagesTr" / "k_0000.nii.gz").unlink(), ReadError, "holds no images"),
        (lambda root: (root / "imagesTr" / "k_0000.nii.gz").rename(root / "imagesTr" / "k_0001.nii.gz"), ReadError,
         "several channels"),
        (lambda root: (root / "labelsTr" / "k.nii.gz").rename(root / "labelsTr" / "j.nii.gz"), ReadError, "no image"),
    ],
)  # fmt: skip
def test_what_is_no_raw_data_set(tmp_path, harm, kind, told):
    harm(others_set(tmp_path, {"background": 0, "lung": 1}))
    with pytest.raises(kind, match=told):
        _nnunet.read(tmp_path)


@pytest.mark.parametrize("labels", [{"background": 0, "spleen": 1}, {"background": 0, "lung": [1, 2]}])
def test_classes_that_say_no_tissue(tmp_path, labels):
    with pytest.raises(LabelError, match="several codes, or says no tissue"):
        _nnunet.read(others_set(tmp_path, labels))


def test_an_unknown_code(tmp_path):
    (load,) = _nnunet.read(others_set(tmp_path, {"background": 0, "lung": 1}, (0, 5))).loaders
    with pytest.raises(LabelError, match="5"):
        load()


def test_scans_and_pictures_do_not_mix_and_nothing_stays(tmp_path):
    picture = Case("p", (np.zeros((4, 5), np.uint8),), None, ("p",))
    with pytest.raises(UsageError, match="scans and pictures"):
        to_nnunet(cases(volume("a", (1, 2, 4)), picture), tmp_path / "out", "x", 1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="Two images would be called a"):
        to_folder(cases(volume("a", (1, 2, 4)), volume("a", (1, 2, 4))), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []

"""The main job on real CT, which is not part of this repository."""

import csv
import random
import shutil
import zipfile

import nibabel
import numpy as np
import pytest

from groundglass.evaluation.burden import measure
from groundglass.inference.kmeans import segment_by_kmeans
from groundglass.inference.threshold import segment_by_threshold
from groundglass.io import read
from groundglass.labels import Region
from groundglass.preprocess.clusters import published_steps
from groundglass.preprocess.lung import LEFT, RIGHT
from groundglass.provenance import content_hash
from groundglass.scan import Scan

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cases(data):
    """Scan, segmentation and burden of the infected and of the healthy patient."""
    made = {}
    for name in ("P002", "normal002"):
        scan = read(data / "covid_ct_md" / name)
        segmentation = segment_by_threshold(scan)
        made[name] = scan, segmentation, measure(scan, segmentation.codes, segmentation.sides)
    return made


def volume(burden, region, side="both"):
    return burden.zone(side).amounts[region].volume_ml


@pytest.mark.parametrize("name", ["P002", "normal002"])
def test_both_lungs_have_a_plausible_size(cases, name):
    _, segmentation, burden = cases[name]
    right, left = (volume(burden, Region.LUNG_FIELD, side) for side in ("right", "left"))
    assert 1000 < left < right < 4000
    assert segmentation.notices == ()
    columns = [np.flatnonzero((segmentation.sides == side).any(axis=(0, 1))).mean() for side in (RIGHT, LEFT)]
    assert columns[0] < columns[1]


def test_the_infected_patient_has_far_more_infection_than_the_healthy_one(cases):
    infected, healthy = (volume(cases[name][2], Region.INFECTION) for name in ("P002", "normal002"))
    assert infected > 100
    assert healthy < 5


def test_slice_scores_rank_slices_as_their_labels_do(cases, data):
    with (data / "covid_ct_md" / "slice_labels.csv").open(newline="") as stream:
        labels = {(row["case"], int(row["k"])): row["infected"] == "1" for row in csv.DictReader(stream)}
    scores = {(name, k): s for name, case in cases.items() for k, s in enumerate(case[2].slice_scores)}
    positive = [scores[key] for key, infected in labels.items() if infected]
    negative = [scores[key] for key, infected in labels.items() if not infected]
    wins = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    assert len(wins) == 68 * 232
    assert np.mean(wins) > 0.9  # area under the ROC


@pytest.fixture(scope="module", params=["zip", "shuffled", "nifti"])
def in_another_form(request, data, cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    files = sorted((data / "covid_ct_md" / "P002").iterdir())
    if request.param == "zip":
        with zipfile.ZipFile(folder / "P002.zip", "w") as archive:
            for file in files:
                archive.write(file, f"P002/{file.name}")
        return folder / "P002.zip"
    if request.param == "shuffled":
        numbers = list(range(len(files)))
        random.Random(7).shuffle(numbers)  # noqa: S311
        for file, number in zip(files, numbers, strict=True):
            shutil.copy(file, folder / f"{number:04d}")
        return folder
    scan = cases["P002"][0]
    ras = np.ascontiguousarray(scan.hu.T[::-1, ::-1])
    flip = np.diag([-1.0, -1, 1, 1])
    flip[:2, 3] = ras.shape[0] - 1, ras.shape[1] - 1
    nibabel.save(nibabel.Nifti1Image(ras, scan.affine @ flip), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def test_the_same_scan_in_another_form_gives_the_same_map_to_the_voxel(cases, in_another_form):
    first, segmentation, _ = cases["P002"]
    scan = read(in_another_form)
    np.testing.assert_array_equal(scan.hu, first.hu)
    assert content_hash(scan, b"key") == content_hash(first, b"key")
    np.testing.assert_array_equal(segment_by_threshold(scan).codes, segmentation.codes)


def test_thick_slices_of_a_lung_tumour(data):
    scan = read(data / "lung1" / "lung1_image.nrrd")
    burden = measure(scan, (result := segment_by_threshold(scan)).codes, result.sides)
    assert 2500 < volume(burden, Region.LUNG_FIELD) < 3200
    assert volume(burden, Region.INFECTION) < 60


def test_two_slices_without_a_stated_modality(data):
    scan = read(data / "lungmask_dicom")
    result = segment_by_threshold(scan)
    assert scan.hu.shape == (2, 512, 512)
    assert any("modality" in notice.text for notice in scan.source.notices)
    assert 20 < volume(measure(scan, result.codes, result.sides), Region.LUNG_FIELD) < 60


def test_clusters_find_haze_in_the_infected_patient_alone_and_as_published_the_air_outside(cases):
    millilitres = {}
    for name, slices in (("P002", slice(30, 45)), ("normal002", slice(75, 90))):
        scan = cases[name][0]
        part = Scan(scan.hu[slices], scan.affine)
        result = segment_by_kmeans(part)
        burden = measure(part, result.codes, result.sides)
        millilitres[name] = volume(burden, Region.GROUND_GLASS)
        steps = published_steps(part.hu[7])
        assert steps.lung[0, 0]  # the corner of the slice
        assert steps.lung.sum() > 1.5 * (result.codes[7] > 0).sum()  # and much beside the lungs
    assert millilitres["P002"] > 20
    assert millilitres["normal002"] < 2

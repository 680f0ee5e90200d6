import csv

import nibabel
import numpy as np
import pytest
from PIL import Image

from groundglass import runs
from groundglass.io import read
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.toy_store import make_store

TRAINING = {"steps": 6, "batch": 3, "unlabelled_batch": 2, "augmentation": "weak", "precision": "float32", "rate": 1e-2}


def recipe(method, network, **settings):
    return Recipe.parse(
        {
            "data": {"store": "absent"},
            "network": {"name": network, "settings": settings},
            "stage": [{"method": method, "training": TRAINING}],
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    store = open_store(make_store(folder / "toy"))
    recipes = {
        "stichnet2020": recipe("stichnet2020", "stichnet2020", widths=[8, 8], blocks=8, styles_of=[2, 1, 1]),
        "stitchnet": recipe("stitchnet", "svae", widths=[4, 8]),
        "svae": recipe("svae", "svae", widths=[4, 8]),
        "nothing": recipe("supervised", "unet", widths=[4, 8]),
    }
    for name, made in recipes.items():
        runs.train(made, store, folder / name)
    return folder


def model(trained, name):
    return trained / name / "model.safetensors"


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def volume(path):
    return np.asarray(nibabel.load(path).dataobj)


def test_views_are_volumes_on_the_scans_grid_and_the_dial_is_measured(run, dicom, patient, trained, tmp_path):
    out = tmp_path / "out"
    words = "explain", "styles", dicom, "--model", model(trained, "stichnet2020"), "-o", out, "--dial", "0,30,100"
    ended = run(*words)
    assert ended.code == 0, ended.err
    volumes = {path.name.removesuffix(".nii.gz") for path in out.glob("*.nii.gz")}
    assert volumes == {
        "style_background_or_lung_1", "style_background_or_lung_2", "style_ground_glass_opacity", "style_consolidation",
        "stitched", "error", "dial_000", "dial_030", "dial_100",
    }  # fmt: skip
    again = read(str(out / "stitched.nii.gz"))
    assert again.hu.shape == patient.hu.shape
    np.testing.assert_allclose(again.affine, patient.affine, atol=1e-4)
    names = "style_ground_glass_opacity", "dial_100", "dial_000"
    haze, last, first = (volume(out / f"{name}.nii.gz") for name in names)
    assert haze.dtype == np.int16
    rows = rows_of(out / "dial.csv")
    assert [float(row["share_percent"]) for row in rows] == [0, 30, 100]
    assert [float(row["lesion_percent_of_lung"]) for row in rows] == pytest.approx([0, 30, 100], abs=0.01)
    assert float(rows[1]["lesion_ml"]) == pytest.approx(0.3 * float(rows[1]["lung_ml"]), rel=1e-3)
    ill = last != volume(out / "dial_030.nii.gz")
    assert (last[ill] == haze[ill]).all()  # what was turned between two steps shows the lesion's style
    voxel_ml = abs(np.linalg.det(again.affine[:3, :3])) / 1000
    assert (last == haze).sum() * voxel_ml >= float(rows[2]["lesion_ml"]) * 0.999  # all of both lungs
    assert (first != haze).sum() > (last != haze).sum()
    page = (out / "page.html").read_text()
    assert page.count("<img") == 2 + 4 + 2 + 3
    assert "Content-Security-Policy" in page
    assert "<script" not in page
    assert "HU apart" in ended.out
    assert str(tmp_path) not in page
    before = (out / "dial.csv").read_bytes(), (out / "stitched.nii.gz").read_bytes()
    assert run(*words, "-q").code == 0
    assert before == ((out / "dial.csv").read_bytes(), (out / "stitched.nii.gz").read_bytes())


def test_the_error_is_the_stitched_scan_less_the_scan_within_the_window(run, dicom, patient, trained, tmp_path):
    out = tmp_path / "out"
    words = "explain", "styles", dicom, "--model", model(trained, "stitchnet"), "-o", out, "--lesion", "consolidation"
    assert run(*words, "--dial", "50", "--slice", "24").code == 0
    stitched, error = (read(str(out / f"{name}.nii.gz")).hu for name in ("stitched", "error"))
    np.testing.assert_array_equal(error, stitched - np.clip(np.rint(patient.hu), -1350, 150).astype(np.int16))
    assert {path.name for path in out.glob("style_*")} == {
        f"style_{name}.nii.gz" for name in ("background_or_lung", "ground_glass_opacity", "consolidation")
    }
    assert "slice 24 of 48" in (out / "page.html").read_text()
    (row,) = rows_of(out / "dial.csv")
    assert row["lesion"] == "consolidation"


def test_a_picture_gets_pictures(run, trained, tmp_path):
    grey = np.full((64, 48), 30, np.uint8)
    grey[::7] = 40
    Image.fromarray(grey).save(tmp_path / "grey.png")
    ended = run(
        "explain", "styles", tmp_path / "grey.png", "--model", model(trained, "stitchnet"), "-o", tmp_path / "out",
        "--cropped", "--window=-1350,150", "--dial", "10",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "out" / "stitched.png") as drawn:
        assert drawn.size == (48, 64)
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_what_cannot_be(run, dicom, trained, tmp_path):
    words = "explain", "styles", dicom, "-o", tmp_path / "out", "--model"
    assert "has no styles of tissues" in run(*words, model(trained, "nothing")).error
    assert "has no styles of tissues" in run(*words, model(trained, "svae")).error
    good = *words, model(trained, "stitchnet")
    assert "A dial at '10,x'. Expected percentages" in run(*good, "--dial", "10,x").error
    assert "A dial at '101'" in run(*good, "--dial", "101").error
    assert "no lesion 'haze'" in run(*good, "--lesion", "haze").error
    assert "no slice 49. Expected 1 to 48" in run(*good, "--slice", "49").error
    assert not (tmp_path / "out").exists()

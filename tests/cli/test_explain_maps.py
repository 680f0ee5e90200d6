import numpy as np
import pytest
from PIL import Image

from groundglass import runs
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.toy_store import make_store

TRAINING = {"steps": 2, "batch": 2, "unlabelled_batch": 2, "augmentation": "weak", "precision": "float32"}
TINY = {"encoder": "resnet18", "widths": [8, 8, 8, 4, 4]}
JIN = {
    "network": {"name": "vq_unet", "settings": {**TINY, "codes": 16, "code_channels": 4}},
    "stage": [{"method": "jin2022", "settings": {"first_phase": 0.5}, "training": TRAINING}],
}
WITH_PRIOR = {
    "network": {"name": "unet", "settings": {"widths": [4, 8], "in_channels": 2}},
    "prior": {
        "folds": 2,
        "network": {"name": "inf_net", "settings": {"encoder": "resnet18", "channels": 8}},
        "stage": [{"method": "inf_net", "settings": {"scales": [1.0]}, "training": TRAINING | {"steps": 1}}],
    },
    "stage": [{"method": "inf_net_multi", "training": TRAINING | {"steps": 1}}],
}
NOTHING = {
    "network": {"name": "unet", "settings": {"widths": [4, 8]}},
    "stage": [{"method": "supervised", "training": TRAINING | {"steps": 1}}],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    store = open_store(make_store(folder / "toy"))

    def made(name, recipe):
        runs.train(Recipe.parse({"data": {"store": "absent"}, **recipe}), store, folder / name)
        return folder / name / "model.safetensors"

    return {"jin": made("jin", JIN), "prior": made("prior", WITH_PRIOR), "nothing": made("nothing", NOTHING)}


def pictures(folder):
    return [path.name for path in sorted(folder.glob("*.png"))]


def test_each_map_is_a_picture_and_all_are_on_the_page(run, dicom, trained, tmp_path):
    ended = run("explain", "maps", dicom, "--model", trained["jin"], "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert pictures(tmp_path / "out") == [
        "01_picture.png", "02_segmentation.png", "03_reconstruction.png", "04_confidence.png",
    ]  # fmt: skip
    with Image.open(tmp_path / "out" / "04_confidence.png") as confidence:
        assert confidence.mode == "L"
        assert max(confidence.size) == 32
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<img") == 4
    assert "Content-Security-Policy" in page
    assert "<script" not in page
    assert "PSNR" in page
    assert "jin2022, vq_unet" in page
    assert str(tmp_path) not in page + ended.out.replace(str(tmp_path / "out"), "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"page.html", *pictures(tmp_path / "out")}


def test_the_truth_tells_whether_confidence_is_low_where_the_model_errs(run, dicom, trained, tmp_path):
    """The classical model's labels stand for what was outlined by hand."""
    assert run("segment", dicom, "-o", tmp_path / "labels").code == 0
    labels = tmp_path / "labels" / "labels.nii.gz"
    words = "explain", "maps", dicom, "--model", trained["jin"], "--slice", "24"
    ended = run(*words, "--truth", labels, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "slice 24 of 48" in (tmp_path / "out" / "page.html").read_text()
    assert "area under the ROC 0." in ended.out
    assert "03_truth.png" in pictures(tmp_path / "out")
    with Image.open(tmp_path / "out" / "03_truth.png") as truth:
        red, green, blue = (np.asarray(truth, int)[..., channel] for channel in range(3))
    assert ((red != green) | (green != blue)).any()
    wrong = run(*words, "--truth", labels, "--truth-codes", "0=background", "-o", tmp_path / "two")
    assert "is not in the table" in wrong.error
    assert "no label map of that name" in run(*words, "--truth", tmp_path / "no", "-o", tmp_path / "two").error
    assert not (tmp_path / "two").exists()


def test_a_model_with_a_prior_shows_the_prior_and_what_made_it(run, dicom, trained, tmp_path):
    ended = run("explain", "maps", dicom, "--model", trained["prior"], "-o", tmp_path / "out", "--slice", "24")
    assert ended.code == 0, ended.err
    assert [name[3:-4] for name in pictures(tmp_path / "out")] == [
        "picture", "segmentation", "global", "side_5", "side_4", "side_3", "edge", "prior",
    ]  # fmt: skip


def test_a_model_that_shows_nothing_else_and_what_cannot_be(run, dicom, trained, tmp_path):
    words = "explain", "maps", dicom, "--model", trained["nothing"]
    assert run(*words, "-o", tmp_path / "out", "--slice", "24").code == 0
    assert pictures(tmp_path / "out") == ["01_picture.png", "02_segmentation.png"]
    assert "nothing but its answer" in (tmp_path / "out" / "page.html").read_text()
    assert "no slice 49. Expected 1 to 48" in run(*words, "-o", tmp_path / "two", "--slice", "49").error
    assert "no checkpoint" in run("explain", "maps", dicom, "--model", tmp_path / "no", "-o", tmp_path / "two").error
    assert run("explain", "maps", tmp_path / "no", "--model", trained["jin"], "-o", tmp_path / "two").code == 2
    assert not (tmp_path / "two").exists()


def test_a_picture_of_labels_lies_as_the_picture_does(run, trained, tmp_path):
    """Consolidation at the upper right of the files is at the lower left of what is shown, transposed."""
    grey, codes = np.full((64, 48), 60, np.uint8), np.zeros((64, 48), np.uint8)
    grey[::7] = 90
    codes[:16, 36:] = 3
    for name, plane in (("grey", grey), ("codes", codes)):
        Image.fromarray(plane).save(tmp_path / f"{name}.png")
    ended = run(
        "explain", "maps", tmp_path / "grey.png", "--model", trained["jin"], "-o", tmp_path / "out", "--cropped",
        "--orientation", "transpose", "--window=-1350,150", "--truth", tmp_path / "codes.png",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "out" / "03_truth.png") as truth:
        drawn = np.asarray(truth, int)
    coloured = drawn.max(axis=2) != drawn.min(axis=2)
    rows, columns = np.nonzero(coloured)
    assert drawn.shape[:2] == (24, 32)
    assert rows.min() >= 17
    assert columns.max() <= 8

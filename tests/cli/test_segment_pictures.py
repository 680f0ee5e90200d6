import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from groundglass import runs
from groundglass.cli.codes import names_of, renamed
from groundglass.errors import UsageError
from groundglass.labels import NOT_LESION, UNKNOWN, Tissue
from groundglass.preprocess.calibrate import calibrate, histogram
from groundglass.preprocess.lung import find_lungs
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import lung_boxes
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.toy_store import make_store, slice_of

RECIPE = {
    "data": {"store": "absent", "unlabelled": False},
    "network": {"name": "unet", "settings": {"widths": [8, 16]}},
    "stage": [
        {
            "method": "supervised",
            "training": {"steps": 60, "batch": 4, "rate": 1e-2, "augmentation": "weak", "precision": "float32"},
        }
    ],
}
WINDOW = "--window=-1350,150"
BESIDE = {"images.csv", "labels.json", "provenance.json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    runs.train(Recipe.parse(RECIPE), open_store(make_store(folder / "toy")), folder / "run")
    return folder / "run" / "model.safetensors"


def save(path, seed=20, turn=lambda grey: grey):
    hu, _ = slice_of(seed)
    grey = np.clip((hu + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(turn(grey))).save(path)
    return path


def pixels(path):
    with Image.open(path) as picture:
        assert picture.mode == "L"  # no reader makes colours of it
        return np.array(picture)


def rows_of(folder):
    with (folder / "images.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_picture_has_a_label_map_of_its_name_and_size_in_the_codes_asked_for(run, model, tmp_path):
    files = [save(tmp_path / "in" / f"{stem}.png", seed) for stem, seed in (("10", 20), ("9 b", 21))]
    Image.open(files[0]).crop((0, 0, 40, 30)).save(tmp_path / "in" / "other size.jpg", quality=95)
    files.append(tmp_path / "in" / "other size.jpg")
    words = ("--model", model, "--cropped", WINDOW)
    ended = run("segment", *files, "-o", tmp_path / "ours", *words)
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "ours").iterdir()} == BESIDE | {"10.png", "9 b.png", "other size.png"}
    assert run("segment", *files, "-o", tmp_path / "theirs", *words, "--codes", "covid_semiseg").code == 0
    for file in files:
        ours, theirs = (pixels(tmp_path / folder / f"{file.stem}.png") for folder in ("ours", "theirs"))
        with Image.open(file) as picture:
            assert ours.shape == theirs.shape == picture.size[::-1]
        np.testing.assert_array_equal(theirs, np.array([0, 0, 1, 2])[ours])
    assert set(np.unique(pixels(tmp_path / "ours" / "10.png"))) == {1, 2, 3}  # all of these slices is lung
    _, truth = slice_of(20)
    found = pixels(tmp_path / "theirs" / "10.png")
    assert (found[truth == 4] == 1).mean() > 0.8
    assert (found[truth == 8] == 2).mean() > 0.8
    names = json.loads((tmp_path / "theirs" / "labels.json").read_text())["labels"]
    assert names[0] == {"code": 0, "name": "background or lung"}
    assert "3 label maps by the model supervised, unet in " in ended.out
    (tmp_path / "truth").mkdir()
    for file in files:
        shutil.copy(tmp_path / "theirs" / f"{file.stem}.png", tmp_path / "truth")
    named = ("--prediction-codes", "covid_semiseg", "--truth-codes", "covid_semiseg")
    ended = run("evaluate", tmp_path / "theirs", tmp_path / "truth", "-o", tmp_path / "scores", *named)
    assert "infection dice: 1.000" in ended.out
    assert "lung" not in ended.out  # these codes do not tell it


def test_the_table_says_what_was_assumed_and_so_does_the_terminal(run, model, dicom, patient, tmp_path):
    whole = np.clip((patient.hu[24] + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    top, left, bottom, right = lung_boxes(find_lungs(patient).mask, Preparation())[24]
    crop = whole[top:bottom, left:right]
    Image.fromarray(np.ascontiguousarray(crop)).save(tmp_path / "crop.png")
    both = (tmp_path / "whole.png", tmp_path / "crop.png")
    ended = run("segment", *both, "-o", tmp_path / "out", "--model", model, "--orientation", "turn-90")
    assert ended.code == 0, ended.err
    first, second = rows_of(tmp_path / "out")
    assert (first["stem"], first["taken_for"], second["taken_for"]) == ("whole", "slice", "crop")
    assert (int(first["width"]), int(first["height"])) == whole.shape[::-1]
    assert (int(second["width"]), int(second["height"])) == crop.shape[::-1]
    assert second["orientation"] == "turn-90"
    assert first["window_from"] == "histogram"
    made = calibrate(histogram([whole]))
    assert (int(first["black_hu"]), int(first["white_hu"])) == (round(made.black_hu), round(made.white_hu))
    assert "Taken for crops around the lungs: 1 of 2" in ended.err
    assert "that errs by some 60 HU" in ended.err
    ended = run("segment", *both, "-o", tmp_path / "two", "--model", model, WINDOW, "--cropped")
    assert {(row["black_hu"], row["white_hu"], row["window_from"], row["taken_for"]) for row in rows_of(
        tmp_path / "two"
    )} == {("-1350", "150", "stated", "crop")}  # fmt: skip
    assert "black is -1350 and white is 150 HU, as stated." in ended.err
    record = json.loads((tmp_path / "two" / "provenance.json").read_text())
    assert record["settings"]["window"] == [-1350, 150]
    assert len(record["data"]["weights"]) == 64
    assert str(tmp_path) not in json.dumps(record)


def test_maps_agree_with_each_other_and_with_the_label_map(run, model, tmp_path):
    file = save(tmp_path / "a.png")
    words = ("--model", model, "--cropped", WINDOW, "--codes", "covid_semiseg", "--maps")
    assert run("segment", file, "-o", tmp_path / "out", *words).code == 0
    names = ("infection", "ground_glass", "consolidation")
    assert {path.name for path in (tmp_path / "out").iterdir()} == BESIDE | {"a.png", *(f"a_{n}.png" for n in names)}
    infection, haze, solid = (pixels(tmp_path / "out" / f"a_{name}.png").astype(int) for name in names)
    assert np.abs(haze + solid - infection).max() <= 1  # each was rounded
    likeliest = np.argmax([255 - infection, haze, solid], axis=0)
    codes = pixels(tmp_path / "out" / "a.png")
    clear = np.diff(np.sort([255 - infection, haze, solid], axis=0), axis=0)[-1] > 2
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(codes[clear], likeliest[clear])


def test_a_turned_picture_is_turned_back(run, model, tmp_path):
    straight, turned = save(tmp_path / "a.png"), save(tmp_path / "b.png", turn=np.transpose)
    words = ("--model", model, "--cropped", WINDOW, "--maps", "--codes", "covid_semiseg", "--views", "1")
    assert run("segment", straight, "-o", tmp_path / "one", *words).code == 0
    assert run("segment", turned, "-o", tmp_path / "two", *words, "--orientation", "transpose").code == 0
    for tail in ("", "_infection"):
        expected = pixels(tmp_path / "one" / f"a{tail}.png")
        np.testing.assert_array_equal(pixels(tmp_path / "two" / f"b{tail}.png"), expected.T)


def test_by_eight_views_as_by_default_it_does_not_matter_how_a_picture_lies(run, model, tmp_path):
    files = [save(tmp_path / "0.png"), save(tmp_path / "1.png", turn=np.rot90)]
    for views, said in (("1", ["--views", "1"]), ("8", [])):
        words = ("--model", model, "--cropped", WINDOW, *said, "--maps")
        assert run("segment", *files, "-o", tmp_path / views, *words).code == 0
        assert json.loads((tmp_path / views / "provenance.json").read_text())["settings"]["views"] == int(views)
    apart = {}
    for views in ("1", "8"):
        straight, turned = (pixels(tmp_path / views / f"{n}_infection.png").astype(int) for n in (0, 1))
        apart[views] = np.abs(turned - np.rot90(straight)).max()
    assert apart["8"] <= 1 < apart["1"]


def test_a_picture_has_the_same_answer_alone_and_among_others(run, model, tmp_path):
    files = [save(tmp_path / f"{seed}.png", seed) for seed in range(20, 30)]
    words = ("--model", model, "--cropped", "--codes", "covid_semiseg")
    assert run("segment", *files, "-o", tmp_path / "all", *words).code == 0
    assert run("segment", files[3], "-o", tmp_path / "one", *words).code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "all" / "23.png"), pixels(tmp_path / "one" / "23.png"))
    assert [row["stem"] for row in rows_of(tmp_path / "all")] == [str(seed) for seed in range(20, 30)]


def test_a_folder_stands_for_its_pictures_and_no_model_is_needed(run, patient, tmp_path):
    for z in (24, 4):
        grey = np.clip((patient.hu[z] + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(grey).save(tmp_path / "in" / f"{z}.png")
    ended = run("segment", tmp_path / "in", "-o", tmp_path / "out", WINDOW, "--codes", "mosmed")
    assert ended.code == 0, ended.err
    assert [row["stem"] for row in rows_of(tmp_path / "out")] == ["4", "24"]
    assert set(np.unique(pixels(tmp_path / "out" / "24.png"))) == {0, 1}
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert (record["model"], record["data"]) == ("threshold", {})


def same_stem(folder):
    return [save(folder / "a" / "7.png"), save(folder / "b" / "7.jpg")]


def same_but_for_capitals(folder):
    return [save(folder / "a" / "x.png"), save(folder / "b" / "X.png")]


def cut(folder):
    path = save(folder / "cut.png")
    path.write_bytes(path.read_bytes()[:-200])
    return [save(folder / "1.png"), path]


def in_colour(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)).save(folder / "colour.png")
    return [save(folder / "1.png"), folder / "colour.png"]


def sixteen_bits(folder):
    Image.fromarray(np.full((40, 48), 1000, np.uint16)).save(folder / "deep.png")
    return [save(folder / "1.png"), folder / "deep.png"]


def something_else(folder):
    (folder / "notes.txt").write_text("no picture")
    return [save(folder / "1.png"), folder / "notes.txt"]


def nothing_there(folder):
    return [save(folder / "1.png"), folder / "absent.png"]


def an_empty_folder(folder):
    (folder / "empty").mkdir()
    return [folder / "empty", "--codes", "covid_semiseg"]


def named_as_a_map(folder):
    return [save(folder / "7.png"), save(folder / "7_infection.png"), "--maps"]


@pytest.mark.parametrize(
    ("bad", "code", "says"),
    [
        (same_stem, 2, "Two outputs would be called 7.png"),
        (same_but_for_capitals, 2, "Two outputs would be called X.png"),
        (cut, 1, "The picture cut.png is truncated or damaged"),
        (in_colour, 1, "The picture colour.png is in colour"),
        (sixteen_bits, 1, "The picture deep.png has 16 bits a pixel"),
        (something_else, 2, "notes.txt is no picture"),
        (nothing_there, 2, "There is nothing at absent.png"),
        (an_empty_folder, 2, "There is no picture"),
        (named_as_a_map, 2, "Two outputs would be called 7_infection.png"),
        (lambda folder: [save(folder / "1.png"), "--codes", "covid_semisegg"], 2, "Did you mean 'covid_semiseg'"),
        (lambda folder: [save(folder / "1.png"), "--codes", "covid_ct_md"], 2, "no one table of codes"),
        (lambda folder: [save(folder / "1.png"), "--codes", "0=background,1=infection"], 2, "says no code's meaning"),
        (lambda folder: [save(folder / "1.png"), "--codes", "0=background,1=ground_glass"], 2, "have none for lung"),
        (lambda folder: [save(folder / "1.png"), "--codes", "mosmed", "--views", "3"], 2, "3 views"),
        (lambda folder: [save(folder / "1.png"), "--codes", "mosmed", "--case-name", "x"], 2, "--case-name for label"),
        (lambda folder: [save(folder / "1.png"), "--codes", "mosmed", "--format", "nrrd"], 2, "--format for label"),
        (lambda folder: [save(folder / "1.png"), "--codes", "mosmed", "--orientation", "up"], 2, "no orientation"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_nothing_is_written(run, model, tmp_path, bad, code, says):
    ended = run("segment", *bad(tmp_path), "-o", tmp_path / "out", "--model", model)
    assert ended.code == code, ended.err
    assert says in ended.error
    assert "Expected" in ended.error
    assert str(tmp_path) not in ended.err + ended.out
    assert not (tmp_path / "out").exists()


def test_a_model_without_probabilities_has_no_maps(run, tmp_path):
    ended = run("segment", save(tmp_path / "1.png"), "-o", tmp_path / "out", "--codes", "mosmed", "--maps")
    assert ended.code == 2
    assert "threshold has no probabilities" in ended.error


def test_a_name_is_no_formula_in_the_table(run, model, tmp_path):
    files = [save(tmp_path / f"{stem}.png") for stem in ("=1+1", "plain-1")]
    assert run("segment", *files, "-o", tmp_path / "out", "--model", model, "--cropped", WINDOW).code == 0
    with (tmp_path / "out" / "images.csv").open(newline="") as stream:
        assert {row["stem"] for row in csv.DictReader(stream)} == {"'=1+1", "plain-1"}
    assert (tmp_path / "out" / "=1+1.png").exists()


def test_nothing_that_is_there_is_written_over(run, tmp_path):
    file = save(tmp_path / "pictures" / "1.png")
    before = file.read_bytes()
    ended = run("segment", file, "-o", tmp_path / "pictures", "--codes", "covid_semiseg")
    assert ended.code == 2
    assert "The output folder holds 1.png already" in ended.error
    assert file.read_bytes() == before
    assert run("segment", file, "-o", tmp_path / "out", "--codes", "covid_semiseg").code == 0
    (tmp_path / "out" / "1.png").unlink()
    ended = run("segment", file, "-o", tmp_path / "out", "--codes", "covid_semiseg")
    assert "holds images.csv already" in ended.error
    shutil.rmtree(tmp_path / "out")


def test_a_scan_among_pictures_is_refused(run, dicom, tmp_path):
    ended = run("segment", save(tmp_path / "1.png"), dicom, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "is no picture" in ended.error
    ended = run("segment", dicom, "-o", tmp_path / "out", "--codes", "covid_semiseg")
    assert "is no picture" in ended.error
    assert not (tmp_path / "out").exists()


def test_a_code_is_the_lowest_that_may_be_the_tissue_and_nothing_of_another_kind():
    lesion = Tissue.GROUND_GLASS | Tissue.CONSOLIDATION
    assert renamed({0: NOT_LESION, 1: Tissue.GROUND_GLASS, 2: Tissue.CONSOLIDATION}).tolist() == [0, 0, 1, 2]
    assert renamed({0: UNKNOWN, 5: NOT_LESION, 9: lesion}).tolist() == [5, 5, 9, 9]
    # MedSeg: 3 is pleural effusion, which is background too
    medseg = {0: NOT_LESION, 1: Tissue.GROUND_GLASS, 2: Tissue.CONSOLIDATION, 3: Tissue.BACKGROUND}
    assert renamed(medseg).tolist() == [0, 0, 1, 2]
    assert names_of(renamed({0: NOT_LESION, 1: lesion})) == {
        0: "background or lung",
        1: "ground-glass opacity or consolidation",
    }
    with pytest.raises(UsageError, match="none for consolidation"):
        renamed({0: NOT_LESION, 1: Tissue.GROUND_GLASS, 256: Tissue.CONSOLIDATION})

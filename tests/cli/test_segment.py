import csv
import json
import os
import random
import shutil
import sys
import zipfile
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from groundglass.cli import segment as segment_module
from groundglass.cli.key import load_key
from groundglass.io import read, write_series
from groundglass.labels import NAME_OF_CODE
from groundglass.scan import Notice, Scan
from tests.cli.conftest import FILES, label_map
from tests.io.made import write_nrrd
from tests.thorax import AFFINE


def zipped(dicom, folder):
    path = folder / "scan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(dicom.iterdir()):
            archive.write(file, f"deep/inside/{file.name}")
    return path


def shuffled(dicom, folder):
    target = folder / "shuffled"
    target.mkdir()
    files = sorted(dicom.iterdir())
    names = [f"{number:05d}.bin" for number in range(len(files))]
    random.Random(1).shuffle(names)  # noqa: S311
    for file, name in zip(files, names, strict=True):
        shutil.copy(file, target / name)
    (target / "read me.txt").write_text("not a slice")
    return target


def nifti(dicom, folder, turned=False):
    scan = read(dicom)
    array, affine = scan.hu.T, scan.affine
    if turned:  # axes (k, i, j), the first of them the other way round
        array = array[:, :, ::-1].transpose(2, 0, 1)
        swap = np.zeros((4, 4))
        swap[0, 1] = swap[1, 2] = swap[3, 3] = 1
        swap[2, 0], swap[2, 3] = -1, scan.hu.shape[0] - 1
        affine = affine @ swap
    path = folder / f"scan{turned}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array), affine), path)
    return path


def nrrd_file(dicom, folder):
    scan = read(dicom)
    path = folder / "scan.nrrd"
    lps = np.diag([-1, -1, 1, 1]) @ scan.affine
    header = {"space": "left-posterior-superior", "space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
    write_nrrd(path, scan.hu.T, header)
    return path


def test_a_dicom_folder_becomes_a_label_map_measurements_and_a_page(run, dicom, tmp_path):
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    codes = label_map(tmp_path / "out")
    assert set(np.unique(codes)) == {0, 1, 2, 3}
    image = nibabel.load(tmp_path / "out" / "labels.nii.gz")
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-3)
    assert ended.out.startswith("case-")
    assert ended.out.strip().endswith("page.html")


def test_the_numbers_in_csv_json_and_on_the_line_are_those_of_the_label_map(run, dicom, tmp_path):
    out = run("segment", dicom, "-o", tmp_path / "out").out
    codes = label_map(tmp_path / "out")
    voxel_ml = 4 * 2 * 2 / 1000
    with (tmp_path / "out" / "measurements.csv").open(newline="") as stream:
        rows = {(r["side"], r["third"], r["region"]): r for r in csv.DictReader(stream)}
    haze = float(rows["both", "all", "ground_glass"]["volume_ml"])
    assert haze == pytest.approx((codes == 2).sum() * voxel_ml, abs=1e-3)
    assert rows["right", "all", "consolidation"]["volume_ml"] == "0.0"
    assert float(rows["left", "all", "consolidation"]["volume_ml"]) > 5
    record = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert record["zones"][0]["regions"]["ground_glass"]["volume_ml"] == pytest.approx(haze)
    assert record["zones"][0]["first_slice"] == np.flatnonzero(codes.any(axis=(1, 2)))[0] + 1
    infection = (codes >= 2).sum() * voxel_ml
    assert f"infection {infection:.1f} mL" in out
    with (tmp_path / "out" / "slices.csv").open(newline="") as stream:
        slices = list(csv.DictReader(stream))
    assert [int(row["slice"]) for row in slices] == list(range(1, len(codes) + 1))
    scores = [float(row["infection_score"]) for row in slices]
    assert [score > 0 for score in scores] == [(plane >= 2).any() for plane in codes]


def test_labels_json_names_the_codes(run, dicom, tmp_path):
    run("segment", dicom, "-o", tmp_path)
    names = json.loads((tmp_path / "labels.json").read_text())["labels"]
    assert {entry["code"]: entry["name"] for entry in names} == dict(NAME_OF_CODE)


@pytest.mark.parametrize("form", [zipped, shuffled, nifti, lambda d, f: nifti(d, f, turned=True), nrrd_file])
def test_the_same_scan_in_any_form_gives_the_same_map_and_the_same_name(run, dicom, tmp_path, form):
    first = run("segment", dicom, "-o", tmp_path / "first")
    second = run("segment", form(dicom, tmp_path), "-o", tmp_path / "second")
    assert (first.code, second.code) == (0, 0)
    np.testing.assert_array_equal(label_map(tmp_path / "first"), label_map(tmp_path / "second"))
    assert first.out.split(":")[0] == second.out.split(":")[0]


def test_the_label_map_of_a_nifti_lies_on_its_own_grid(run, dicom, tmp_path):
    path = nifti(dicom, tmp_path, turned=True)
    run("segment", path, "-o", tmp_path / "out")
    scan, labels = nibabel.load(path), nibabel.load(tmp_path / "out" / "labels.nii.gz")
    assert labels.shape == scan.shape
    for field in ("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(labels.header[field], scan.header[field], err_msg=field)


def test_nrrd_on_demand(run, dicom, tmp_path):
    assert run("segment", dicom, "-o", tmp_path, "--format", "nrrd").code == 0
    values, header = nrrd.read(str(tmp_path / "labels.seg.nrrd"))
    assert set(np.unique(values)) == {0, 1, 2, 3}
    assert "Segment0_Name" in header


def test_a_turned_picture_gets_a_label_map_that_lies_as_it_does(run, patient, tmp_path):
    grey = np.clip((patient.hu[len(patient.hu) // 2] + 1350.0) / 1500 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "straight.png")
    Image.fromarray(np.ascontiguousarray(grey.T)).save(tmp_path / "turned.png")
    for name, more in (("straight", ()), ("turned", ("--orientation", "transpose"))):
        ended = run("segment", tmp_path / f"{name}.png", "-o", tmp_path / name, "--window=-1350,150", *more)
        assert ended.code == 0, ended.err
    with Image.open(tmp_path / "straight" / "labels.png") as straight:
        with Image.open(tmp_path / "turned" / "labels.png") as turned:
            np.testing.assert_array_equal(np.array(turned), np.array(straight).T)
        assert {0, 1, 2} <= set(np.unique(straight))
    assert json.loads((tmp_path / "turned" / "provenance.json").read_text())["settings"]["orientation"] == "transpose"


@pytest.mark.parametrize("words", [("--cropped",), ("--orientation", "transpose")])
def test_what_is_said_of_pictures_is_refused_for_scans(run, dicom, tmp_path, words):
    ended = run("segment", dicom, "-o", tmp_path / "out", *words)
    assert ended.code == 2
    assert "for pictures only" in ended.error
    assert not (tmp_path / "out").exists()


def test_a_picture_without_lung_has_no_share_of_it(run, tmp_path):
    Image.fromarray(np.full((64, 64), 230, np.uint8)).save(tmp_path / "solid.png")
    ended = run("segment", tmp_path / "solid.png", "-o", tmp_path / "out", "--window=-1350,150", "--cropped")
    assert ended.code == 0, ended.err
    assert "no lung found" in ended.out


def test_a_picture_gets_a_picture_by_a_stated_window_or_an_estimated_one(run, patient, tmp_path):
    grey = np.clip((patient.hu[24] + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "slice.png")
    without = run("segment", tmp_path / "slice.png", "-o", tmp_path / "out")
    assert without.code == 0
    assert "estimated from its own histogram" in (tmp_path / "out" / "page.html").read_text()
    ended = run("segment", tmp_path / "slice.png", "-o", tmp_path / "out", "--window=-1350,150")
    assert ended.code == 0
    with Image.open(tmp_path / "out" / "labels.png") as labels:
        assert labels.size == (grey.shape[1], grey.shape[0])
        assert set(np.unique(np.asarray(labels))) == {0, 1, 2, 3}
    record = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert record["zones"][0]["regions"]["infection"]["volume_ml"] is None
    assert record["zones"][0]["regions"]["infection"]["percent_of_lung"] > 0
    assert "black is -1350 HU" in (tmp_path / "out" / "page.html").read_text()


def test_several_scans_get_a_folder_each_and_one_bad_one_stops_no_other(run, dicom, patient, tmp_path):
    other = nifti(dicom, tmp_path)
    image = nibabel.load(other)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) - np.int16(1), image.affine), other)
    ended = run("segment", dicom, tmp_path / "nothing", other, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "scan 2 of 3" in ended.error
    folders = list((tmp_path / "out").iterdir())
    assert len(folders) == 2
    assert all({path.name for path in folder.iterdir()} == FILES for folder in folders)


def test_several_series_are_listed_and_one_is_chosen(run, patient, dicom, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(dicom, both / "one")
    write_series(
        Scan(patient.hu[:30], patient.affine),
        both / "two",
        extra={"SeriesNumber": 9, "SeriesDescription": "LUNG 4.0", "ConvolutionKernel": "B60f"},
    )
    ended = run("segment", both, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "There are 2 series" in ended.error
    assert "LUNG 4.0, kernel B60f, 4 mm, 30 slices" in ended.err
    assert "--series" in ended.err
    assert not (tmp_path / "out").exists()
    assert run("segment", both, "-o", tmp_path / "out", "--series", "2").code == 0
    assert len(label_map(tmp_path / "out")) == 30


def test_a_missing_slice_is_mended_and_told_on_the_page(run, dicom, tmp_path):
    gap = tmp_path / "gap"
    shutil.copytree(dicom, gap)
    sorted(gap.iterdir())[20].unlink()
    assert run("segment", gap, "-o", tmp_path / "out").code == 0
    assert len(label_map(tmp_path / "out")) == len(list(dicom.iterdir()))
    assert "1 of 48 slices are missing (number 21 from the lowest)" in (tmp_path / "out" / "page.html").read_text()


def test_a_scan_given_twice_is_told(run, dicom, tmp_path):
    ended = run("segment", dicom, dicom, "-o", tmp_path)
    assert ended.code == 2
    assert "given twice" in ended.error


def test_a_case_is_called_as_asked(run, dicom, tmp_path):
    assert run("segment", dicom, "-o", tmp_path, "--case-name", "Study 7").out.startswith("Study 7:")
    assert "Study 7" in (tmp_path / "page.html").read_text()


def test_another_key_calls_the_case_otherwise_and_the_same_key_the_same(run, dicom, tmp_path):
    (tmp_path / "a.key").write_bytes(bytes(range(32)))
    (tmp_path / "b.key").write_bytes(bytes(32))
    names = [
        run("segment", dicom, "-o", tmp_path / "out", "--key", tmp_path / key).out.split(":")[0]
        for key in ("a.key", "b.key", "a.key")
    ]
    assert names[0] == names[2] != names[1]


def test_running_again_replaces_what_was_there_and_nothing_else(run, dicom, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "page.html").write_text("old")
    assert run("segment", dicom, "-o", tmp_path).code == 0
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert (tmp_path / "page.html").read_text() != "old"
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"mine.txt"}


def test_label_maps_of_an_earlier_run_do_not_stay_beside_another_patients_page(run, dicom, patient, tmp_path):
    other = Scan(patient.hu[:24] - 1, patient.affine)
    write_series(other, tmp_path / "other")
    out = tmp_path / "out"
    assert run("segment", dicom, "-o", out, "--format", "png").code == 0
    (out / "labels" / "mine.txt").write_text("kept")
    assert len(list((out / "labels").glob("*.png"))) == len(patient.hu)
    assert run("segment", tmp_path / "other", "-o", out, "--format", "png").code == 0
    assert len(list((out / "labels").glob("*.png"))) == 24
    assert run("segment", tmp_path / "other", "-o", out, "--format", "nrrd").code == 0
    assert [path.name for path in (out / "labels").iterdir()] == ["mine.txt"]
    (out / "labels" / "mine.txt").unlink()
    assert run("segment", tmp_path / "other", "-o", out).code == 0
    assert {path.name for path in out.iterdir()} == FILES


def test_labels_that_somebody_drew_or_corrected_and_what_is_being_read_are_not_written_over(
    run, dicom, patient, tmp_path
):
    case = tmp_path / "case"
    (case / "labels").mkdir(parents=True)
    Image.new("L", (9, 9)).save(case / "labels" / "0001.png")
    plain = tmp_path / "plain"
    assert run("segment", dicom, "-o", plain).code == 0
    scan = nibabel.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4))
    nibabel.save(scan, case / "labels.nii.gz")
    whole = (case / "labels.nii.gz").read_bytes()
    for source in (dicom, case / "labels.nii.gz"):
        ended = run("segment", source, "-o", case)
        assert ended.code == 2
        assert "is not as groundglass wrote it there" in ended.error
    assert (case / "labels.nii.gz").read_bytes() == whole
    assert {path.name for path in case.rglob("*")} == {"labels", "0001.png", "labels.nii.gz"}
    corrected = plain / "labels.nii.gz"
    corrected.write_bytes(whole)
    assert "labels.nii.gz, which is not" in run("segment", dicom, "-o", plain).error
    assert corrected.read_bytes() == whole
    corrected.unlink()
    assert run("segment", dicom, "-o", plain).code == 0
    for damaged in ("{", "[]", '{"files": 3}'):
        (plain / "provenance.json").write_text(damaged)
        assert "is not as groundglass wrote it there" in run("segment", dicom, "-o", plain).error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: 9 bytes"), KeyError("DOE")])
def test_one_scan_that_breaks_the_program_stops_no_other(run, dicom, patient, tmp_path, monkeypatch, error):
    write_series(Scan(patient.hu[:24] - 1, patient.affine), tmp_path / "other")
    asked, measure = [], segment_module.measure

    def fails_once(*words, **more):
        asked.append(1)
        if len(asked) == 1:
            raise error
        return measure(*words, **more)

    monkeypatch.setattr(segment_module, "measure", fails_once)
    ended = run("segment", dicom, tmp_path / "other", "-o", tmp_path / "out")
    assert ended.code == 1
    assert "scan 1 of 2: " in ended.error
    assert ("Out of memory" if not isinstance(error, KeyError) else "A fault in groundglass") in ended.error
    assert "DOE" not in ended.err
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.iterdir()} == FILES


def test_names_of_files_are_told_on_a_terminal_alone_and_made_harmless(run, dicom, tmp_path, monkeypatch):
    shutil.copytree(dicom, tmp_path / "scan")
    (tmp_path / "scan" / "DOE\n\x1b[2Jgroundglass: lie").write_text("no slice")
    ended = run("segment", tmp_path / "scan", "-o", tmp_path / "out")
    assert "note: Files that are no DICOM, left out: 1.\n" in ended.err
    assert "DOE" not in ended.err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    notice = Notice("Files that are no DICOM, left out: 6.", ("DOE\n\x1b[2Jgroundglass: lie", *"abcde"))
    told = "note: Files that are no DICOM, left out: 6. (DOE (2Jgroundglass: lie, a, b, c, d, ...)"
    assert segment_module._note(notice) == told


def test_the_result_does_not_depend_on_the_run(run, dicom, tmp_path):
    for name in ("first", "second"):
        run("segment", dicom, "-o", tmp_path / name)
    for file in FILES - {"page.html"}:  # the page has the seconds that each phase took
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "unet"], "no model of that name"),
        (["--format", "mat"], "no label format"),
        (["--window", "1"], "not two numbers"),
        (["--window", "a,b"], "not two numbers"),
        (["--case-name", "../x"], "case name"),
        (["--case-name", ""], "case name"),
        (["--key", "absent.key"], "--key is not there"),
        (["--series", "9"], "series"),
    ],
)
def test_options_that_cannot_be_right(run, dicom, tmp_path, options, says):
    ended = run("segment", dicom, "-o", tmp_path / "out", *options)
    assert ended.code == 2
    assert says in ended.error
    assert not (tmp_path / "out").exists()


def test_a_short_key_is_refused(run, dicom, tmp_path):
    (tmp_path / "short.key").write_bytes(b"abc")
    ended = run("segment", dicom, "-o", tmp_path / "out", "--key", tmp_path / "short.key")
    assert ended.code == 1
    assert "3 bytes" in ended.error


@pytest.mark.parametrize("left", [b"", b"half a key", bytes(40)])
def test_a_damaged_key_is_made_anew_and_never_filled_up(run, dicom, tmp_path, monkeypatch, left):
    """Filled up it would be known to everybody, who could then tell whose scan a case is."""
    monkeypatch.setattr("typer.get_app_dir", lambda _: str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    key = tmp_path / "own" / "case.key"
    key.write_bytes(left)
    ended = run("segment", dicom, "-o", tmp_path / "out")
    assert ended.code == 0
    assert "The key for case names was damaged and was made anew" in ended.err
    assert len(key.read_bytes()) == 32
    assert key.read_bytes().rstrip(b"\0") != left.rstrip(b"\0")
    assert (tmp_path / "own" / "case.key.damaged").read_bytes() == left  # of another length it may be somebody's
    again = run("segment", dicom, "-o", tmp_path / "out")
    assert "was damaged" not in again.err
    assert again.out.split(":")[0] == ended.out.split(":")[0]


def test_two_first_runs_at_once_use_one_key(tmp_path, monkeypatch):
    """The other one's key came between the look and the link."""
    monkeypatch.setattr("typer.get_app_dir", lambda _: str(tmp_path / "own"))
    link, other = os.link, bytes(range(32))

    def late(source, target):
        Path(target).write_bytes(other)
        return link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_key(None) == (other, ())
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["case.key"]


def test_label_maps_of_pictures_are_not_written_where_the_next_run_would_read_them(run, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.new("L", (64, 64), 90).save(pictures / f"{number}.png")
    for folder in (pictures, pictures / "out"):
        ended = run("segment", pictures, "-o", folder, "--cropped")
        assert ended.code == 2
        assert "The output folder lies in the folder of the pictures" in ended.error
    assert len(list(pictures.iterdir())) == 3
    assert run("segment", pictures, "-o", tmp_path / "out", "--cropped").code == 0


def test_a_window_of_a_scan_which_would_be_ignored_is_refused(run, dicom, tmp_path):
    ended = run("segment", dicom, "-o", tmp_path / "out", "--window=-1000,0")
    assert ended.code == 2
    assert "--window for a scan" in ended.error
    assert not (tmp_path / "out").exists()

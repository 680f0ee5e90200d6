import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from groundglass.datasets import covid_ct_md, covid_semiseg
from groundglass.datasets._preparing import prepare_into
from groundglass.datasets._preparing_case import Job, prepare_case
from groundglass.errors import ReadError, UsageError, WriteError
from groundglass.labels import UNKNOWN
from groundglass.preprocess.preparation import Preparation
from groundglass.preprocess.slices import frame, prepare_image, prepare_labels
from groundglass.store import open_store
from groundglass.store.index import from_csv
from groundglass.store.writer import StoreWriter
from tests.datasets.archives import ct_md, grey, semiseg

PREPARATION = Preparation(size=(48, 64), intensity="calibrated")


def make(root, path, preparation=PREPARATION):
    return prepare_into(path, "covid_semiseg", covid_semiseg.read(root), preparation, key=b"key")


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return semiseg(tmp_path_factory.mktemp("semiseg"))


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    make(root, path)
    return path


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def test_slices_of_different_sizes_come_back_as_they_were(root, made):
    store, labelled = open_store(made), next(iter(covid_semiseg.read(root)))
    for number, (sets, picture) in enumerate(zip(labelled.labels, labelled.images, strict=True)):
        info = store.slices[number]
        np.testing.assert_array_equal(store.label_set(number), sets)
        expected = info.black_hu + picture / 255 * (info.white_hu - info.black_hu)
        np.testing.assert_allclose(store.image(number), expected, atol=0.51)
        assert store.image(number).dtype == np.int16


def test_what_a_network_sees_is_the_slice_prepared(made):
    store = open_store(made)
    for number, info in enumerate(store.slices):
        where = frame((info.height, info.width), info.box, PREPARATION)
        assert store.frame(number) == where
        expected = prepare_image(store.image(number), where, PREPARATION.window_hu)
        np.testing.assert_allclose(store.prepared(number), expected, atol=0.5 / 4095 + 1e-6)
        if info.labelled:
            np.testing.assert_array_equal(
                store.prepared_label_set(number), prepare_labels(store.label_set(number), where)
            )


def test_the_index_knows_what_is_labelled(made):
    store = open_store(made)
    assert (store.labelled, store.unlabelled) == ((0, 1, 2), (3, 4, 5, 6, 7))
    assert store.slices[0].sets == (3, 4, 8)
    assert [info.group for info in store.slices[:3]] == ["g0", "g1", "g1"]
    assert store.label_set(3) is None
    assert store.prepared_label_set(3) is None
    assert store.slices[4].id == "coronacases-001/0010"
    assert store.number("coronacases-001/0010") == 4
    assert (store.slices[4].position, store.slices[4].spacing_mm) == (10, None)
    assert store.preparation == PREPARATION
    with pytest.raises(UsageError, match="no slice a/b"):
        store.number("a/b")


def test_beyond_a_slice_tiles_are_air_of_unknown_label(made):
    import zarr

    image, label = (zarr.open_array(made / "cases" / "labelled" / name, mode="r") for name in ("image", "label"))
    assert (image.fill_value, label.fill_value) == (-1024, UNKNOWN)
    assert image.chunks == (1, 32, 51)
    assert (image[0, :, 40:] == -1024).all()  # slice 0 is 40 wide
    assert (label[0, :, 40:] == UNKNOWN).all()


def test_volumes_share_a_window_and_single_slices_do_not(made):
    store = open_store(made)
    windows = [(info.black_hu, info.white_hu) for info in store.slices]
    assert windows[3] == windows[4]
    assert len(set(windows[:3])) > 1


def test_the_same_data_give_the_same_bytes(root, made, tmp_path):
    make(root, tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(made)


def test_running_again_does_nothing(root, copy):
    before = {path: path.stat().st_mtime_ns for path in (copy / "cases").rglob("*") if path.is_file()}
    assert make(root, copy).reused == 4
    assert {path: path.stat().st_mtime_ns for path in (copy / "cases").rglob("*") if path.is_file()} == before


def test_what_changed_is_prepared_again_and_what_is_gone_is_removed(root, copy, tmp_path):
    from PIL import Image

    other = shutil.copytree(root, tmp_path / "other")
    folder = other / "TrainingSet/LungInfection-Train/Pseudo-label/Imgs"
    Image.fromarray(grey((32, 44), 99)).save(folder / "Data-1_coronacases_org_001_2.jpg")
    for path in folder.glob("*10_85902_3*"):
        path.unlink()
    content = open_store(copy).content
    assert make(other, copy).reused == 2
    store = open_store(copy)
    assert store.content != content
    assert sorted(path.name for path in (copy / "cases").iterdir() if path.is_dir()) == [
        "coronacases-001",
        "labelled",
        "radiopaedia-10_85902_1",
    ]


def test_a_run_that_was_killed_is_taken_up_to_the_same_bytes(root, made, tmp_path):
    """Killed again and again, at later and later moments, until it gets through."""
    path, kills = tmp_path / "killed", 0
    script = (
        "import sys, time; from pathlib import Path\n"
        "import groundglass.store.writer as writer\n"
        "from groundglass.datasets import covid_semiseg\n"
        "from groundglass.datasets._preparing import prepare_into\n"
        "from groundglass.preprocess.preparation import Preparation\n"
        "plain = writer._write\n"
        "def slow(*words): print('tick', flush=True); time.sleep(0.05); plain(*words)\n"
        "writer._write = slow\n"
        "prepare_into(Path(sys.argv[2]), 'covid_semiseg', covid_semiseg.read(Path(sys.argv[1])),\n"
        "             Preparation(size=(48, 64), intensity='calibrated'), key=b'key')\n"
    )
    for ticks in (1, 3, 4, 5, 100):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(root), str(path)], stdout=subprocess.PIPE, text=True
        )
        with process:
            for _ in range(ticks):
                if not process.stdout.readline():
                    break
            else:
                time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
                kills += 1
        if ticks < 100:
            with pytest.raises(ReadError, match="half-prepared"):
                open_store(path)
    assert kills == 4
    assert bytes_of(path) == bytes_of(made)


def test_a_folder_of_another_preparation_is_refused(root, copy):
    before = bytes_of(copy)
    with pytest.raises(UsageError, match=r"another preparation \(size is \[48, 64\], not \[32, 32\]\)"):
        make(root, copy, Preparation(size=(32, 32), intensity="calibrated"))
    with pytest.raises(UsageError, match="another data set"):
        prepare_into(copy, "covid_ct_md", covid_semiseg.read(root), PREPARATION, key=b"")
    assert bytes_of(copy) == before


def test_a_folder_with_other_things_and_a_file_are_refused(root, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds other things"):
        make(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        make(root, tmp_path / "thesis.tex")


def test_two_writers_at_once_are_refused(root, copy):
    with (
        StoreWriter(copy, "covid_semiseg", PREPARATION),
        pytest.raises(UsageError, match="Another process"),
    ):
        make(root, copy)
    make(root, copy)


def test_a_full_disk_is_told_of_and_the_store_is_half_prepared(root, tmp_path, monkeypatch):
    import errno

    import groundglass.store.writer as writer

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(WriteError, match="the disk is full"):
        make(root, tmp_path / "store")
    with pytest.raises(ReadError, match="half-prepared"):
        open_store(tmp_path / "store")


def no_chunk(path):
    (path / "cases/labelled/prepared/c/1/0/0").unlink()


def a_changed_byte(path):
    chunk = path / "cases/labelled/prepared/c/1/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)


def half_a_chunk(path):
    chunk = path / "cases/labelled/prepared/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:50])


def no_array(path):
    shutil.rmtree(path / "cases/labelled/prepared")


@pytest.mark.parametrize("harm", [no_chunk, a_changed_byte, half_a_chunk, no_array])
def test_a_damaged_slice_is_told_of_and_never_read_as_air(copy, harm):
    harm(copy)
    store = open_store(copy)
    with pytest.raises(ReadError, match="Slice labelled/3 of the store is damaged"):
        store.prepared(1)


def another_group(path):
    index = path / "index.csv"
    index.write_text(index.read_text().replace(",g1,", ",g0,"))


def another_box(path):
    index = path / "index.csv"
    first, second, *rest = index.read_text().splitlines()
    cells = second.split(",")
    cells[first.split(",").index("box")] = "0 0 9999 9999"
    index.write_text("\n".join([first, ",".join(cells), *rest]) + "\n")


def no_index(path):
    (path / "index.csv").unlink()


def no_manifest(path):
    (path / "manifest.json").unlink()


def broken_manifest(path):
    (path / "manifest.json").write_text("{")


def deep_manifest(path):
    (path / "manifest.json").write_text("[" * 100_000)


def no_data_set(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({key: told for key, told in manifest.items() if key != "dataset"}))


def no_preparation(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "preparation": None}))


def another_format(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))


@pytest.mark.parametrize(
    ("harm", "kind", "told"),
    [
        (another_group, ReadError, "index of the store was changed"),
        (another_box, ReadError, "index of the store was changed"),
        (no_index, ReadError, "index of the store is damaged"),
        (no_manifest, UsageError, "no store in the folder"),
        (broken_manifest, ReadError, "manifest of the store cannot be read"),
        (deep_manifest, ReadError, "manifest of the store cannot be read"),
        (no_data_set, ReadError, "manifest of the store cannot be read"),
        (no_preparation, ReadError, "manifest of the store cannot be read"),
        (another_format, ReadError, "format 99"),
    ],
)
def test_a_store_that_is_none_is_not_opened(copy, harm, kind, told):
    harm(copy)
    with pytest.raises(kind, match=told):
        open_store(copy)


def total(store, number):
    return float(store.prepared(number).sum())


def test_several_processes_read_at_once(made):
    store = open_store(made)
    expected = [total(store, number) for number in range(len(store))]
    # spawned: forking a process with threads warns from Python 3.12 on
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.starmap(total, [(store, number) for number in range(len(store))]) == expected


def test_a_store_can_be_pickled_after_reading(made):
    store = open_store(made)
    store.prepared(0)
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    np.testing.assert_array_equal(again.prepared(0), store.prepared(0))


def test_nothing_of_the_machine_or_a_path_is_in_it(root, made):
    text = "".join(content.decode("latin-1") for content in bytes_of(made).values())
    for word in (str(root), str(made), f'"{os.uname().nodename}"'):
        assert word not in text


def test_scans_are_cropped_to_their_lungs_and_keep_their_numbers(tmp_path):
    preparation = Preparation(size=(64, 64))
    prepare_into(tmp_path / "store", "covid_ct_md", covid_ct_md.read(ct_md(tmp_path / "data")), preparation, key=b"")
    store = open_store(tmp_path / "store")
    first = [info for info in store.slices if info.case == "P001"]
    assert 38 <= len(first) < 48  # the lungs reach over 160 of 192 mm
    assert first[0].id == f"P001/{first[0].position:04d}"
    assert first[0].spacing_mm == (4, 2, 2)
    assert first[-1].tags == {"infected": "1"}
    assert (first[0].how, first[0].source) == ("hu", "scan")
    assert all(info.box != (0, 0, info.height, info.width) for info in first)
    middle = store.prepared(len(first) // 2)
    assert (middle > 0.1).any(axis=0).all()  # the crop fills the picture from left to right


def test_a_blank_slice_of_a_scan_is_no_slice_to_train_on(tmp_path):
    cases = covid_ct_md.read(ct_md(tmp_path / "data"))
    case = cases.loaders[0]()
    hu = case.images.hu.copy()
    hu[24] = 0
    blank = replace(case, images=replace(case.images, hu=hu))
    numbers = [
        {info.position for info in prepare_case(one, Job(tmp_path / name, Preparation(size=(64, 64)), b"")).slices}
        for one, name in ((case, "whole"), (blank, "blank"))
    ]
    assert numbers[0] - numbers[1] == {case.positions[24]}


def test_an_index_survives_its_csv(made):
    store = open_store(made)
    assert from_csv((made / "index.csv").read_text()) == store.slices
    assert store.slices[0].tags == {}
    with pytest.raises(ReadError, match="index of the store is damaged"):
        from_csv("id,case\n")


@pytest.mark.real
def test_reading_the_real_store_keeps_up_with_training(data, tmp_path):
    prepare_into(
        tmp_path / "store",
        "covid_semiseg",
        covid_semiseg.read(data / "covid_semiseg"),
        Preparation(intensity="calibrated"),
        key=b"",
    )
    store = open_store(tmp_path / "store")
    assert (len(store.labelled), len(store.unlabelled)) == (50, 1600)
    assert all(set(info.sets) <= {3, 4, 8} for info in store.slices)
    dark = [np.median(store.image(number)[store.image(number) < -600]) for number in store.unlabelled[::40]]
    assert -960 < np.median(dark) < -760  # lung is where lung is, in wide windows and in narrow ones

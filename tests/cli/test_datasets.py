import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from groundglass.cli.datasets_sheet import Thinned
from groundglass.datasets import _catalogue as catalogue
from groundglass.datasets._catalogue import Card, Entry, Remote
from groundglass.io.download import ATTEMPTS, download
from tests.datasets.archives import SEMISEG_LABELLED, semiseg
from tests.datasets.fake_publishers import mosmed
from tests.io.web import Web, serving


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return semiseg(tmp_path_factory.mktemp("sets") / "semiseg")


def packed(folder):
    """A zip of a folder."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*.*")):
            if path.is_file():
                made.write(path, path.relative_to(folder))
    return stream.getvalue()


@pytest.fixture
def web(root, monkeypatch):
    """A server with a data set in two archives, and a catalogue that knows it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    inner, whole = io.BytesIO(), io.BytesIO(packed(root))
    with zipfile.ZipFile(inner, "w") as made:
        made.writestr("more/note.csv", "x")
    with zipfile.ZipFile(whole, "a") as made:
        made.writestr("more.zip", inner.getvalue())
    with serving(Web(labels__zip=whole.getvalue(), table__csv=b"a,b")) as served:
        remotes = (
            Remote("labels.zip", f"{served.address}/labels.zip"),
            Remote("table.csv", f"{served.address}/table.csv"),
        )
        entry = Entry(
            "toy", "A toy", "1 MB", "be kind", "http://toy", ("TrainingSet/*",), Card(), remotes, ("Look at it.",)
        )
        monkeypatch.setattr(catalogue, "ENTRIES", {**catalogue.ENTRIES, "toy": entry})
        yield served


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_list_says_what_is_here(run, root):
    ended = run("datasets", "list", root.parent)
    blocks = dict(block.split("\n", 1) for block in _blocks(ended.out))
    assert f"here: {root}" in blocks["covid_semiseg"]
    assert "terms: non-commercial use only" in blocks["covid_semiseg"]
    assert "not here" in blocks["mosmed"]
    assert "not here" not in run("datasets", "list").out
    assert "nothing at the folder" in run("datasets", "list", root / "absent").error


def _blocks(text):
    """A block for each name, which alone is not indented."""
    blocks = []
    for line in text.splitlines():
        if line.startswith(" "):
            blocks[-1] += "\n" + line
        else:
            blocks.append(line)
    return blocks


def test_a_set_is_fetched_unpacked_and_not_fetched_twice(run, web, tmp_path):
    ended = run("datasets", "get", "toy", "-o", tmp_path, "--accept-terms", "-q")
    assert ended.code == 0, ended.err
    assert "Terms: be kind" in ended.out
    assert f"toy is at {tmp_path / 'toy'}\nLook at it.\n" in ended.out
    here = files(tmp_path / "toy")
    assert {"TrainingSet/MultiClassInfection-Train/GT/0.png", "more/note.csv", "table.csv", "terms.txt"} <= set(here)
    assert not [name for name in here if name.endswith(".zip") or name.startswith(".")]
    seen = json.loads((tmp_path / "toy" / "sha256.json").read_text())
    assert [(name, len(told["sha256"])) for name, told in seen.items()] == [("labels.zip", 64), ("table.csv", 64)]
    count = len(web.asked)
    again = run("datasets", "get", "toy", "-o", tmp_path)
    assert (again.code, len(web.asked)) == (0, count)
    assert "Terms" not in again.out


def test_terms_are_asked_once(run, web, tmp_path, monkeypatch):
    ended = run("datasets", "get", "toy", "-o", tmp_path)
    assert (ended.code, web.asked) == (2, [])
    assert "--accept-terms" in ended.error
    for answer, code in (("n\n", 2), ("y\n", 0)):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
        assert run("datasets", "get", "toy", "-o", tmp_path, "-q").code == code
    assert (tmp_path / "toy" / "terms.txt").read_text().startswith("A toy")


def test_a_connection_that_was_cut_for_good_is_taken_up_by_the_next_run_and_no_terms_are_asked(
    run, web, tmp_path, monkeypatch
):
    monkeypatch.setitem(download.__kwdefaults__, "pause", lambda _: None)
    web.cuts = [100] * ATTEMPTS
    ended = run("datasets", "get", "toy", "-o", tmp_path, "--accept-terms", "-q")
    assert ended.code == 1
    assert f"failed after {100 * ATTEMPTS} bytes: it was cut" in ended.error
    assert not (tmp_path / "toy" / "TrainingSet").exists()
    again = run("datasets", "get", "toy", "-o", tmp_path, "-q")
    assert again.code == 0, again.err
    assert web.asked[ATTEMPTS] == ("/labels.zip", f"bytes={100 * ATTEMPTS}-")
    assert "Terms" not in again.out


def test_what_changed_since_it_first_came_is_refused(run, web, tmp_path):
    run("datasets", "get", "toy", "-o", tmp_path, "--accept-terms", "-q")
    import shutil

    shutil.rmtree(tmp_path / "toy" / "TrainingSet")
    web.files["/labels.zip"] = packed(mosmed(tmp_path / "other"))
    ended = run("datasets", "get", "toy", "-o", tmp_path, "-q")
    assert ended.code == 1
    assert "labels.zip is not what it was when it first came" in ended.error
    assert not (tmp_path / "toy" / "studies").exists()


def test_a_mirror_stands_in_but_has_to_have_the_publishers_hash(run, web, tmp_path, monkeypatch):
    mine = f"{web.address}/labels.zip?token=1"
    assert run("datasets", "get", "covid-semiseg", "-o", tmp_path, "--from", mine, "--accept-terms", "-q").code == 0
    assert run("datasets", "check", "covid-semiseg", tmp_path / "covid_semiseg", "-q").code == 0
    remote = Remote("labels.zip", "https://elsewhere/labels.zip", digest=f"md5:{'0' * 32}")
    toy = catalogue.ENTRIES["toy"]
    monkeypatch.setitem(catalogue.ENTRIES, "toy", Entry(*(toy.name, "", "", "", "", toy.layout), files=(remote,)))
    ended = run("datasets", "get", "toy", "-o", tmp_path, "--from", mine, "--accept-terms", "-q")
    assert ended.code == 1
    assert "another MD5 than it should" in ended.error


def test_only_some_files(run, web, tmp_path):
    assert run("datasets", "get", "toy", "-o", tmp_path, "--only", "*.csv", "--accept-terms", "-q").code == 0
    assert files(tmp_path / "toy") == ["sha256.json", "table.csv", "terms.txt"]
    ended = run("datasets", "get", "toy", "-o", tmp_path, "--only", "x*", "--accept-terms")
    assert ended.code == 2
    assert "labels.zip, table.csv" in ended.error


@pytest.mark.parametrize("name", [name for name, entry in catalogue.ENTRIES.items() if not entry.files])
def test_sets_for_people_come_with_instructions(run, name, tmp_path):
    ended = run("datasets", "get", name, "-o", tmp_path)
    assert ended.code == 1
    assert "1. Open http" in ended.out
    assert f"groundglass datasets check {name} {tmp_path / name}" in ended.out
    assert "Follow the steps above" in ended.error
    assert not (tmp_path / name).exists()


def climbing(_):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("TrainingSet/x", "x")
        made.writestr("../../escaped", "x")
    return stream.getvalue()


def bomb(monkeypatch):
    from groundglass.io import archive

    monkeypatch.setattr(archive, "RATIO_FROM_BYTES", 10**5)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("TrainingSet/x", bytes(10**6))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (climbing, "points outside"),
        (bomb, "200 times its own size"),
        (lambda _: b"PK\x03\x04rubbish", "zip is damaged"),
        (lambda _: b"", "zip is damaged"),
    ],
)
def test_an_archive_that_cannot_be_trusted_leaves_nothing(run, web, tmp_path, monkeypatch, content, told):
    web.files["/labels.zip"] = content(monkeypatch)
    ended = run("datasets", "get", "toy", "-o", tmp_path / "a" / "b", "--accept-terms", "-q")
    assert ended.code == 1
    assert told in ended.error
    here = [name for name in files(tmp_path) if not name.startswith("a/b/toy/.download/")]
    assert here == ["a/b/toy/terms.txt"]


def test_other_archives_are_fetched_and_left_to_be_unpacked(run, web, tmp_path):
    web.files["/COVID19_1110.7z"] = b"7z\xbc\xaf\x27\x1c"
    words = ("--from", f"{web.address}/COVID19_1110.7z", "--accept-terms", "-q")
    ended = run("datasets", "get", "mosmed", "-o", tmp_path, *words)
    assert ended.code == 1
    assert f"Unpack it: 7z x {tmp_path / 'mosmed' / 'COVID19_1110.7z'}" in ended.out
    assert "archives that are still packed" in ended.error


def test_a_disk_that_fills_up_while_unpacking(web, tmp_path):
    """The file size limit of a process acts like a disk that is full."""
    content = np.random.default_rng(0).bytes(1000) * 30  # packs well: the archive fits, its member does not
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("studies/CT-1/study_0001.nii", content)
    web.files["/labels.zip"] = stream.getvalue()
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
from groundglass.cli.main import main
main()
"""
    words = ("datasets", "get", "mosmed", "-o", tmp_path, "--from", f"{web.address}/labels.zip", "--accept-terms", "-q")
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert [name for name in files(tmp_path / "mosmed") if "download" not in name] == ["terms.txt"]


def test_a_check_by_layout_with_a_sheet(run, root, tmp_path):
    ended = run("datasets", "check", root, "--sheet", tmp_path / "sheet.png", "-q")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    groups = len(set(SEMISEG_LABELLED.values())) + 2
    assert lines[:3] == [
        "covid_semiseg:",
        f"4 cases, 8 slices, {groups} patients (or groups of near-duplicates)",
        "3 slices with labels, 5 without",
    ]
    assert "differs: 8 slices, by the card 1650" in lines
    picture = np.array(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (206, 8 * 192, 3)
    assert {(230, 159, 0), (204, 121, 167)} <= {tuple(map(int, pixel)) for pixel in picture.reshape(-1, 3)}


def test_a_stream_is_thinned_evenly():
    kept = Thinned(8)
    for number in range(100):
        if kept.wants_next():
            kept.keep(number)
    assert kept.kept == [0, 16, 32, 48, 64, 80, 96]


def test_a_check_names_what_cannot_be_read_and_ends_with_1(run, tmp_path):
    broken = semiseg(tmp_path)
    (broken / "TrainingSet/MultiClassInfection-Train/GT/3.png").write_bytes(b"x")
    ended = run("datasets", "check", "covid-semiseg", broken, "-q")
    assert ended.code == 1
    assert "problem: case 1 of 4: The label picture" in ended.out
    assert "3 cases, 5 slices" in ended.out
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "{root}/absent"), "nothing at the folder"),
        (("check", "{root}/.."), "no data set that is known"),
        (("check", "nosuch", "{root}"), "There is no 'nosuch'"),
        (("get", "nosuch", "-o", "{root}"), "No data set is called"),
        (("get", "mosmed", "-o", "{root}", "--from", "file:///x"), "no address of the web"),
        (("convert", "folder", "{root}", "-o", "{root}/x", "--to", "coco"), "Nothing is converted to"),
    ],
)
def test_what_cannot_be_is_one_line(run, root, words, told):
    ended = run("datasets", *(word.format(root=root) for word in words))
    assert ended.code == 2
    assert told in ended.error


def test_there_and_back_through_nnunet(run, tmp_path):
    given = mosmed(tmp_path / "given")
    made = run("datasets", "convert", "mosmed", given, "-o", tmp_path / "raw", "--to", "nnunet", "--id", 12, "-q")
    assert made.code == 0, made.err
    assert "code 0: background or lung\ncode 1: ground-glass or consolidation\n" in made.out
    back = run(
        "datasets", "convert", "nnunet", tmp_path / "raw/Dataset012_Mosmed", "-o", tmp_path / "own", "--to", "folder"
    )
    assert back.code == 0, back.err
    checked = run("datasets", "check", tmp_path / "own", "-q")
    whole = run("datasets", "check", "mosmed", given, "-q")
    counts = [line for line in whole.out.splitlines()[1:] if not line.startswith(("note", "differs"))]
    # the fake studies show one thorax, and one's own cases are called by their content
    assert counts == [line for line in checked.out.splitlines()[1:] if not line.startswith(("note", "problem"))]

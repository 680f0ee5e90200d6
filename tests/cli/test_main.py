import os
import subprocess
import sys

from groundglass import __version__


def loaded_by(code):
    """Names of the top-level modules that a piece of code loads."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_help_loads_nothing_heavy():
    assert not loaded_by("import groundglass.cli.main") & {"numpy", "scipy", "nibabel", "pydicom", "torch", "jinja2"}
    assert "numpy" not in loaded_by("import groundglass")


def test_segmenting_loads_no_torch_and_no_plotting():
    assert not loaded_by("import groundglass.cli.segment") & {"torch", "matplotlib", "lightning", "monai"}


def test_help_names_the_commands(run):
    ended = run("--help")
    assert ended.code == 0
    assert "segment" in ended.out
    assert "demo" in ended.out


def test_version(run):
    assert run("--version").out == f"groundglass {__version__}\n"


def test_an_unknown_option_ends_with_2(run):
    assert run("segment", "--nonsense").code == 2


def test_a_reader_that_has_had_enough_is_no_fault():
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "groundglass", "datasets", "list"]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_the_default_codes_are_the_ones_that_errors_name():
    """The command may not import the other before it is asked to: numpy would come along."""
    from groundglass.cli.options import OUR_CODES
    from groundglass.evaluation.pairs import DEFAULT_CODES

    assert OUR_CODES == DEFAULT_CODES

"""Items done in processes of their own come to what they come to in this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundglass.cli.apart import apart
from groundglass.errors import GroundglassError, LabelError

ITEMS = (3, 1, 2)


def squared(item, tell):
    tell(item)
    return item**2


def refusing(item, tell):
    raise LabelError(f"Item {item}.", expected="none", remedy="Leave it.")


def killed(item, tell):
    os.kill(os.getpid(), signal.SIGKILL)


def waiting(folder, item, tell):
    Path(folder, str(item)).touch()
    time.sleep(120)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_has_its_result_and_its_steps_are_told(jobs):
    told = []
    assert dict(apart(squared, ITEMS, jobs, told.append)) == {3: 9, 1: 1, 2: 4}
    assert told == sorted(told)
    assert told[-1] == 6


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_ours_passes_as_it_is(jobs):
    with pytest.raises(LabelError, match=r"^Item \d\. Expected none\. Leave it\.$") as caught:
        list(apart(refusing, ITEMS, jobs, lambda _: None))
    assert caught.value.remedy == "Leave it."


def test_a_process_that_is_killed_is_told_of():
    with pytest.raises(GroundglassError, match=r"ended from outside.*room for 2 trainings.*Take fewer jobs"):
        list(apart(killed, ITEMS, 2, lambda _: None))


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_items_end_with_the_process_that_began_them(by, tmp_path):
    """They hold the pipe of its output: it ends when the last of them has ended."""
    words = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from functools import partial; "
        "from tests.cli.test_apart import *; "
        f"list(apart(partial(waiting, {str(tmp_path)!r}), ITEMS, 2, lambda _: None))"
    )
    process = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(by)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert len(list(tmp_path.iterdir())) == 2  # the third was never begun

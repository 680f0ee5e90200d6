"""`groundglass train` in two processes: one run, one voice, and no process that waits for one that will not come."""

import csv
import os
import subprocess
import sys

import pytest
import torch

from groundglass.cli.processes import launched, require_alone
from groundglass.engine import checkpoint
from groundglass.engine.log import LOG_FILE
from groundglass.errors import UsageError
from tests.toy_store import make_store

RECIPE = """
seed = 1
[data]
store = "absent"
[network]
name = "unet"
settings = { widths = [4] }
[[stage]]
method = "supervised"
[stage.training]
steps = 9
batch = 2
augmentation = "weak"
precision = "float32"
checkpoint_every = 4
"""

# Both processes of each scenario are forks of one that has imported everything and computed nothing.
SCENARIOS = """
import os, resource, signal, socket, sys
from pathlib import Path
from groundglass.cli import main, train
from groundglass.engine.loaders import Batches

folder = Path(sys.argv[1])
at = Batches.at

def faulty(fault):
    def draw(batches, number):
        if number == 5 and batches.rank == 1:  # one process's trouble, after the checkpoint of step 4
            fault()
        labelled, unlabelled = at(batches, number)
        if number == 5 and batches.rank == 1 and fault is nan:
            labelled.image.fill_(float("nan"))
        return labelled, unlabelled
    Batches.at = draw

def nan():
    pass

def child(scenario, rank, port):
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": port,
                   "MASTER_ADDR": "127.0.0.1"}
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{scenario}-{rank}.{name}", os.O_WRONLY | os.O_CREAT), number)
    run, recipe, store = folder / "whole", "recipe", "store"
    if scenario in ("nan", "resumed"):
        run = folder / "cut"
    if scenario == "nan":
        faulty(nan)
    if scenario == "killed":
        run = folder / "killed"
        faulty(lambda: os.kill(os.getpid(), signal.SIGKILL))
    if scenario == "full disk":
        run = folder / "full"
    if scenario == "full disk" and rank == 0:  # the other one writes nothing
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if scenario == "misspelt":
        recipe = "misspelt"
    if scenario == "damaged":
        run, store = folder / "damaged", "damaged store"
    sys.argv = ["groundglass", "train", str(folder / f"{recipe}.toml"), "--store", str(folder / store), "-o", str(run)]
    main.main()

for scenario in sys.argv[2:]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in (0, 1):
        children.append(os.fork())
        if not children[-1]:
            code = 0
            try:
                child(scenario, rank, port)
            except SystemExit as end:
                code = end.code or 0
            sys.stdout.flush()
            os._exit(code)
    print(*(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in children), flush=True)
"""


def environment():
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def test_torchrun_makes_one_run_of_two_processes(tmp_path):
    """One model and log, one voice, twice the slices a step; the command itself compares the weights of both."""
    make_store(tmp_path / "store")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    words = ("train", tmp_path / "recipe.toml", "--store", tmp_path / "store", "-o", tmp_path / "run", "--fold", "1")
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    ended = subprocess.run(
        [*torchrun, "-m", "groundglass", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("The model: ") == ended.stdout.count("Infection: Dice") == 1
    assert ended.stderr.count("step 9 of 9") == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"model.safetensors", "scores.csv", "stage-1"}
    with (tmp_path / "run" / "stage-1" / LOG_FILE).open(newline="") as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == [str(step) for step in range(1, 10)]
    _, record = checkpoint.read(tmp_path / "run" / "model.safetensors")
    assert record["provenance"]["settings"] == {"processes": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_whatever_ends_one_process_ends_both_with_one_line_and_a_resumed_run_ends_in_the_same_weights(tmp_path):
    make_store(tmp_path / "store")
    make_store(tmp_path / "damaged store")
    (tmp_path / "damaged store" / "cases" / "toy" / "prepared" / "c" / "3" / "0" / "0").unlink()
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "misspelt.toml").write_text(RECIPE.replace("steps", "stpes"))
    scenarios = {
        "whole": ("0 0", None),
        "nan": ("1 1", "The loss is not finite at step 6 of 9"),
        "resumed": ("0 0", None),
        "killed": ("1 -9", "Another process of this run has ended"),
        "full disk": ("1 1", "The output could not be written"),
        "misspelt": ("2 1", "stpes"),
        "damaged": ("1 1", "Slice toy/3 of the store is damaged or missing"),
    }
    ended = subprocess.run(
        [sys.executable, "-c", SCENARIOS, tmp_path, *scenarios],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    codes = ended.stdout.splitlines()
    for code, (scenario, (expected, line)) in zip(codes, scenarios.items(), strict=True):
        errors = "".join((tmp_path / f"{scenario}-{rank}.err").read_text() for rank in (0, 1))
        lines = [told for told in errors.splitlines() if told.startswith("groundglass: ")]
        assert code == expected, (scenario, errors)
        assert "Traceback" not in errors
        assert len(lines) == (line is not None), (scenario, errors)
        assert line is None or line in lines[0]
        assert not (tmp_path / f"{scenario}-1.out").read_text()
    whole, _ = checkpoint.read(tmp_path / "whole" / "model.safetensors")
    resumed, _ = checkpoint.read(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "whole/stage-1" / LOG_FILE).read_bytes() == (tmp_path / "cut/stage-1" / LOG_FILE).read_bytes()
    assert not (tmp_path / "full" / "stage-1" / "state.safetensors").exists()


def test_how_a_process_was_started_is_read_from_what_torchrun_and_slurm_say(monkeypatch):
    assert launched().count == 1
    elastic = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for name, value in elastic.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="MASTER_PORT is not set"):
        launched()
    monkeypatch.setenv("MASTER_PORT", "1")
    made = launched()
    assert (made.rank, made.here, made.machines) == (3, 2, 2)
    with pytest.raises(UsageError, match="study was started in 4 processes"):
        require_alone("study")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="4 processes, 3 of them on this machine"):
        launched()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="LOCAL_WORLD_SIZE is no number"):
        launched()
    for name in (*elastic, "MASTER_PORT"):
        monkeypatch.delenv(name)
    slurm = {"STEP_NUM_TASKS": "4", "NTASKS": "4", "PROCID": "2", "LOCALID": "0", "NNODES": "2"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(UsageError, match="SLURM_NTASKS_PER_NODE is not set"):
        launched()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    made = launched()
    assert (made.rank, made.here, made.machines, made.environment.world_size()) == (2, 2, 2, 4)

"""``kill -9`` at random moments of a real training, which has to end in the same weights, bit for bit.

    python -m benchmarks.kill STORE RECIPE --kills 10 --seed 0

Trains once without interruption, then again with the real command killed at moments drawn uniformly over the time
that the first took, every second one delayed until a file is being written, and each time taken up by the same command.
A line a kill says which step was reached and what lay half-written; at the end weights and logs are compared and
nothing half-written may be left. Exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from groundglass.engine import checkpoint
from groundglass.engine.fit import STATE_FILE
from groundglass.engine.log import LOG_FILE, read_log
from groundglass.io.atomic import PARTIAL
from groundglass.models import MODEL_FILE


def _start(store: Path, recipe: Path, output: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "groundglass", "train", str(recipe), "--store", str(store), "-o", str(output), "-q"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def _finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"groundglass train ended with {process.returncode}")


def _time(process: subprocess.Popen[bytes], output: Path) -> tuple[float, float]:
    """Seconds until the first stage's folder is there, and from then to the end."""
    began = time.perf_counter()
    while not (output / "stage-1").exists() and process.poll() is None:
        time.sleep(0.01)
    started = time.perf_counter()
    _finish(process)
    return started - began, time.perf_counter() - started


def _kill(process: subprocess.Popen[bytes], seconds: float, writing: Path | None) -> None:
    """Kill a process after some seconds, or when it next writes a file in a folder after them."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    while writing is not None and process.poll() is None and not _hidden(writing):
        time.sleep(0.001)
    process.kill()
    process.wait()


def _steps(output: Path) -> str:
    """The last step of each stage's log and state."""
    told = []
    for folder in sorted(output.glob("stage-*")):
        log = read_log(folder / LOG_FILE)
        state = checkpoint.read(folder / STATE_FILE)[1]["step"] if (folder / STATE_FILE).exists() else 0
        told.append(f"{folder.name}: log {log[-1]['step'] if log else 0}, state {state}")
    return "; ".join(told) or "nothing yet"


def _hidden(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob(f"{PARTIAL}*"))


def _whole(output: Path) -> dict[str, bytes]:
    """What both runs have to agree on: every tensor of model and states, and the logs."""
    names = [output / MODEL_FILE, *output.glob(f"stage-*/{STATE_FILE}")]
    found = {
        f"{path.relative_to(output)} {name}": tensor.numpy().tobytes()
        for path in names
        for name, tensor in checkpoint.read(path)[0].items()
    }
    return found | {str(path.relative_to(output)): path.read_bytes() for path in output.glob(f"stage-*/{LOG_FILE}")}


def main() -> None:
    """Train, kill, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        whole, cut = Path(scratch) / "whole", Path(scratch) / "cut"
        started, seconds = _time(_start(asked.store, asked.recipe, whole), whole)
        print(f"uninterrupted: {started:.1f} s to start, {seconds:.1f} s to train; {_steps(whole)}", flush=True)
        rng = random.Random(asked.seed)  # noqa: S311 - moments, no secrets
        before = 0.0
        for kill, moment in enumerate(sorted(rng.uniform(0, seconds) for _ in range(asked.kills)), 1):
            process = _start(asked.store, asked.recipe, cut)
            _kill(process, started + moment - before, cut if kill % 2 == 0 else None)
            before = moment
            print(f"kill {kill}: {_steps(cut)}; half-written: {_hidden(cut) or 'nothing'}", flush=True)
        _finish(_start(asked.store, asked.recipe, cut))
        first, second = _whole(whole), _whole(cut)
        differing = [name for name in first if second.get(name) != first[name]]
        print(f"the end: {_steps(cut)}; half-written: {_hidden(cut) or 'nothing'}")
        print(f"{len(first)} tensors and logs compared, {len(differing)} differ")
        if differing or first.keys() != second.keys() or _hidden(cut):
            raise SystemExit(1)


if __name__ == "__main__":
    main()

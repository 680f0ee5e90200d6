"""``python -m benchmarks.preparing``: how fast many slices are prepared, by how many processes, in how much memory.

Makes small slices in CC-CCII's layout, a hundred a scan, and prepares them with ``groundglass prepare``, each time in a
process of its own: a quarter by each number of workers, then all by the last. Ends with what that comes to for
CC-CCII's 444,034 slices, and the arithmetic. Wall time is what a user waits for, and is spoilt by whatever else runs;
the processor's time is not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

WHOLE = 444_034
SLICES_A_SCAN = 100
_MEASURED = """
import json, resource, sys
from groundglass.cli.main import main
if __name__ == "__main__":
    try:
        main()
    finally:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        used = [resource.getrusage(kind) for kind in kinds]
        told = {"cpu": sum(one.ru_utime + one.ru_stime for one in used), "mib": [one.ru_maxrss / 1024 for one in used]}
        print(json.dumps(told), file=sys.stderr)
"""


@dataclass(frozen=True)
class Run:
    """A run of the command.

    Attributes:
        slices: prepared.
        workers: processes.
        wall: seconds.
        cpu: seconds of all processes together.
        mib: the most memory that the first process and the largest of the others held, MiB.
    """

    slices: int
    workers: int
    wall: float
    cpu: float
    mib: tuple[float, float]

    @property
    def all_mib(self) -> float:
        """An upper bound on all processes together."""
        return self.mib[0] + (self.workers * self.mib[1] if self.workers > 1 else 0)


def make(root: Path, slices: int, side: int) -> None:
    """Scans of a chest of ellipses with noise, ``NCP/patient/scan/0000.jpg`` and so on."""
    rng = np.random.default_rng(0)
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    body = (x / 0.46) ** 2 + (y / 0.38) ** 2 < 1
    lungs = ((np.abs(x) - 0.2) / 0.14) ** 2 + (y / 0.25) ** 2 < 1
    grey = np.where(lungs, 70.0, np.where(body, 215.0, 25.0))
    for number in range(slices):
        scan, place = divmod(number, SLICES_A_SCAN)
        folder = root / "NCP" / str(scan // 2) / str(scan)
        folder.mkdir(parents=True, exist_ok=True)
        noisy = np.clip(grey + rng.normal(0, 8, grey.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{place:04d}.jpg", quality=90)


def prepare(root: Path, store: Path, slices: int, workers: int, size: int) -> Run:
    """Prepare once, in a process of its own."""
    script = store.with_suffix(".py")
    script.write_text(_MEASURED)  # a file: processes that are spawned import it
    words = ["prepare", "cc_ccii", str(root), "-o", str(store), "--size", str(size), "--workers", str(workers), "-q"]
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=True)
    wall = time.perf_counter() - began
    assert ended.stdout.startswith(f"{slices} slices"), ended.stdout
    told = json.loads(ended.stderr.splitlines()[-1])
    return Run(slices, workers, wall, told["cpu"], (told["mib"][0], told["mib"][1]))


def main() -> None:
    """Print the table and the extrapolation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=44_000, help="a multiple of 400 (a tenth of CC-CCII: 44000)")
    parser.add_argument("--side", type=int, default=128, help="of a slice, in pixels")
    parser.add_argument("--size", type=int, default=96, help="of a prepared slice, in pixels")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        quarter, whole = Path(scratch) / "quarter", Path(scratch) / "whole"
        make(quarter, asked.slices // 4, asked.side)
        make(whole, asked.slices, asked.side)
        store, most = Path(scratch) / "store-whole", asked.workers[-1]
        runs = [prepare(quarter, Path(scratch) / f"store-{n}", asked.slices // 4, n, asked.size) for n in asked.workers]
        runs.append(prepare(whole, store, asked.slices, most, asked.size))
        again = prepare(whole, store, asked.slices, most, asked.size)
    print("| slices | workers | slices a second | processor, ms a slice | peak MiB, first / others / all |")
    print("|--|--|--|--|--|")
    for run in runs:
        speed, cost = run.slices / run.wall, run.cpu / run.slices * 1000
        print(
            f"| {run.slices} | {run.workers} | {speed:.1f} | {cost:.1f} "
            f"| {run.mib[0]:.0f} / {run.mib[1]:.0f} / {run.all_mib:.0f} |"
        )
    print(f"\nTaken up again when all was there: {again.wall:.1f} s, {again.cpu:.1f} s of the processor.")
    for run in runs:
        hours = WHOLE / (run.slices / run.wall) / 3600
        cpu = WHOLE * run.cpu / run.slices / 3600
        print(
            f"{run.workers} workers: {WHOLE} / ({run.slices} / {run.wall:.1f} s) = {hours:.2f} h; processor: "
            f"{WHOLE} x {run.cpu:.1f} s / {run.slices} = {cpu:.2f} h, / {run.workers} = {cpu / run.workers:.2f} h."
        )
    few, one = runs[-2:]  # of as many workers
    grown = (one.mib[0] - few.mib[0]) / (one.slices - few.slices)  # MiB a slice
    print(
        f"Memory of the first process: {few.mib[0]:.0f} MiB for {few.slices}, {one.mib[0]:.0f} MiB for {one.slices}: "
        f"{one.mib[0]:.0f} + {WHOLE - one.slices} x {grown * 1024:.2f} KiB = "
        f"{one.mib[0] + (WHOLE - one.slices) * grown:.0f} MiB for {WHOLE} (file names, and rows of the index)."
    )


if __name__ == "__main__":
    main()

"""Reading, the lung field and the whole command, each against a named peer in the same run.

Peers: SimpleITK's series reader (GDCM) for reading; for the lung field the slice-by-slice recipe of the LUNA16
tutorials (threshold, clear the border, two largest regions, erode, close, fill), with scikit-image, at full
resolution. Times are medians of alternating runs on one phantom of 133 slices of 512 x 512.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import closing, disk, erosion
from skimage.segmentation import clear_border

from groundglass.io import read, write_series
from groundglass.phantom import phantom
from groundglass.preprocess.lung import find_lungs

SHAPE = (133, 512, 512)
ROUNDS = 3


def read_by_simpleitk(folder: Path) -> NDArray[np.int16]:
    """The same voxels by the peer."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.GetArrayFromImage(reader.Execute()).astype(np.int16)


def lungs_by_slices(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """The lung field by the peer's recipe."""
    lungs = np.zeros(hu.shape, bool)
    for plane, out in zip(hu, lungs, strict=True):
        labels = label(clear_border(plane < -400))
        for region in sorted(regionprops(labels), key=lambda r: r.area)[:-2]:
            labels[tuple(region.coords.T)] = 0
        out[:] = ndimage.binary_fill_holes(closing(erosion(labels > 0, disk(2)), disk(10)))
    return lungs


def alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios round by round."""
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    return median(a for a, _ in times), median(b for _, b in times), median(a / b for a, b in times)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _whole_command(folder: Path, out: Path) -> tuple[float, float]:
    """Seconds from a cold start, and peak memory in MiB."""
    code = "import resource, sys; from groundglass.cli.main import main\ntry: main()\nfinally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"  # noqa: E501
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code, "segment", str(folder), "-o", str(out), "-q"],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - began, float(ended.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dicom"
        made = phantom(0, shape=SHAPE)
        write_series(made.scan, folder)
        truth = made.codes > 0
        rows = []
        assert np.array_equal(read(folder).hu, read_by_simpleitk(folder))
        rows.append(
            ("read 133 DICOM slices", "SimpleITK", *alternate(lambda: read(folder), lambda: read_by_simpleitk(folder)))
        )
        scan = read(folder)
        rows.append(
            (
                "lung field",
                "LUNA16 recipe, scikit-image",
                *alternate(lambda: find_lungs(scan), lambda: lungs_by_slices(scan.hu)),
            )
        )
        dice = [
            2 * (mask & truth).sum() / (mask.sum() + truth.sum())
            for mask in (find_lungs(scan).mask, lungs_by_slices(scan.hu))
        ]
        whole = [_whole_command(folder, Path(scratch) / "out") for _ in range(ROUNDS)]
    print("| what | ours, s | peer, s | ours / peer | peer |\n|---|---|---|---|---|")
    for what, peer, ours, theirs, ratio in rows:
        print(f"| {what} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} | {peer} |")
    print(f"\nDice of the lung field on the phantom: ours {dice[0]:.3f}, peer {dice[1]:.3f}.")
    print(f"segment, cold start: {median(s for s, _ in whole):.1f} s, peak {max(m for _, m in whole):.0f} MiB.")


if __name__ == "__main__":
    main()

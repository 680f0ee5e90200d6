"""Training as ``groundglass train`` does it, against the same network in a plain PyTorch loop.

Ours: the settings of recipes/quickstart.toml (bf16 where the machine has it, channels_last, tuned malloc, strong
augmentation, moving average, clipped gradients), without the ImageNet weights. The peer: float32, default settings,
the same network, losses, slices and augmentation, AdamW, batches of 8 at 288 pixels from a DataLoader as it comes;
no moving average and no clipping, so it does a little less. Each run is a process of its own, for malloc and threads
are settled before torch is imported; the two alternate, the other way round in every second round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from groundglass.datasets._case import Case, Cases
from groundglass.datasets._preparing import prepare_into
from groundglass.labels import NOT_LESION, Tissue, sets_from_codes
from groundglass.phantom import phantom
from groundglass.preprocess.preparation import Preparation

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.toml"
LESIONS_ONLY = {0: NOT_LESION, 1: NOT_LESION, 2: Tissue.GROUND_GLASS, 3: Tissue.CONSOLIDATION}
SCANS, SLICES, SIDE = 2, 24, 288
BATCH = 8
STEPS, WARM_UP = 18, 4  # the first steps choose kernels and fill the allocator
ROUNDS = 3


def make_store(path: Path) -> None:
    """Slices of two phantoms, labelled as COVID-SemiSeg is: ground glass, consolidation, the rest."""
    prepare_into(path, "phantoms", Cases(tuple(lambda n=n: _case(n) for n in range(SCANS))),
                 Preparation(size=(SIDE, SIDE)), key=b"")  # fmt: skip


def _case(seed: int) -> Case:
    made = phantom(seed, shape=(SLICES, SIDE, SIDE), severity=0.2)
    labels = tuple(sets_from_codes(plane, LESIONS_ONLY) for plane in made.codes)
    return Case(f"phantom-{seed}", made.scan, labels, (f"patient-{seed}",) * SLICES)


def train_ours(store: Path, scratch: Path) -> dict[str, float]:
    """Images a second of the real loop, and the share of its time that it waited for batches."""
    from groundglass.cli.tuning import tune_for_torch

    tune_for_torch()
    from groundglass import recipe, runs
    from groundglass.engine.fit import Report
    from groundglass.store import open_store

    table: dict[str, Any] = recipe.load(RECIPE).model_dump()
    table["network"]["weights"] = None
    table["stage"][0]["training"] |= {"steps": STEPS, "batch": BATCH}
    ends: list[float] = []
    reports: list[Report] = []

    def tell(report: Report) -> None:
        ends.append(time.perf_counter())
        reports.append(report)

    class Watch:
        def __init__(self, name: str, steps: int, folder: Path) -> None:
            del name, steps, folder

        def __enter__(self) -> Callable[[Report], None]:
            return tell

        def __exit__(self, *_: object) -> None:
            return None

    runs.train(recipe.Recipe.parse(table), open_store(store), scratch / "run", Watch)
    return {"images_per_second": _rate(ends), "waited_share": reports[-1].waited_share}


def train_plainly(store: Path, scratch: Path) -> dict[str, float]:
    """Images a second of the peer."""
    del scratch
    import torch
    from torch.utils.data import DataLoader, Dataset

    from groundglass.augment.strong import Strong
    from groundglass.batches import Labelled
    from groundglass.losses.groups import tissue_groups
    from groundglass.losses.supervised import label_set_losses
    from groundglass.networks.unet_efficientnet import UNetEfficientNet
    from groundglass.store import open_store

    opened = open_store(store)

    class Slices(Dataset[tuple[Any, Any]]):
        def __len__(self) -> int:
            return len(opened)

        def __getitem__(self, number: int) -> tuple[Any, Any]:
            return opened.prepared(number)[None], opened.prepared_label_set(number)

    outputs = tissue_groups(value for info in opened.slices for value in info.sets)
    network = UNetEfficientNet(1, len(outputs), widths=(128, 64, 48, 32))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    augment, generator = Strong(), torch.Generator().manual_seed(0)
    loader = DataLoader(Slices(), BATCH, shuffle=True, drop_last=True)
    ends: list[float] = []
    while len(ends) < STEPS:
        for image, label_set in loader:
            batch = augment(Labelled(image, label_set), generator)
            optimizer.zero_grad()
            losses = label_set_losses(network(batch.image), batch.label_set, outputs)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
            ends.append(time.perf_counter())
    return {"images_per_second": _rate(ends[:STEPS])}


def _rate(ends: list[float]) -> float:
    return BATCH * (len(ends) - WARM_UP) / (ends[-1] - ends[WARM_UP - 1])


KINDS = {"ours": train_ours, "plain": train_plainly}


def _measure(kind: str, store: Path, scratch: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=scratch) as own:
        words = [sys.executable, "-m", "benchmarks.training", kind, str(store), own]
        ended = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Print the table."""
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        make_store(scratch / "store")
        for number in range(ROUNDS):
            order = ("ours", "plain") if number % 2 == 0 else ("plain", "ours")
            rounds.append({kind: _measure(kind, scratch / "store", scratch) for kind in order})
    print("| training | ours, images/s | peer, images/s | ours / peer | waiting for batches |\n|---|---|---|---|---|")
    for number, one in enumerate(rounds, 1):
        ours, plain = (one[kind]["images_per_second"] for kind in ("ours", "plain"))
        print(f"| round {number} | {ours:.2f} | {plain:.2f} | {ours / plain:.2f} | {one['ours']['waited_share']:.1%} |")
    ratios = [one["ours"]["images_per_second"] / one["plain"]["images_per_second"] for one in rounds]
    waited = median(one["ours"]["waited_share"] for one in rounds)
    print(f"| median | | | **{median(ratios):.2f}** | {waited:.1%} |")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(KINDS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()

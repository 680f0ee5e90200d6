"""``groundglass explain inpainting``: what the coach of a run erases, and what its network fills in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
import torch

from groundglass.cli.run_state import last_state
from groundglass.io import OutputFolder
from groundglass.methods.inpainting import Inpainting
from groundglass.report.inpainting import Inpainted, sheet, table
from groundglass.report.sheets import spread
from groundglass.store import Store, open_store

METHOD: Final = "inpainting"


def run_inpainting(run: Path, store_path: Path, output: Path, slices: int) -> None:
    """Draw some slices of a store, erased and filled in by the last state of a run; it may still be training.

    Writes ``inpainting-STEP.png`` and ``inpainting-STEP.csv``; those of other steps stay.

    Raises:
        GroundglassError: no such state in the run, one that is damaged, or a store that does not fit.
    """
    store = open_store(store_path)
    step, shown = look(run, store, slices)
    with OutputFolder(output) as results:
        results.path(f"inpainting-{step:06d}.png").write_bytes(sheet(shown, f"step {step}, {store.dataset}"))
        results.path(f"inpainting-{step:06d}.csv").write_text(table(shown), encoding="utf-8", newline="\n")
    errors = [np.mean([e for one in shown if (e := one.error(kept=kept)) is not None]) for kept in (False, True)]
    sys.stdout.write(
        f"step {step}: {np.mean([one.erased for one in shown]):.0%} erased, grey values off by {errors[0]:.3f} there "
        f"and by {errors[1]:.3f} elsewhere ({len(shown)} slices)\n"
    )


def look(run: Path, store: Store, slices: int) -> tuple[int, list[Inpainted]]:
    """The step of a run's last state that inpaints, and some slices of a store, erased and filled in by it.

    Raises:
        GroundglassError: no such state in the run, or one that is damaged.
    """
    state = last_state(run, [METHOD], "inpaints")
    assert isinstance(state.method, Inpainting)  # noqa: S101 - by its name
    return state.step, _inpainted(state.method, store, slices)


def _inpainted(method: Inpainting, store: Store, count: int) -> list[Inpainted]:
    """Slices evenly spread over the store."""
    numbers = spread(range(len(store)), count)
    pictures = np.stack([store.prepared(number) for number in numbers])
    mask, filled = (part[:, 0].numpy() for part in method.shown(torch.from_numpy(pictures)[:, None]))
    names = [store.slices[number].id for number in numbers]
    return [Inpainted(*parts) for parts in zip(names, pictures, mask, filled, strict=True)]

"""``groundglass explain inpainting``: what the coach of a run erases, and what its network fills in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from groundglass.build import rebuilt
from groundglass.engine import checkpoint
from groundglass.engine.fit import STATE_FILE
from groundglass.errors import ReadError, UsageError
from groundglass.io import OutputFolder
from groundglass.methods.inpainting import Inpainting
from groundglass.report.inpainting import Inpainted, sheet, table
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
    tensors, record = _state(run)
    return int(record["step"]), _inpainted(_method(tensors, record), store, slices)


def _state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of the last stage of a run that inpaints."""
    found: tuple[dict[str, Tensor], dict[str, Any]] | None = None
    for path in sorted(run.glob(f"stage-*/{STATE_FILE}")):
        tensors, record = checkpoint.read(path)
        if record.get("made", {}).get("method") == METHOD:
            found = tensors, record
    if found is None:
        raise UsageError(
            "The run has no state of a stage that inpaints.",
            expected=f"a folder of groundglass train whose recipe has a stage with the method {METHOD}",
            remedy="Give the run's folder, once its first checkpoint is written.",
        )
    return found


def _method(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> Inpainting:
    try:
        method = rebuilt(record["made"])
        kept = {name.removeprefix("method/"): value for name, value in tensors.items() if name.startswith("method/")}
        method.load_state_dict(kept)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ReadError(
            "The state of the run does not fit this version of groundglass.",
            expected="one that this version's groundglass train wrote",
            remedy="Train it again, or use the version that wrote it.",
        ) from None
    assert isinstance(method, Inpainting)  # noqa: S101 - by its name
    return method.eval()


def _inpainted(method: Inpainting, store: Store, count: int) -> list[Inpainted]:
    """Slices evenly spread over the store."""
    numbers = np.unique(np.linspace(0, len(store) - 1, count).round().astype(int)).tolist()
    pictures = np.stack([store.prepared(number) for number in numbers])
    mask, filled = (part[:, 0].numpy() for part in method.shown(torch.from_numpy(pictures)[:, None]))
    names = [store.slices[number].id for number in numbers]
    return [Inpainted(*parts) for parts in zip(names, pictures, mask, filled, strict=True)]

"""The method of a run as its last state has it; the run may still be training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from groundglass.build import rebuilt
from groundglass.engine import checkpoint
from groundglass.engine.fit import STATE_FILE
from groundglass.errors import ReadError, UsageError
from groundglass.methods._method import Method


@dataclass(frozen=True, eq=False)
class State:
    """What a run came to so far.

    Attributes:
        method: in eval mode.
        step: of its stage.
        slices: "labelled", "unlabelled" and "held out" -> ids of the slices that were so to the run.
    """

    method: Method
    step: int
    slices: Mapping[str, Sequence[str]]


def last_state(run: Path, methods: Sequence[str], does: str) -> State:
    """The last stage by one of some methods.

    Args:
        run: the folder of a run.
        methods: their names.
        does: what such a stage does, for people: "inpaints".

    Raises:
        UsageError: the run has no such state.
        ReadError: it is damaged, or of another version.
    """
    found: tuple[dict[str, Tensor], dict[str, Any]] | None = None
    for path in sorted(run.glob(f"stage-*/{STATE_FILE}")):
        tensors, record = checkpoint.read(path)
        if record.get("made", {}).get("method") in methods:
            found = tensors, record
    if found is None:
        raise UsageError(
            f"The run has no state of a stage that {does}.",
            expected="a folder of groundglass train whose recipe has a stage with the method " + " or ".join(methods),
            remedy="Give the run's folder, once its first checkpoint is written.",
        )
    tensors, record = found
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
    return State(method.eval(), int(record["step"]), record["made"].get("slices", {}))

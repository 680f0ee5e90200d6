"""Checkpoints: tensors as safetensors, everything else as JSON in the same file, replaced atomically.

Two kinds: the *state* of a run, with all that a resumed run needs to go on to the same weights, and the *model*
that comes of it, with all that ``segment`` needs. Neither is ever a pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from groundglass.engine.lookahead import Lookahead
from groundglass.errors import ReadError
from groundglass.io.atomic import PARTIAL, write_file
from groundglass.io.files import shown

FORMAT: Final = "groundglass/1"


def write(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write tensors and a JSON record as one file, whole or not at all.

    Raises:
        WriteError: it could not be written; an older file is as it was.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(record, sort_keys=True, allow_nan=False)
    write_file(path, save(plain, metadata={"format": FORMAT, "record": text, "tensors": _digest(plain)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and record of a checkpoint.

    Raises:
        ReadError: it is no checkpoint of ours, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
        if metadata.get("format") != FORMAT:
            raise ValueError(metadata.get("format"))
        if metadata.get("tensors") not in (None, _digest(tensors)):
            raise ValueError("other tensors than were written")
        record: dict[str, Any] = json.loads(metadata["record"])
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError, RecursionError):
        raise ReadError(
            f"{shown(path.name)} is no checkpoint of groundglass, or it is damaged.",
            expected=f"a safetensors file with the mark {FORMAT}",
            remedy="Copy it again, or train it again.",
        ) from None
    return tensors, record


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes, whatever their order in a file."""
    whole = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def flat_optimizer(optimizer: torch.optim.Optimizer | Lookahead, name: str) -> dict[str, Tensor]:
    """An optimizer's state as tensors: ``name/parameter/key``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{name}/{parameter}/{key}": torch.as_tensor(value)
        for parameter, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer | Lookahead, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that `flat_optimizer` made, laid out in memory as its parameters are.

    A file holds tensors row by row, a parameter may be channels last, and a fused optimizer takes them side by side.
    """
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        owner, _, rest = key.partition("/")
        if owner == name:
            place, _, slot = rest.partition("/")
            state.setdefault(int(place), {})[slot] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                slots[slot] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def remove_partial(folder: Path) -> None:
    """Remove the hidden files that killed processes left half-written in a folder; those of living ones stay."""
    for path in folder.glob(f"{PARTIAL}*"):
        process = path.name.removeprefix(PARTIAL).partition("-")[0]
        if path.is_file() and process.isdigit() and not _lives(int(process)):
            with suppress(OSError):
                path.unlink()


def _lives(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's, or no number of a process
        return True
    return True

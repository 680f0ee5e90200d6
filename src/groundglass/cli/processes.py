"""Whether this process is one of several of a run: what torchrun and SLURM tell in the environment."""

from __future__ import annotations

import os

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from groundglass.engine.processes import Launch
from groundglass.errors import UsageError

_ELASTIC = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_SLURM = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES")


def launched() -> Launch:
    """How this process was started: by torchrun, by srun with several tasks, or alone.

    Raises:
        UsageError: the environment tells of several processes, and not all that is needed of them.
    """
    if _number("WORLD_SIZE", 1) > 1:
        _require(_ELASTIC)
        count = _number("WORLD_SIZE")
        here = _number("LOCAL_WORLD_SIZE", count)
        if count % here:
            raise UsageError(
                f"{count} processes, {here} of them on this machine.",
                expected="as many on each machine",
                remedy="Start as many on each.",
            )
        return Launch(_number("RANK"), here, count // here, TorchElasticEnvironment())
    if "WORLD_SIZE" not in os.environ and _number("SLURM_STEP_NUM_TASKS", 1) > 1:
        _require(_SLURM)
        here, machines = _number("SLURM_NTASKS_PER_NODE"), _number("SLURM_NNODES")
        return Launch(_number("SLURM_PROCID"), here, machines, SLURMEnvironment(auto_requeue=False))
    return Launch()


def require_alone(command: str) -> None:
    """Refuse a command that does its work in one process.

    Raises:
        UsageError: it was started as one of several.
    """
    if (count := launched().count) > 1:
        raise UsageError(
            f"{command} was started in {count} processes.",
            expected="one",
            remedy="Start it alone; groundglass train can use several.",
        )


def _require(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in os.environ:
            raise UsageError(
                f"The environment tells of several processes, and {name} is not set.",
                expected=", ".join(names),
                remedy="Start them with torchrun, or with srun --ntasks-per-node.",
            )


def _number(name: str, otherwise: int = 0) -> int:
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal():
        raise UsageError(
            f"The environment's {name} is no number.", expected="a whole number", remedy="Start with torchrun."
        )
    return int(text)

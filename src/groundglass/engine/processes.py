"""One run in several processes: they start as one, end in the same weights, and end together when one fails.

Whoever is about to wait for the others asks first whether all are well (`meet`). A process that failed answers there
instead of its next step, so nobody waits for one that will not come; of those that failed, the first tells why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn

from groundglass.errors import LostProcessError, OtherProcessError, TrainingError, UsageError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        rank: its number among all, from 0; the first one writes and tells.
        here: processes on this machine.
        machines: with as many processes each.
        environment: where Fabric learns how they find each other.
    """

    rank: int = 0
    here: int = 1
    machines: int = 1
    environment: ClusterEnvironment = field(default_factory=LightningEnvironment)

    @property
    def count(self) -> int:
        """Processes of the run."""
        return self.here * self.machines


def start(launch: Launch, precision: Any = "32-true") -> Fabric:
    """Fabric for this process, which waits here until all others have come.

    Raises:
        UsageError: several processes, and not a GPU for each.
        LostProcessError: the others cannot be reached.
    """
    several = launch.count > 1
    if several and 0 < torch.cuda.device_count() < launch.here:
        raise UsageError(
            f"{launch.here} processes on a machine with {torch.cuda.device_count()} GPU.",
            expected="a GPU for each",
            remedy="Start fewer, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on processors.",
        )
    fabric = Fabric(
        accelerator="auto" if not several else "cuda" if torch.cuda.is_available() else "cpu",
        devices=launch.here,
        num_nodes=launch.machines,
        strategy="ddp" if several else "auto",
        precision=precision,
        plugins=[launch.environment],
    )
    if several:
        _with_others(fabric.launch)
    else:
        fabric.launch()
    return fabric


@contextmanager
def together(launch: Launch) -> Iterator[None]:
    """A context that all processes of a run leave together, well or not.

    Raises:
        OtherProcessError: another process failed; that one raises its own error.
        LostProcessError: another process is gone.
    """
    if launch.count == 1:
        yield
        return
    fabric = start(launch)
    try:
        yield
        meet(fabric)
    except (OtherProcessError, LostProcessError):
        raise
    except KeyboardInterrupt:
        if launch.rank > 0:
            raise OtherProcessError from None
        raise
    except Exception:
        if not _speaks(fabric):
            raise OtherProcessError from None
        raise
    finally:
        torch.distributed.destroy_process_group()


def meet(fabric: Fabric) -> None:
    """Wait until all processes are here or have failed.

    Raises:
        OtherProcessError: one has failed.
        LostProcessError: one is gone.
    """
    if fabric.world_size > 1 and _first_failed(fabric, failed=False) < fabric.world_size:
        raise OtherProcessError


def average(tensors: list[Tensor], fabric: Fabric) -> None:
    """The mean over processes, in place, in one flattened all-reduce.

    Raises:
        OtherProcessError: (as `meet`) one has failed.
        LostProcessError: one is gone.
    """
    if fabric.world_size == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    meet(fabric)
    mean = torch.as_tensor(_with_others(lambda: fabric.all_reduce(flat, reduce_op="mean")))
    place = 0
    for tensor in tensors:
        tensor.copy_(mean[place : place + tensor.numel()].view_as(tensor))
        place += tensor.numel()


def require_same(module: nn.Module, more: str, fabric: Fabric) -> None:
    """Refuse processes that have other weights or buffers than others, or other words.

    Args:
        module: whose weights and buffers.
        more: words that have to be the same too.
        fabric: launched.

    Raises:
        TrainingError: they differ.
    """
    if fabric.world_size == 1:
        return
    digest = hashlib.sha256(more.encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    mine = int.from_bytes(digest.digest()[:7], "big")
    meet(fabric)
    if _all_reduced(mine, torch.distributed.ReduceOp.MIN, fabric) != _all_reduced(
        mine, torch.distributed.ReduceOp.MAX, fabric
    ):
        raise TrainingError(
            "The processes of this run do not have the same weights.",
            expected="the same recipe, store, output folder and version of groundglass for all, and a method that "
            "treats them alike",
            remedy="Put store and output where all processes see them.",
        )


def _speaks(fabric: Fabric) -> bool:
    """Say that this process failed; whether it is the first of those that did."""
    try:
        return _first_failed(fabric, failed=True) == fabric.global_rank
    except LostProcessError:
        return True


def _first_failed(fabric: Fabric, *, failed: bool) -> int:
    """The first process that failed, their number if none did."""
    mine = fabric.global_rank if failed else fabric.world_size
    return _all_reduced(mine, torch.distributed.ReduceOp.MIN, fabric)


def _all_reduced(value: int, operation: Any, fabric: Fabric) -> int:
    tensor = torch.tensor(value, dtype=torch.int64, device=fabric.device)
    _with_others(lambda: torch.distributed.all_reduce(tensor, op=operation))
    return int(tensor)


def _with_others(call: Callable[[], Result]) -> Result:
    try:
        return call()
    except RuntimeError:  # of torch.distributed, whose message names hosts and ports
        raise LostProcessError from None

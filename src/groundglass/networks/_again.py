"""Activation checkpointing: what a part of a network computes is forgotten, and computed again for its gradient.

Chen et al., "Training deep nets with sublinear memory cost", 2016 (arXiv 1604.06174). Batch statistics move once a
step, as without: the second time their momentum is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def again(part: nn.Module, *inputs: Tensor) -> Tensor:
    """What ``part`` makes of ``inputs``, kept in memory only until it is used; without gradients as it is."""
    if not (torch.is_grad_enabled() and part.training):
        return at_once(part, *inputs)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), still(part)

    made: Tensor = checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts)
    return made


def at_once(part: nn.Module, *inputs: Tensor) -> Tensor:
    """What ``part`` makes of ``inputs``, all of it kept for the gradient."""
    answer: Tensor = part(*inputs)
    return answer


@contextmanager
def still(part: nn.Module) -> Iterator[None]:
    """Meanwhile batch norms normalise as they did, and gather nothing."""
    norms = [module for module in part.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)

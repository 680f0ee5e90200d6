"""What the number of a step decides: its random numbers, and how far a weight has risen."""

from __future__ import annotations

from math import exp

import torch

from groundglass.batches import Progress


def noise_of(seed: int, progress: Progress) -> torch.Generator:
    """Of each minibatch its own, so that a resumed run draws what the uninterrupted one did; torch keeps 32 bits."""
    place = seed * 1_000_003 + progress.step + progress.minibatch * 100_000_007
    return torch.Generator().manual_seed(place % 2**32)


def ramp_up(progress: Progress, share: float) -> float:
    """``exp(-5 (1 - t)^2)``, t rising from 0 to 1 over a share of the training (Tarvainen and Valpola, appendix B)."""
    t = min(progress.step / (share * progress.steps), 1.0) if share > 0 else 1.0
    return exp(-5 * (1 - t) ** 2)

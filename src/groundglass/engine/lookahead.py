"""Lookahead: Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", NeurIPS 2019 (arXiv 1907.08610).

| here | there (algorithm 1) |
|---|---|
| ``optimizer``, its parameters | A, the fast weights theta |
| ``slow`` | phi |
| ``every``, ``share`` | k, alpha |

The inner optimiser's own state (momentum) is kept when weights are drawn back, as there by default. A training that
ends between two draws ends with its fast weights: let ``every`` divide the number of steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Lookahead:
    """An optimiser around another one, as far as the loop and checkpoints use one."""

    def __init__(self, optimizer: torch.optim.Optimizer, every: int, share: float) -> None:
        """Put it around an optimiser that has made no step yet.

        Args:
            optimizer: any.
            every: of its steps, how many between two draws, k.
            share: of the way from slow to fast weights that is kept, alpha.
        """
        self.optimizer, self.every, self.share = optimizer, every, share
        self.slow = [parameter.detach().clone() for parameter in self._parameters()]
        self.moved = 0

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The inner optimiser's."""
        return self.optimizer.param_groups

    @property
    def state(self) -> dict[Tensor, Any]:
        """The inner optimiser's."""
        return self.optimizer.state

    @torch.no_grad()
    def step(self) -> None:
        """A step of the inner optimiser; after each k-th, phi += alpha (theta - phi) and theta = phi."""
        self.optimizer.step()
        self.moved += 1
        if self.moved % self.every == 0:
            for slow, fast in zip(self.slow, self._parameters(), strict=True):
                fast.copy_(slow.lerp_(fast, self.share))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As the inner optimiser's."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimiser's, with ``slow`` and ``moved`` beside what it keeps of each parameter."""
        inner = self.optimizer.state_dict()
        own = {"moved": torch.tensor(self.moved)}
        state = {place: {**inner["state"].get(place, {}), "slow": slow, **own} for place, slow in enumerate(self.slow)}
        return {**inner, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` gave; one without any is that of an optimiser that made no step."""
        inner: dict[int, dict[str, Any]] = {}
        for place, values in state_dict["state"].items():
            self.slow[place].copy_(values["slow"])
            self.moved = int(values["moved"])
            inner[place] = {key: value for key, value in values.items() if key not in ("slow", "moved")}
        # one without state of its own (plain descent) has none, and finds none
        self.optimizer.load_state_dict({**state_dict, "state": {place: own for place, own in inner.items() if own}})

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

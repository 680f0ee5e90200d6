"""Mean teacher: Tarvainen and Valpola, NeurIPS 2017 (arXiv 1703.01780).

| here | there |
|---|---|
| ``student``, ``teacher`` | f(x, theta), f(x, theta') |
| ``ema`` | alpha, eq. 2; at step t, from 0, no more than 1 - 1 / (t + 1), as released |
| ``noise`` | eta, eta' |
| ``consistency`` and ``ramp_up`` | the consistency cost's weight and its ramp-up, appendix B |

Ours: consistency is asked of the unlabelled slices only (theirs: of all), pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.shown import mean_of_shown
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of, ramp_up
from groundglass.methods._teacher import OfTeacher, TeacherConfig, noisy


@dataclass(frozen=True)
class Config(TeacherConfig):
    """Settings beside those of all teachers; defaults are the paper's unless a comment says 'ours'.

    Attributes:
        consistency: weight of the consistency term once ramped up.
        ramp_up: share of the training over which that weight rises.
        noise: standard deviation of what is added to an image, in windowed intensity.
    """

    shares: ClassVar[tuple[str, ...]] = ("ema", "ramp_up")
    consistency: float = 0.1  # ours: per-pixel cost is smaller than the paper's
    ramp_up: float = 0.4  # ours: a share of the training; the paper counts steps
    noise: float = 0.1  # ours: 0.15 in the paper, of photographs


class MeanTeacher(OfTeacher):
    """A student that agrees, under noise, with the moving average of itself; the teacher predicts."""

    config: Config
    config_class = Config

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step of the student."""
        config, bare = self.config, self.needed(unlabelled)
        generator = noise_of(config.seed, progress)
        with torch.no_grad():
            target = self.teacher(noisy(bare.image, config.noise, generator)).float().softmax(dim=1)
        prediction = self.student(noisy(bare.image, config.noise, generator)).float().softmax(dim=1)
        apart = (prediction - target).square().mean(dim=1)
        weight = config.consistency * ramp_up(progress, config.ramp_up)
        yield Update(
            "student",
            {
                **self.labelled_losses(self.student(labelled.image), labelled.label_set),
                "consistency": weight * mean_of_shown(apart, bare.shown),  # eq. 1
            },
        )

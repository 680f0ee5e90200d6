"""Uncertainty-aware mean teacher: Yu et al., MICCAI 2019 (arXiv 1907.07034).

| here | there |
|---|---|
| ``student``, ``teacher``, ``ema`` | f(x; theta, xi), f(x; theta', xi'), alpha, which begins lower, as released |
| ``passes`` | T, eq. 2 |
| the mean of their probabilities, and its ``entropy`` | mu_c and u, eq. 2 |
| ``threshold`` | H: from 3/4 to all of U_max = ln K, rising as the weight does |
| ``consistency`` and ``ramp_up`` | L_c, eq. 3, and lambda(t), which rises over the whole training |

Differs from the paper:
- Dropout is of channels between the network's way down and its way up, for the networks here have none of their own;
  theirs is inside V-Net. It is the teacher's, in the passes that tell its doubt; the student's answer, and what it is
  taught, are of whole features, and it sees the slice without noise, as released.
- Consistency is asked of the unlabelled slices only, as in one of the two released trainings.
- The teacher predicts (theirs: the student), and so in all methods with a teacher here.
- Noise is not cut off at twice its deviation.
- ||.||^2 is the mean over the K channels, as released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.entropy import entropy
from groundglass.losses.shown import mean_of_shown
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of, ramp_up
from groundglass.methods._teacher import OfTeacher, TeacherConfig, noisy
from groundglass.methods._views import changeable, dropped
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Config(TeacherConfig):
    """Settings beside those of all teachers; defaults are the paper's.

    Attributes:
        consistency: weight of the consistency term once ramped up.
        ramp_up: share of the training over which that weight and the threshold rise.
        noise: standard deviation of what is added to an image, in windowed intensity.
        passes: of the teacher, by which its doubt is told.
        dropout: share of the channels that are dropped in each.
        threshold: a pixel teaches where the teacher's entropy, as a share of the largest, is below this at first.
    """

    shares: ClassVar[tuple[str, ...]] = ("ema", "ramp_up", "dropout", "threshold")
    consistency: float = 0.1
    ramp_up: float = 1.0
    noise: float = 0.1
    passes: int = 8
    dropout: float = 0.5
    threshold: float = 0.75

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: no pass at all, or a share that is none.
        """
        super().__post_init__()
        if self.passes < 1:
            raise UsageError(
                f"passes = {self.passes} of the teacher.", expected="one or more", remedy="Correct stage.settings."
            )


class UAMT(OfTeacher):
    """A mean teacher whose student learns only where the teacher, asked several times, is sure."""

    teacher: Network
    config: Config
    config_class = Config

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W), one whose features can be changed on their way up.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.

        Raises:
            UsageError: they cannot.
        """
        super().__init__(changeable(network, "UA-MT"), outputs, config)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step of the student."""
        config, bare = self.config, self.needed(unlabelled)
        image = bare.image
        generator, rise = noise_of(config.seed, progress), ramp_up(progress, config.ramp_up)
        with torch.no_grad():
            target = self.teacher(noisy(image, config.noise, generator)).float().softmax(dim=1)
            sure = self.doubt(image, generator) < config.threshold + (1 - config.threshold) * rise  # u < H
            sure = sure if bare.shown is None else sure & bare.shown
        prediction = self.student(image).float().softmax(dim=1)
        gap = (prediction - target).square().mean(dim=1)
        consistency = (gap * sure).sum() / sure.sum().clamp(min=1)  # eq. 3
        yield Update(
            "student",
            {
                **self.labelled_losses(self.student(labelled.image), labelled.label_set),
                "consistency": config.consistency * rise * consistency,
            },
            told={"sure": mean_of_shown(sure.float(), bare.shown)},
        )

    def doubt(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The entropy of the mean of several answers, each of its own noise: u / U_max of eq. 2, (B, H, W)."""
        config = self.config
        mean = torch.zeros((), device=image.device)
        with self.teacher.changed(lambda features: dropped(features, config.dropout, generator)):
            for _ in range(config.passes):
                answer = self.teacher(noisy(image, config.noise, generator)).float().softmax(dim=1)
                mean = mean + answer / config.passes
        return entropy(mean.clamp(min=1e-6).log())

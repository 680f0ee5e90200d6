"""A student, and a teacher that is the moving average of it: Tarvainen and Valpola, NeurIPS 2017 (arXiv 1703.01780)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from groundglass.batches import Progress
from groundglass.losses.groups import check_outputs
from groundglass.methods._both import Both, BothConfig


@dataclass(frozen=True)
class TeacherConfig(BothConfig):
    """Settings of all methods with a teacher.

    Attributes:
        ema: how much of the teacher stays at each step, alpha.
    """

    shares: ClassVar[tuple[str, ...]] = ("ema",)
    ema: float = 0.99  # mean teacher's while its cost ramps up, there 0.999 afterwards; that of UA-MT and BCP


class OfTeacher(Both):
    """A method that moves a student; the teacher follows it, teaches and predicts.

    Attributes:
        begins_as_mean: the teacher is the student's mean over its first steps, until the moving average's past is as
            long: as in the released trainings of mean teacher and UA-MT, lest it teach what a network said before it
            had learnt anything.
    """

    is_average = True
    begins_as_mean: ClassVar[bool] = True
    config: TeacherConfig
    config_class: ClassVar[type[TeacherConfig]] = TeacherConfig

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: TeacherConfig | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W); becomes the student, the teacher is a copy.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__()
        self.student = network
        self.teacher = deepcopy(network).requires_grad_(False).eval()
        self.outputs = check_outputs(outputs)
        self.config = config or self.config_class()

    def after_step(self, progress: Progress) -> None:
        """theta'_t = alpha theta'_{t-1} + (1 - alpha) theta_t (eq. 2); batch statistics are copied."""
        alpha = min(self.config.ema, 1 - 1 / (progress.step + 1)) if self.begins_as_mean else self.config.ema
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                slow.lerp_(fast, 1 - alpha)
            for kept, new in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
                kept.copy_(new)

    @property
    def predictor(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """The teacher's probabilities (B, K, H, W), float32."""
        del prior
        probability: Tensor = self.teacher(image).float().softmax(dim=1)
        return probability

    def train(self, mode: bool = True) -> Self:
        """The teacher is never trained: it normalises with the student's statistics and gathers none."""
        super().train(mode)
        self.teacher.eval()
        return self


def noisy(image: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """The image with white noise of a standard deviation, in windowed intensity."""
    return image + deviation * torch.randn(image.shape, generator=generator).to(image)

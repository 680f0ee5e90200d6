"""Mean teacher: Tarvainen and Valpola, NeurIPS 2017 (arXiv 1703.01780).

| here | there |
|---|---|
| ``student``, ``teacher`` | f(x, theta), f(x, theta') |
| ``ema`` | alpha, eq. 2 |
| ``noise`` | eta, eta' |
| ``consistency`` and ``ramp_up`` | the consistency cost's weight and its ramp-up, appendix B |

Ours: consistency is asked of the unlabelled slices only (theirs: of all), pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.groups import check_outputs
from groundglass.losses.supervised import label_set_losses
from groundglass.methods._method import Method, Update
from groundglass.methods._step import noise_of, ramp_up


@dataclass(frozen=True)
class Config:
    """Settings; defaults are the paper's unless a comment says 'ours'.

    Attributes:
        ema: how much of the teacher stays at each step.
        consistency: weight of the consistency term once ramped up.
        ramp_up: share of the training over which that weight rises.
        noise: standard deviation of what is added to an image, in windowed intensity.
        seed: of that noise.
        dice: weight of the Dice term beside the cross-entropy; 0 leaves it out.
        class_weights: of each output channel in the cross-entropy.
    """

    ema: float = 0.99  # the paper's while its cost ramps up; ours for the whole of our shorter trainings
    consistency: float = 0.1  # ours: per-pixel cost is smaller than the paper's
    ramp_up: float = 0.4  # ours: a share of the training; the paper counts steps
    noise: float = 0.1  # ours: 0.15 in the paper, of photographs
    seed: int = 0
    dice: float = 1.0
    class_weights: tuple[float, ...] | None = None


class MeanTeacher(Method):
    """A student that agrees, under noise, with the moving average of itself; the teacher predicts."""

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
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
        self.config = config or Config()

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step of the student."""
        if unlabelled is None:
            raise UsageError(
                "Mean teacher got no unlabelled slices.",
                expected="slices without labels beside the labelled ones",
                remedy="Add some to the recipe's data, or take the method 'supervised'.",
            )
        generator = noise_of(self.config.seed, progress)
        with torch.no_grad():
            target = self.teacher(self._noisy(unlabelled.image, generator)).float().softmax(dim=1)
        prediction = self.student(self._noisy(unlabelled.image, generator)).float().softmax(dim=1)
        weight = self.config.consistency * ramp_up(progress, self.config.ramp_up)
        logits = self.student(labelled.image)
        yield Update(
            "student",
            {
                **label_set_losses(
                    logits, labelled.label_set, self.outputs, self.config.dice, self.config.class_weights
                ),
                "consistency": weight * F.mse_loss(prediction, target),  # eq. 1
            },
        )

    def after_step(self) -> None:
        """theta'_t = alpha theta'_{t-1} + (1 - alpha) theta_t (eq. 2); batch statistics are copied."""
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.config.ema)
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

    def _noisy(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image + self.config.noise * torch.randn(image.shape, generator=generator).to(image)

    def train(self, mode: bool = True) -> Self:
        """The teacher is never trained: it normalises with the student's statistics and gathers none."""
        super().train(mode)
        self.teacher.eval()
        return self

"""Inpainting with a coach: SSInfNet (Xing et al., 2021), eq. 1 to 3, algorithm 1, figure 4; Singh et al., BMVC 2018.

| here | there |
|---|---|
| ``network`` | the network, its last layers replaced: one channel, that of the picture |
| ``coach`` | C(x), eq. 3 (``networks._coach``) |
| ``reconstruction_loss`` of every answer, added | L_rec: the picture, of the edge head the length of its gradient |
| ``1 - L_rec`` | L_coach, eq. 1 |
| ``kept`` share, ``sharpness`` | k; alpha, 1 while the coach learns |
| ``plan`` | section V.B: 200 epochs of the network, 200 of the coach, then 100 in turn, 2,000 of the network |

A stage before the one that segments: it looks at no label, tells no tissues apart (one output, "any tissue"), and hands
on every layer but the last. Its settings of the training: SGD at 0.1, momentum 0.9, weight decay 5e-4, no schedule
(``rates`` has it); ``modules.coach``: Adam at 1e-5.

Differs from the paper:
- Epochs are shares of the stage's steps; whether the paper's 2,000 count the coach's too is left open: ours do not.
- What is erased is grey (1/2), 0 of the paper's scale, [0, 1] minus 0.5 over 0.5, in both phases.
- While one of the two learns the other stands still, batch statistics too.
- A network that takes a prior sees 0 in its place.
- alpha is 100 while the network learns (Singh et al.; not given).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled, shown_in
from groundglass.errors import UsageError
from groundglass.labels import UNKNOWN
from groundglass.losses.groups import check_outputs
from groundglass.losses.reconstruction import Kind, gradient_magnitude, picture_of, reconstruction_loss
from groundglass.methods._method import Method, Update
from groundglass.methods._prior import beside
from groundglass.methods._step import noise_of
from groundglass.methods.inf_net import EDGE
from groundglass.networks._coach import Coach, enlarged, kept
from groundglass.networks._network import Network

GREY = 0.5  # what is erased


@dataclass(frozen=True)
class Config:
    """Settings; defaults are the paper's unless a comment says 'ours'.

    Attributes:
        kept: share of the cells that are not erased.
        sharpness: alpha while the network learns, and while the coach does.
        first: epochs of the network, and of the coach, before they take turns.
        turn: epochs of a turn.
        epochs: of the network, all in all.
        rates: from which share of a turn of the network on what its rate is multiplied with.
        divergence: weight of the coach's divergence.
        loss: of the reconstruction.
        seed: of the coach's noise.
    """

    kept: float = 0.75
    sharpness: tuple[float, float] = (100.0, 1.0)
    first: int = 200
    turn: int = 100
    epochs: int = 2000
    rates: tuple[tuple[float, float], ...] = ((0.0, 1.0), (0.4, 0.1), (0.8, 0.01), (0.9, 0.001))
    divergence: float = 1e-6  # Singh et al.
    loss: Kind = "cross_entropy"  # ours: see losses.reconstruction
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no schedule, no share and no loss.

        Raises:
            UsageError: it is none.
        """
        schedule = min(self.first, self.turn) >= 1 and self.epochs >= self.first
        rates = bool(self.rates) and self.rates[0][0] == 0 and list(self.rates) == sorted(self.rates)
        if not (schedule and rates and 0 < self.kept <= 1 and self.loss in get_args(Kind)):
            raise UsageError(
                "Settings of inpainting that cannot be.",
                expected="first and turn of 1 or more, epochs no fewer than first, kept above 0 and at most 1, rates "
                f"that begin at 0 and go up in time, and as loss one of {', '.join(get_args(Kind))}",
                remedy="Correct stage.settings.",
            )


@dataclass(frozen=True)
class Phase:
    """Whose turn it is, and how much of it is over, [0, 1)."""

    learner: Literal["network", "coach"]
    done: float


class Inpainting(Method):
    """A network that fills in what a coach erased, and a coach that finds what is hard to fill in."""

    def __init__(self, network: Network, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: of one output channel.
            outputs: the one group of all tissues.
            config: settings.
        """
        super().__init__()
        self.network = network
        self.coach = Coach()
        self.outputs = check_outputs(outputs)
        self.config = config or Config()

    @classmethod
    def outputs_for(cls, groups: Sequence[int]) -> tuple[int, ...]:
        """One: any tissue."""
        del groups
        return (int(UNKNOWN),)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step of whoever's turn it is, on the pictures of both kinds."""
        image = labelled.image if unlabelled is None else torch.cat([labelled.image, unlabelled.image])
        shown = shown_in(labelled, unlabelled)
        generator = noise_of(self.config.seed, progress)
        phase = plan(progress, self.config)
        self.network.train(phase.learner == "network")
        self.coach.train(phase.learner == "coach")
        if phase.learner == "network":
            with torch.no_grad():
                mask, _ = self.mask(image, generator, self.config.sharpness[0])
            losses = self.losses(image, mask, shown)
            yield Update("network", losses, rate_of(phase, self.config), told={"erased": 1 - mask.mean()})
        else:
            mask, divergence = self.mask(image, generator, self.config.sharpness[1])
            coach = 1 - torch.stack(list(self.losses(image, mask, shown).values())).sum()  # eq. 1
            losses = {"coach": coach, "divergence": self.config.divergence * divergence}
            yield Update("coach", losses, told={"erased": 1 - mask.detach().mean()})

    def mask(self, image: Tensor, generator: torch.Generator | None, sharpness: float) -> tuple[Tensor, Tensor]:
        """M, how much of each pixel is kept (B, 1, H, W), and the coach's divergence; its mean without a generator."""
        scores, divergence = self.coach(image, generator)
        return enlarged(kept(scores, self.config.kept, sharpness)), divergence

    def seen(self, image: Tensor, mask: Tensor) -> Tensor:
        """What the network sees of pictures x: x (.) M, grey being 0, and 0 for a prior."""
        return beside(GREY + mask * (image - GREY), None, self.network.in_channels)

    def losses(self, image: Tensor, mask: Tensor, shown: Tensor | None = None) -> dict[str, Tensor]:
        """L_rec, a term for each of the network's answers; of no padding, where ``shown`` (B, H, W) tells it."""
        steep = gradient_magnitude(image)
        return {
            name: reconstruction_loss(logits, steep if name == EDGE else image, self.config.loss, shown)
            for name, logits in self.network.forward_all(self.seen(image, mask)).items()
        }

    @torch.no_grad()
    def shown(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """For people, of pictures (B, 1, H, W): M without the coach's noise, and what the network makes of the rest."""
        mask, _ = self.mask(image, None, self.config.sharpness[0])
        return mask, picture_of(self.network(self.seen(image, mask)), self.config.loss)

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.network

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """That every pixel is of some tissue: (B, 1, H, W) of 1. It was taught no more."""
        del prior
        return torch.ones_like(image, dtype=torch.float32)


def plan(progress: Progress, config: Config) -> Phase:
    """Whose turn a step is: network, coach, then in turn, until the network has had its epochs and ends it."""
    turns = -(-(config.epochs - config.first) // config.turn)  # of the network, after the first
    total = 2 * config.first + max(2 * turns - 1, 0) * config.turn
    epoch = progress.step * total / progress.steps
    if epoch < 2 * config.first:
        whole, part = divmod(epoch, config.first)
        return Phase("coach" if whole else "network", part / config.first)
    whole, part = divmod(epoch - 2 * config.first, config.turn)
    return Phase("coach" if whole % 2 else "network", part / config.turn)


def rate_of(phase: Phase, config: Config) -> float:
    """What the rate of the network is multiplied with at this point of its turn."""
    return [rate for begin, rate in config.rates if phase.done >= begin][-1]

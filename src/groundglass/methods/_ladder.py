"""What methods on ladders of latents have in common: the lower bound of log p(x), and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, get_args

import torch
from torch import Tensor

from groundglass.batches import Progress
from groundglass.errors import UsageError
from groundglass.labels import UNKNOWN
from groundglass.losses.beta import Form, dequantised, expected, log_density
from groundglass.losses.divergence import divergence, sampled_divergence
from groundglass.losses.shown import means_of_shown
from groundglass.losses.stitched import bits_per_pixel, joint, log_likelihood, stitched
from groundglass.methods._method import OfNetwork
from groundglass.networks._ladder import Generated, Inferred, Ladder
from groundglass.networks._network import Network
from groundglass.networks.svae import SVAE

By = Literal["sample", "formula"]
Answer = Literal["latents", "picture"]
MOVES: Final = 0.01  # variance over pictures above which a latent is active (Burda et al., arXiv 1509.00519)


@dataclass(frozen=True)
class LadderConfig:
    """Settings of all methods on the ladder.

    Attributes:
        divergence: by the ``sample`` that the likelihood is of, or by the ``formula``, which varies less.
        rise: share of the training over which the divergence's weight rises evenly from 0 to 1, lest latents learn to
            say nothing before anything can be made of them (LVAE's warm-up, arXiv 1602.02282, section 3).
        beta: what the network says of a style: the Beta density's two ``shapes``, or its ``mean`` and strength.
        answer: what a prediction is: p(y given z), as in the papers, or by the ``picture`` p(y given x, z), which goes
            as p(y given z) p(x given y, z), so that each pixel's own grey value has a say in its class.
        evidence: the power of p(x given y, z) in an answer by the picture (ours): at 1 it is Bayes's, which takes each
            pixel's grey value for drawn by itself, so that a pixel of lung and wall is surely what is as grey.
        seed: of latents and dequantisation.
    """

    divergence: By = "sample"
    rise: float = 0.0
    beta: Form = "shapes"
    answer: Answer = "latents"
    evidence: float = 1.0
    seed: int = 0

    def weight(self, progress: Progress) -> float:
        """Of the divergence, at a step."""
        return min(1.0, progress.step / (self.rise * progress.steps)) if self.rise > 0 else 1.0

    def __post_init__(self) -> None:
        """Refuse what is no way to a divergence, to a density or to a prediction, and evidence beyond all of it.

        Raises:
            UsageError: it is none.
        """
        said = ("divergence", self.divergence, By), ("beta", self.beta, Form), ("answer", self.answer, Answer)
        for name, value, known in said:
            if value not in get_args(known):
                raise UsageError(
                    f"The setting {name} is {value!r}.",
                    expected=f"one of {', '.join(get_args(known))}",
                    remedy="Correct stage.settings.",
                )
        if not 0 <= self.evidence <= 1:
            raise UsageError(
                f"The setting evidence is {self.evidence}.",
                expected="a number from 0 to 1",
                remedy="Correct stage.settings.",
            )


@dataclass(frozen=True, eq=False)
class Bound:
    """The evidence lower bound of some pictures, in nats a pixel, and what it was made from.

    Attributes:
        likelihood: (B,), log of the sum over y in S of p(x, y given z), the mean over the pixels of x.
        divergence: (B,), of q(z) from p(z), over the number of these.
        bits: (B,), of the pictures, whatever their labels, in the method's ``unit``; without a gradient.
        inferred: the latents and what they become.
    """

    likelihood: Tensor
    divergence: Tensor
    bits: Tensor
    inferred: Inferred


@dataclass(frozen=True, eq=False)
class Shown:
    """For people: what a network makes of pictures, or of nothing.

    Attributes:
        probability: of each style, (B, S, H, W).
        styles: (B, S, H, W), grey values in [0, 1].
        stitched: (B, 1, H, W), [0, 1].
        bits: (B,), in the method's ``unit``; None of a sample.
        divergence: of each level by its name, nats (B,); empty of a sample.
        means: of each level by its name, the latents' means (B, 1, h, w); empty of a sample.
    """

    probability: Tensor
    styles: Tensor
    stitched: Tensor
    bits: Tensor | None = None
    divergence: Mapping[str, Tensor] = field(default_factory=dict)
    means: Mapping[str, Tensor] = field(default_factory=dict)


class OfLadder(OfNetwork):
    """A method whose network is a ladder: unless it says otherwise the SVAE, whose styles are Beta densities.

    Attributes:
        tissues: the tissue group of each style; a group is there as often as it has styles.
        unit: what its bits are.
    """

    network: Ladder
    takes: ClassVar[type[Ladder]] = SVAE
    unit: ClassVar[str] = "bits_per_pixel"
    config_class: ClassVar[type[LadderConfig]] = LadderConfig

    def __init__(self, network: Network, outputs: Sequence[int], config: LadderConfig | None = None) -> None:
        """Make the method.

        Args:
            network: one that it takes.
            outputs: the tissue group of each of its K classes (``groundglass.losses.groups``).
            config: settings.

        Raises:
            UsageError: another network, which generates nothing or by another density.
        """
        if not isinstance(network, self.takes):
            name = self.takes.__module__.rpartition(".")[2]
            raise UsageError(
                f"{type(self).__name__} got the network {type(network).__name__}, which does not generate as it does.",
                expected=f"the network {name}",
                remedy=f'Say network.name = "{name}".',
            )
        super().__init__(network, outputs)
        self.config = config or self.config_class()
        styles = zip(self.outputs, network.styles_of, strict=True)
        self.tissues = tuple(group for group, count in styles for _ in range(count))

    def density(self, styles: Tensor, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Of each style log p(x given y, z), (B, S, H, W), nats a pixel; a generator dequantises x."""
        return log_density(styles, dequantised(image, generator), self.config.beta)

    def grey(self, styles: Tensor) -> Tensor:
        """What each style looks like: (B, S, H, W), [0, 1]."""
        return expected(styles, self.config.beta)

    def bits(self, likelihood: Tensor, divergence: Tensor) -> Tensor:
        """Of nats a pixel, in the method's ``unit``."""
        return bits_per_pixel(likelihood, divergence)

    def bound(
        self,
        image: Tensor,
        label_set: Tensor,
        generator: torch.Generator,
        by: By,
        seen: Tensor | None = None,
        held: slice = slice(0),
    ) -> Bound:
        """The lower bound by one sample of z from q(z given x).

        Args:
            image: x, (B, 1, H, W), [0, 1].
            label_set: S, (B, H, W), uint8.
            generator: of z and of what dequantises x.
            by: whether the divergence is of that sample too, or of the formula.
            seen: (B, H, W), bool: the pixels x consists of, the rest being padding; None: all.
            held: pictures from whose likelihood classes learn nothing.
        """
        inferred = self.network.infer(image, generator)
        density = self.density(inferred.styles, image, generator)
        logits = inferred.logits.clone()
        logits[held] = inferred.logits[held].detach()
        likelihood = means_of_shown(log_likelihood(logits, density, label_set, self.tissues), seen)
        with torch.no_grad():
            picture = log_likelihood(inferred.logits, density, unknown(image), self.tissues)
        total = torch.zeros_like(likelihood)
        for z, q, p in zip(inferred.z, inferred.posterior, inferred.prior, strict=True):
            normals = q.mean, q.variance, p.mean, p.variance
            each = divergence(*normals) if by == "formula" else sampled_divergence(z, *normals)
            total = total + each.sum(dim=(1, 2, 3))
        total = total / _pixels(image, seen)
        return Bound(likelihood, total, self.bits(means_of_shown(picture, seen), total.detach()), inferred)

    def levels_of(self, bound: Bound) -> dict[str, Tensor]:
        """Of each level: its exact divergence in nats a picture, the mean."""
        told = {}
        inferred = bound.inferred
        for name, q, p in zip(self.network.levels, inferred.posterior, inferred.prior, strict=True):
            told[f"divergence_{name}"] = divergence(q.mean, q.variance, p.mean, p.variance).detach().sum() / len(q.mean)
        return told

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Probabilities (B, K, H, W), float32, of the latents' means.

        Each picture passes the network by itself: libraries sum in another order for other batches, and a picture's
        answer is to be the same to the last bit alone and among any others.
        """
        del prior
        each = torch.split(image, 1)
        return torch.cat([self.classes(self.network.infer(one), one).float().softmax(dim=1) for one in each])

    def classes(self, made: Generated, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of what pictures (B, 1, H, W) are said to be, from which that was made."""
        if self.config.answer == "latents":
            return self.network.of_classes(made.logits)
        density = self.config.evidence * self.density(made.styles, image)
        return self.network.of_classes(joint(made.logits, density))

    @torch.no_grad()
    def shown(self, image: Tensor, generator: torch.Generator | None = None, seen: Tensor | None = None) -> Shown:
        """What becomes of pictures (B, 1, H, W), by the latents' means, or by a sample of them.

        Bits are of the pixels that are ``seen`` (B, H, W), bool; None: of all.
        """
        inferred = self.network.infer(image, generator)
        apart = {
            name: divergence(q.mean, q.variance, p.mean, p.variance).sum(dim=(1, 2, 3))
            for name, q, p in zip(self.network.levels, inferred.posterior, inferred.prior, strict=True)
        }
        density = self.density(inferred.styles, image)
        likelihood = means_of_shown(log_likelihood(inferred.logits, density, unknown(image), self.tissues), seen)
        bits = self.bits(likelihood, torch.stack(list(apart.values())).sum(dim=0) / _pixels(image, seen))
        means = dict(zip(self.network.levels, (q.mean for q in inferred.posterior), strict=True))
        return Shown(*self._pictures(inferred), bits, apart, means)

    @torch.no_grad()
    def sampled(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Shown:
        """Pictures of nobody: latents from their prior."""
        return Shown(*self._pictures(self.network.sample(count, size, generator)))

    def _pictures(self, made: Generated) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, styles and the stitched picture."""
        grey = self.grey(made.styles)
        return made.logits.float().softmax(dim=1), grey, stitched(made.logits, grey)


def active(means: Tensor) -> float:
    """The share of a level's latents whose mean moves over pictures (N, 1, h, w).

    Of means that no sample is in: on a ladder those of finer levels follow the samples of the coarser.
    """
    return float((means.var(dim=0) > MOVES).float().mean())


def _pixels(image: Tensor, seen: Tensor | None) -> int | Tensor:
    """Of a picture, or of each (B,) what of it is seen."""
    return image[0].numel() if seen is None else seen.sum(dim=(1, 2)).clamp_min(1)


def unknown(image: Tensor) -> Tensor:
    """Label sets (B, H, W) of pictures (B, 1, H, W) of which nothing is known."""
    return torch.full_like(image[:, 0], UNKNOWN, dtype=torch.uint8)

"""Jin, Liu and Chen, Information Sciences, 2022: a VQ-VAE branch, shares of classes, and a discriminator.

| here | there |
|---|---|
| ``network`` | S: any; with the VQ-VAE branch it is ``networks.vq_unet`` |
| ``discriminator`` | D (``networks._discriminator``); sigmoid of its answer is the confidence map |
| ``cross_entropy``, ``proportions`` | L_ce and lambda L_prop: L_comp, eq. 11 |
| ``reconstruction``, ``codes`` | the first term of eq. 2, and the others |
| ``semi_supervised``, ``adversarial`` | L_semi on refined pseudo labels (eq. 13), L_adv (eq. 12), with their weights |
| ``discriminator``'s update: ``fake``, ``real`` | L_D, eq. 14 |
| ``first_phase`` | "trained for 1,000 iterations", then "the semi-supervised mode" |

The total loss is not written down: L_ce + 0.5 L_prop + L_vq, and after the first phase + 0.1 L_semi + 0.01 L_adv, which
is of both kinds of slices. Settings of the training: SGD at 0.01, momentum 0.9, weight decay 1e-4; those of the
discriminator, ``modules.discriminator``: Adam at 1e-4, ``beta2`` 0.99 (Hung et al.).

Differs from the paper:
- Labels are sets. A pixel that may be of several classes is shown to the discriminator as the prediction given its
  label, and the answer there counts for nothing, of either.
- The first phase is a share of the steps. The paper does not say how many there are after it.
- Labelled and unlabelled slices go through the network as one batch, so that batch statistics in training are of both,
  as those are that it predicts with. The VQ-VAE draws both kinds (not said).
- L_prop of the unlabelled (3.4, no target given): the shares predicted for all of the batch together, against the mean
  of the labelled slices' shares so far. Single slices may well have other shares.
- ``proportions = 0`` leaves L_prop out; with ``dice`` the loss has soft Dice beside, for figure 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled, shown_in
from groundglass.errors import UsageError
from groundglass.labels import UNKNOWN
from groundglass.losses.adversarial import adversarial_loss, discriminator_loss, refined_labels
from groundglass.losses.label_set import allowed, cross_entropy
from groundglass.losses.proportions import label_shares, proportions_loss, within
from groundglass.losses.reconstruction import reconstruction_loss
from groundglass.losses.shown import mean_of_shown
from groundglass.losses.supervised import label_set_losses
from groundglass.methods._method import OfNetwork, Update
from groundglass.networks._discriminator import Discriminator
from groundglass.networks.vq_unet import VQUNet


@dataclass(frozen=True)
class Config:
    """Settings; defaults are the paper's unless a comment says 'ours'.

    Attributes:
        first_phase: share of the steps in which labelled slices alone are learnt from; 1: there is no other phase.
        proportions: weight of the proportions loss, lambda of eq. 11.
        codes: weight of the VQ-VAE's loss, where the network has that branch.
        semi_supervised: weight of the cross-entropy with refined pseudo labels.
        adversarial: weight of the adversarial loss.
        threshold: T, above which confidence a pixel has a pseudo label.
        dice: weight of a Dice term beside the cross-entropy.
    """

    first_phase: float = 0.25  # ours: 1,000 of 4,000
    proportions: float = 0.5
    codes: float = 1.0  # ours: not given
    semi_supervised: float = 0.1
    adversarial: float = 0.01
    threshold: float = 0.2  # ours, within the paper's 0.1 to 0.3
    dice: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that are none.

        Raises:
            UsageError: a first phase or a threshold outside [0, 1].
        """
        if not (0 <= self.first_phase <= 1 and 0 <= self.threshold <= 1):
            raise UsageError(
                f"A first phase of {self.first_phase:g} of the steps, and a threshold of {self.threshold:g}.",
                expected="both from 0 to 1",
                remedy="Correct stage.settings.",
            )


class Jin2022(OfNetwork):
    """A network that learns from labels, then also from what a discriminator lets it believe of the rest."""

    shares: Tensor
    counted: Tensor

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W).
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__(network, outputs)
        self.discriminator = Discriminator(len(self.outputs))
        self.config = config or Config()
        self.register_buffer("shares", torch.zeros(len(self.outputs)))  # of the labelled slices' pixels, so far
        self.register_buffer("counted", torch.zeros(()))  # batches that went into them

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """A step of the network and, after the first phase, one of the discriminator."""
        if progress.step < self.config.first_phase * progress.steps:
            yield self._first_phase(labelled)
            return
        if unlabelled is None:
            raise UsageError(
                "Jin (2022) got no unlabelled slices after its first phase.",
                expected="slices without labels beside the labelled ones",
                remedy="Add some to the data and to training.unlabelled_batch, or say settings.first_phase = 1.0.",
            )
        shown = shown_in(labelled, unlabelled)
        logits, losses, told = self._answered(torch.cat([labelled.image, unlabelled.image]), shown)
        known, bare = logits[: len(labelled.image)], logits[len(labelled.image) :]
        losses |= self._compound(known, labelled.label_set)
        losses |= self._semi_supervised(bare, unlabelled.shown, told)
        probability = logits.float().softmax(dim=1)
        losses["adversarial"] = self.config.adversarial * adversarial_loss(self.discriminator(probability), shown)
        yield Update("network", losses, told=told)
        yield Update("discriminator", self._discriminated(probability[: len(known)].detach(), labelled.label_set))

    def _first_phase(self, labelled: Labelled) -> Update:
        logits, losses, told = self._answered(labelled.image, labelled.shown)
        return Update("network", {**self._compound(logits, labelled.label_set), **losses}, told=told)

    def _answered(self, image: Tensor, shown: Tensor | None) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Logits, eq. 2 and the perplexities; the latter two of a network with a VQ-VAE branch."""
        if not isinstance(self.network, VQUNet):
            return self.network(image), {}, {}
        coded = self.network.forward_coded(image)
        drawn = reconstruction_loss(coded.reconstruction, image, "squared", shown)
        losses = {"reconstruction": self.config.codes * drawn, "codes": self.config.codes * coded.loss}
        perplexity = self.network.branch.perplexity()
        return coded.logits, losses, {f"perplexity of {name}": value for name, value in perplexity.items()}

    def _compound(self, logits: Tensor, label_set: Tensor) -> dict[str, Tensor]:
        """L_comp, eq. 11; and the shares of the labelled slices, for later."""
        logits = logits.float()
        losses = label_set_losses(logits, label_set, self.outputs, self.config.dice)
        if self.config.proportions:
            losses["proportions"] = self.config.proportions * proportions_loss(logits, label_set, self.outputs)
        self._count(label_shares(logits.softmax(dim=1), label_set, self.outputs))
        return losses

    @torch.no_grad()
    def _count(self, shares: Tensor) -> None:
        if shares.any():
            self.counted += 1
            self.shares.lerp_(shares, 1 / float(self.counted))

    def _semi_supervised(self, logits: Tensor, shown: Tensor | None, told: dict[str, Tensor]) -> dict[str, Tensor]:
        """L_semi on what the discriminator believes (eq. 13), and L_prop, of unlabelled slices."""
        logits = logits.float()
        probability = logits.softmax(dim=1)
        with torch.no_grad():
            confidence = self.discriminator(probability)
        pseudo = refined_labels(logits, confidence, self.outputs, self.config.threshold, shown)
        told["trusted"] = mean_of_shown((pseudo != UNKNOWN).float(), shown)
        weight = self.config.semi_supervised
        losses = {"semi_supervised": weight * cross_entropy(logits, pseudo, self.outputs)}
        if self.config.proportions:
            apart = torch.stack([mean_of_shown(one, shown) for one in probability.unbind(dim=1)]) - self.shares
            losses["unlabelled_proportions"] = self.config.proportions * apart.square().sum()
        return losses

    def _discriminated(self, probability: Tensor, label_set: Tensor) -> dict[str, Tensor]:
        """L_D, eq. 14, on labelled slices: their predictions against their labels."""
        possible = allowed(label_set, self.outputs)
        predicted, labels = self.discriminator(probability), self.discriminator(within(probability, possible))
        fake, real = discriminator_loss(predicted, labels, possible.sum(dim=1) == 1)
        return {"fake": fake, "real": real}

    def maps(self, image: Tensor, prior: Tensor | None = None) -> dict[str, Tensor]:
        """What the network shows, and if it was taught the discriminator's ``confidence`` (figure 4)."""
        if self.config.first_phase == 1:
            return super().maps(image, prior)
        confidence = self.discriminator(self.predict(image)).sigmoid().squeeze(1)
        return {**super().maps(image, prior), "confidence": confidence}

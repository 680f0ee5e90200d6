"""StitchNet: Zammit et al., BMC Bioinformatics 23 (Suppl 7), 343, 2022.

| here | there |
|---|---|
| ``network.infer`` | q_phi(z given x), one sample of it |
| ``logits``, their softmax | p_theta(y given z) = CAT(y; pi_theta(z)) |
| ``styles``, a Beta distribution a pixel | p_theta(b, h, g, c given z) = BETA(alpha_theta(z), beta_theta(z)) |
| ``stitched`` | Phi(y, b, h, g, c), which takes each pixel from its label's style |
| ``labelled`` | J_LAB; y is what the label set leaves possible |
| ``unlabelled`` | J_UN; y is summed over |
| ``divergence`` | log q_phi(z given x) - log p(z), in both |
| ``focal`` | (released) a focal loss of the segmentation, times 100, where there are labels |

Training as released: Adam at 3e-4, gradients no longer than 1, 80 epochs, one healthy, one unlabelled and one labelled
picture a batch. A healthy scan is a labelled one whose sets hold no lesion, so it comes with the labelled.

Three regimes: ``data.unlabelled = false`` learns from labels alone; ``labels = false`` from pictures alone, whatever
labels they have; neither, from both.

Both papers found that with both kinds the unlabelled pictures' styles become one. Ways out (ours, each a setting, off
by default), beside the network's ``styles_at``:
- ``held``: of an unlabelled picture's likelihood classes learn nothing, styles and latents do: what grey values would
  have classes mean is not what labels say they mean;
- ``warm_up``: the weight of the unlabelled pictures, and of the two below, rises over a share of the training;
- ``shares``: a prior on class shares, those of the labelled pictures (``losses.shares``);
- ``swap``: an unlabelled picture's styles are stitched by a labelled picture's label, and the network has to give that
  label back. So an unlabelled picture becomes a labelled one, and styles that are one cannot be told apart;
- ``agree``: of a strong view of an unlabelled picture the network has to say what it is sure of in the picture
  (FixMatch's; ``methods.fixmatch``), by its ``answer``.

Differs from the paper:
- A style for each group of tissues that the labels tell apart: the paper's four, or three where lung and background
  were never told apart; there the network's ``styles_of`` gives their group two, and the set holds both.
- All terms are means over pixels, and so is the divergence, as released (over 352^2); of a batch, each kind of picture
  counts as one.
- A prediction is of the latents' means in evaluation mode. (Released: of a sample, in training mode.)
- gamma is 2 (not given).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from groundglass.batches import Labelled, Progress, Unlabelled, shown_in
from groundglass.labels import UNKNOWN
from groundglass.losses.label_set import allowed, cross_entropy, focal_cross_entropy
from groundglass.losses.pseudo_labels import confident, pseudo_cross_entropy
from groundglass.losses.shares import share_divergence, shares_of
from groundglass.losses.shown import mean_of_shown
from groundglass.losses.stitched import stitched
from groundglass.methods._ladder import Bound, LadderConfig, OfLadder, unknown
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of, ramp_up
from groundglass.methods._views import strong_view
from groundglass.networks._again import still
from groundglass.networks._ladder import Generated, Inferred


@dataclass(frozen=True)
class Config(LadderConfig):
    """Settings beside the ladder's; defaults are the released training's unless a comment says 'ours'.

    Attributes:
        focal: weight of the focal loss; 0 leaves it out.
        gamma: of it.
        unlabelled: weight of the unlabelled pictures' bound.
        labels: whether labels are looked at; where not, all pictures count as unlabelled.
        held: whether classes learn nothing from the unlabelled pictures' likelihood.
        warm_up: share of the training over which that weight rises, which the next three are multiplied with.
        shares: weight of the prior on class shares.
        swap: weight of the cross-entropy of labels that were stitched into unlabelled pictures.
        agree: weight of the cross-entropy of strong views.
        sure: a pixel of the picture teaches its strong view where its largest probability is at least this.
    """

    focal: float = 100.0
    gamma: float = 2.0  # ours
    unlabelled: float = 1.0
    labels: bool = True
    held: bool = False
    warm_up: float = 0.0
    shares: float = 0.0
    swap: float = 0.0
    agree: float = 0.0
    sure: float = 0.95  # FixMatch's
    cutmix: ClassVar[float] = 0.5  # share of strong views that get a rectangle of another one, UniMatch's


class StitchNet(OfLadder):
    """A model of pictures and segmentations: where the latter are missing, it sums over them."""

    config_class = Config
    config: Config

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step: both kinds of pictures pass the network together, so that batch statistics are of both."""
        config = self.config
        known, images = len(labelled.image) if config.labels else 0, [labelled.image]
        sets = [labelled.label_set if config.labels else unknown(labelled.image)]
        if unlabelled is not None:
            images.append(unlabelled.image)
            sets.append(unknown(unlabelled.image))
        generator, shown = noise_of(config.seed, progress), shown_in(labelled, unlabelled)
        held = slice(known, None) if config.held else slice(0)
        bound = self.bound(torch.cat(images), torch.cat(sets), generator, config.divergence, shown, held)
        losses, told = {}, self.levels_of(bound)
        rising = config.unlabelled * ramp_up(progress, config.warm_up)
        for kind, part, weight in (("labelled", slice(known), 1.0), ("unlabelled", slice(known, None), rising)):
            if len(bound.bits[part]):
                losses[kind] = -weight * bound.likelihood[part].mean()
                losses[f"divergence_{kind}"] = weight * config.weight(progress) * bound.divergence[part].mean()
                told |= {f"{name}_{kind}": value for name, value in self._told(bound, shown, part).items()}
        if known and config.focal:
            focal = focal_cross_entropy(bound.inferred.logits[:known], sets[0], self.tissues, config.gamma)
            losses["focal"] = config.focal * focal
        if known and unlabelled is not None:
            repair = self._repair(bound.inferred, sets[0], unlabelled, generator)
            losses |= {name: rising * loss for name, loss in repair.items()}
        yield Update("network", losses, told=told)

    def _repair(
        self, inferred: Inferred, label_set: Tensor, unlabelled: Unlabelled, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What keeps the unlabelled pictures, which come after the labelled ones, from collapse."""
        config, losses = self.config, {}
        known, shown = len(label_set), unlabelled.shown
        logits = self.network.of_classes(inferred.logits[known:])
        shares = shares_of(label_set, self.outputs) if config.shares else None
        if shares is not None:
            losses["shares"] = config.shares * share_divergence(logits, shares, shown)
        if config.swap:
            pairs = torch.arange(len(inferred.logits) - known, device=label_set.device) % known
            wanted = label_set[pairs]
            image = swapped(self.grey(inferred.styles[known:]), inferred.logits[pairs], wanted, self.tissues)
            if shown is not None:  # there are styles of padding, which nothing shaped, and what they make is none
                image, wanted = image * shown.unsqueeze(1), torch.where(shown, wanted, int(UNKNOWN))
            with still(self.network):  # stitched pictures are a population of their own: statistics stay the real ones'
                found = self.network.infer(image, generator).logits
            losses["swap"] = config.swap * cross_entropy(found, wanted, self.tissues)
        if config.agree:
            made = Generated(inferred.logits[known:].detach(), inferred.styles[known:].detach())
            said = confident(self.classes(made, unlabelled.image), self.outputs, config.sure, shown)
            image, wanted = strong_view(unlabelled, said, generator, config.cutmix)
            with still(self.network):
                found = self.network.of_classes(self.network.infer(image, generator).logits)
            losses["agree"] = config.agree * pseudo_cross_entropy(found, wanted, self.outputs)
        return losses

    @torch.no_grad()
    def _told(self, bound: Bound, shown: Tensor | None, part: slice) -> dict[str, Tensor]:
        """For the log, of some pictures: bits, how far their styles are apart, and the share of each class."""
        styles, seen = self.grey(bound.inferred.styles[part]), None if shown is None else shown[part]
        pairs = combinations(styles.unbind(dim=1), 2)
        probability = bound.inferred.logits[part].float().softmax(dim=1)
        return {
            self.unit: bound.bits[part].mean(),
            "styles_apart": torch.stack([mean_of_shown((one - other).abs(), seen) for one, other in pairs]).mean(),
            **{f"share_{place}": mean_of_shown(p, seen) for place, p in enumerate(probability.unbind(dim=1))},
        }


def swapped(styles: Tensor, logits: Tensor, label_set: Tensor, tissues: Sequence[int]) -> Tensor:
    """One picture's styles, stitched by another's label: (B, 1, H, W), [0, 1], with a gradient to the styles.

    Args:
        styles: of the one, (B, S, H, W), grey values in [0, 1].
        logits: of the other, (B, S, H, W): where its label leaves several styles possible, the most probable one is
            taken.
        label_set: of the other, (B, H, W), uint8.
        tissues: the tissue group of each style.
    """
    return stitched(torch.where(allowed(label_set, tissues), logits.detach(), -torch.inf), styles)

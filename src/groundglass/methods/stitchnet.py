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

import torch
from torch import Tensor

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.beta import expected
from groundglass.losses.label_set import focal_cross_entropy
from groundglass.methods._ladder import Bound, By, OfLadder, check_divergence, unknown
from groundglass.methods._method import Update
from groundglass.methods.mean_teacher import noise_seed
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Config:
    """Settings; defaults are the released training's unless a comment says 'ours'.

    Attributes:
        focal: weight of the focal loss; 0 leaves it out.
        gamma: of it.
        unlabelled: weight of the unlabelled pictures' bound.
        labels: whether labels are looked at; where not, all pictures count as unlabelled.
        divergence: by the ``sample`` that the likelihood is of, or by the ``formula``, which varies less.
        seed: of latents and dequantisation.
    """

    focal: float = 100.0
    gamma: float = 2.0  # ours
    unlabelled: float = 1.0
    labels: bool = True
    divergence: By = "sample"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no way to a divergence.

        Raises:
            UsageError: it is none.
        """
        check_divergence(self.divergence)


class StitchNet(OfLadder):
    """A model of pictures and segmentations: where the latter are missing, it sums over them."""

    def __init__(self, network: Network, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: an SVAE of K classes.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__(network, outputs)
        self.config = config or Config()

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One step: both kinds of pictures pass the network together, so that batch statistics are of both."""
        config = self.config
        known, images = len(labelled.image) if config.labels else 0, [labelled.image]
        sets = [labelled.label_set if config.labels else unknown(labelled.image)]
        if unlabelled is not None:
            images.append(unlabelled.image)
            sets.append(unknown(unlabelled.image))
        generator = torch.Generator().manual_seed(noise_seed(config.seed, progress.step))
        bound = self.bound(torch.cat(images), torch.cat(sets), generator, config.divergence)
        losses, told = {}, bound.levels()
        for kind, part, weight in (
            ("labelled", slice(known), 1.0),
            ("unlabelled", slice(known, None), config.unlabelled),
        ):
            if len(bound.bits[part]):
                losses[kind] = -weight * bound.likelihood[part].mean()
                losses[f"divergence_{kind}"] = weight * bound.divergence[part].mean()
                told |= {f"{name}_{kind}": value for name, value in self._told(bound, part).items()}
        if known and config.focal:
            focal = focal_cross_entropy(bound.inferred.logits[:known], sets[0], self.tissues, config.gamma)
            losses["focal"] = config.focal * focal
        yield Update("network", losses, told=told)

    @torch.no_grad()
    def _told(self, bound: Bound, part: slice) -> dict[str, Tensor]:
        """For the log, of some pictures: bits, how far their styles are apart, and the share of each class."""
        styles = expected(bound.inferred.styles[part])
        pairs = combinations(styles.unbind(dim=1), 2)
        shares = bound.inferred.logits[part].float().softmax(dim=1).mean(dim=(0, 2, 3))
        return {
            "bits_per_pixel": bound.bits[part].mean(),
            "styles_apart": torch.stack([(one - other).abs().mean() for one, other in pairs]).mean(),
            **{f"share_{place}": share for place, share in enumerate(shares)},
        }

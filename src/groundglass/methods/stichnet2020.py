"""StichNet: Zammit, "Semi-Supervised COVID-19 CT Image Segmentation Using Deep Generative Models", 2020.

| here | there |
|---|---|
| ``network.infer`` | q_phi(z, k given x), one sample of it (eq. 12) |
| ``logits``, their softmax | p_theta(y given k, z) = CAT(y; Psi(fb, l)) (eq. 6, 7) |
| ``styles``, their sigmoid | p_theta(b, h, g, c given z, k) = BERN(lambda_theta(z, k)) (eq. 6) |
| ``stitched`` | Phi(y, b, h, g, c) |
| ``labelled``, ``unlabelled`` | J_LAB and J_UN (eq. 10), one formula over label sets (``losses.stitched``) |
| ``divergence`` | log q_phi(z, k given x) - log p(z) - log p(k), in both |

It is StitchNet (2022) on another network and by another density, without that one's focal loss: its settings, regimes
and ways out of collapse are the same (``methods.stitchnet``). The picture's bits in the log are those of a Bernoulli of
grey values, which has no normaliser: they tell whether a training learns, and are no bits of a picture
(``bernoulli_bits``; two trainings of this method can be compared by them, with nothing else).

Differs from the paper:
- J has no factor q(.) before its bracket: a misprint, for the one-sample estimate of the expectation.
- All terms are means over pixels, and so is the divergence; of a batch, each kind of picture counts as one.
- A prediction is of the latents' means in evaluation mode, each picture by itself.
- Optimiser, rate, batch and epochs are not given; recipes have StitchNet's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from groundglass.errors import UsageError
from groundglass.losses import bernoulli
from groundglass.methods.stitchnet import Config as StitchNetConfig
from groundglass.methods.stitchnet import StitchNet
from groundglass.networks import stichnet2020


@dataclass(frozen=True)
class Config(StitchNetConfig):
    """StitchNet's settings.

    Attributes:
        focal: weight of a focal loss; the paper has none.
    """

    focal: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what a Bernoulli does not have.

        Raises:
            UsageError: the setting ``beta``, or one of no meaning.
        """
        super().__post_init__()
        if self.beta != "shapes":
            raise UsageError(
                f"The setting beta is {self.beta!r}.",
                expected="none: stichnet2020's density is a Bernoulli",
                remedy="Leave it out of stage.settings.",
            )


class StichNet2020(StitchNet):
    """A model of pictures and segmentations by two ladders of latents."""

    takes = stichnet2020.StichNet2020
    unit = "bernoulli_bits"
    config_class = Config

    def density(self, styles: Tensor, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Of each style log BERN(x; lambda), (B, S, H, W), nats a pixel; x is the grey value itself."""
        del generator
        return bernoulli.log_density(styles, image)

    def grey(self, styles: Tensor) -> Tensor:
        """Lambda of each style: (B, S, H, W), [0, 1]."""
        return bernoulli.expected(styles)

    def bits(self, likelihood: Tensor, divergence: Tensor) -> Tensor:
        """``(divergence - log BERN) / log 2``: of no picture."""
        return (divergence - likelihood) / log(2)

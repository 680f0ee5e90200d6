"""Cross pseudo supervision: Chen et al., CVPR 2021 (arXiv 2106.01226).

| here | there |
|---|---|
| ``first``, ``second`` | f(theta_1), f(theta_2): one architecture, other first weights |
| ``cross_entropy``, ``dice`` of either | L_s |
| ``cross``: each is taught what the other answers | L_cps, that of the unlabelled slices |
| ``weight`` | lambda; ``ramp_up``, by which it rises, is of medical comparisons |
| ``cutmix`` | "CPS + CutMix": mixed slices, taught by what is said of the whole ones, mixed alike |

As in the paper both encoders begin with the same (pre-trained) weights and the rest does not; the first network
predicts. The second's own weights are the first's in another order, tensor by tensor: drawn as the network draws them.

Differs from the paper:
- The labelled slices are not taught across (as released for CPS + CutMix; in the paper they are).
- What is pasted comes from another slice of the batch; one rectangle of any size (theirs: three of 25 to 50 %).
- The networks are moved one after the other, both taught by what the other said before either moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from groundglass.augment._cutmix import cuts
from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.groups import check_outputs
from groundglass.losses.label_set import cross_entropy
from groundglass.losses.pseudo_labels import answered
from groundglass.methods._both import Both, BothConfig
from groundglass.methods._method import Update
from groundglass.methods._step import noise_of, ramp_up


@dataclass(frozen=True)
class Config(BothConfig):
    """Settings beside those of all methods with both kinds of slices; defaults are the paper's.

    Attributes:
        weight: of what the other network says.
        ramp_up: share of the training over which that weight rises; 0 as in the paper, which trains for long.
        cutmix: share of the unlabelled slices that get a rectangle of another one.
    """

    shares: ClassVar[tuple[str, ...]] = ("ramp_up", "cutmix")
    weight: float = 1.5  # on PASCAL VOC; 6 on Cityscapes
    ramp_up: float = 0.0
    cutmix: float = 1.0


class CPS(Both):
    """Two networks, each taught the other's answers; the first predicts."""

    config: Config
    config_class = Config

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: Config | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W); the second is made from it.
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__()
        self.config = config or Config()
        self.first = network
        self.second = reordered(network, torch.Generator().manual_seed(self.config.seed))
        self.outputs = check_outputs(outputs)

    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """A step of each network."""
        config, bare = self.config, self.needed(unlabelled)
        image = bare.image
        cut = cuts(tuple(image.shape), noise_of(config.seed, progress), image.device, config.cutmix)
        with torch.no_grad():
            answers = [answered(network(image), self.outputs, bare.shown) for network in (self.first, self.second)]
            said = [cut.paste(answer) for answer in answers]
        mixed = cut.paste(image)
        weight = config.weight * ramp_up(progress, config.ramp_up)
        for name, other in (("first", said[1]), ("second", said[0])):
            network = self.get_submodule(name)
            losses = self.labelled_losses(network(labelled.image), labelled.label_set)
            losses["cross"] = weight * cross_entropy(network(mixed), other, self.outputs)
            yield Update(name, {f"{loss}_{name}": value for loss, value in losses.items()})

    @property
    def predictor(self) -> nn.Module:
        """The first network."""
        return self.first

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """The first network's probabilities (B, K, H, W), float32."""
        del prior
        probability: Tensor = self.first(image).float().softmax(dim=1)
        return probability


@torch.no_grad()
def reordered(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy with each tensor of weights in another order, but for those under ``encoder`` and frozen ones."""
    other = deepcopy(network)
    for name, weight in other.named_parameters():
        if weight.requires_grad and "encoder" not in name.split("."):
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return other

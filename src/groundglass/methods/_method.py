"""What every method is: a module that yields its updates and predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.groups import check_outputs
from groundglass.networks._network import Network


@dataclass(frozen=True, eq=False)
class Update:
    """One optimiser step: the losses to add up, and the submodule whose parameters they move.

    Attributes:
        module: name of a submodule of the method; its optimiser owns exactly its parameters.
        losses: name -> scalar; weights are already in them.
        rate: what the learning rate is multiplied with, for methods with a schedule of their own.
        told: name -> scalar that goes into the log and is no loss.
    """

    module: str
    losses: Mapping[str, Tensor]
    rate: float = 1.0
    told: Mapping[str, Tensor] = field(default_factory=dict)


class Method(nn.Module, ABC):
    """Base of all methods.

    Attributes:
        outputs: the tissue group (label set, an int) of each output channel.
        takes_prior: whether its network sees the prior beside the image.
        takes_unlabelled: whether it looks at slices without labels; where it does not, none are read.
        takes_soft: whether it learns from labels that are probabilities.
        is_average: whether it predicts by a moving average of its own: there is no second one over it.
    """

    outputs: tuple[int, ...]
    takes_prior: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = True
    takes_soft: ClassVar[bool] = False
    is_average: ClassVar[bool] = False

    @classmethod
    def outputs_for(cls, groups: Sequence[int]) -> tuple[int, ...]:
        """The groups that it answers where labels tell ``groups`` apart: all of them, unless it says otherwise."""
        return tuple(groups)

    @abstractmethod
    def updates(self, labelled: Labelled, unlabelled: Unlabelled | None, progress: Progress) -> Iterator[Update]:
        """One update for each optimiser step, in the paper's order. A graph may not cross a yield: detach."""

    @abstractmethod
    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Probabilities (B, K, H, W) of the output groups; in eval mode deterministic, alone or in any batch."""

    @property
    @abstractmethod
    def predictor(self) -> nn.Module:
        """The network that predicts: what the next stage of a recipe starts from."""

    def maps(self, image: Tensor, prior: Tensor | None = None) -> dict[str, Tensor]:
        """What it shows of itself beside its probabilities, by name: each (B, H, W), float32, in [0, 1], for people.

        By default what its network shows.
        """
        del prior
        predictor = self.predictor
        return predictor.maps(image) if isinstance(predictor, Network) else {}

    def after_step(self, progress: Progress) -> None:
        """Called after every completed step, for instance to move a teacher."""
        del progress


class OfNetwork(Method):
    """A method whose one network is trained and predicts, by the softmax of its logits."""

    def __init__(self, network: nn.Module, outputs: Sequence[int]) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W).
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
        """
        super().__init__()
        self.network = network
        self.outputs = check_outputs(outputs)

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.network

    def predict(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Probabilities (B, K, H, W), float32."""
        del prior
        probability: Tensor = self.network(image).float().softmax(dim=1)
        return probability

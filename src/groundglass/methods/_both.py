"""What methods that learn from labelled and unlabelled slices side by side have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from groundglass.batches import Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.supervised import label_set_losses
from groundglass.methods._method import Method, OfNetwork


@dataclass(frozen=True)
class BothConfig:
    """Settings of all of them.

    Attributes:
        seed: of their random numbers.
        dice: weight of the Dice term beside the cross-entropy of labelled slices; 0 leaves it out.
        class_weights: of each output channel in that cross-entropy.
    """

    shares: ClassVar[tuple[str, ...]] = ()  # names of those that are shares
    seed: int = 0
    dice: float = 1.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse shares that are none.

        Raises:
            UsageError: one of them is outside [0, 1].
        """
        for name in self.shares:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(
                    f"{name} = {getattr(self, name):g}.",
                    expected="a share, from 0 to 1",
                    remedy="Correct stage.settings.",
                )


class Both(Method):
    """A method that needs slices of both kinds; what the labelled ones cost is as in ``supervised``."""

    config: BothConfig
    config_class: ClassVar[type[BothConfig]] = BothConfig

    def labelled_losses(self, logits: Tensor, label_set: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of sets and Dice of regions, L_s."""
        return label_set_losses(logits, label_set, self.outputs, self.config.dice, self.config.class_weights)

    def needed(self, unlabelled: Unlabelled | None) -> Unlabelled:
        """The unlabelled slices.

        Raises:
            UsageError: there are none.
        """
        if unlabelled is None:
            raise UsageError(
                f"{type(self).__name__} got no unlabelled slices.",
                expected="slices without labels beside the labelled ones",
                remedy="Add some to the data and to training.unlabelled_batch, or take the method 'supervised'.",
            )
        return unlabelled


class OfBoth(Both, OfNetwork):
    """One of them whose one network is trained and predicts."""

    def __init__(self, network: nn.Module, outputs: Sequence[int], config: BothConfig | None = None) -> None:
        """Make the method.

        Args:
            network: image (B, 1, H, W) to logits (B, K, H, W).
            outputs: the tissue group of each of K channels (``groundglass.losses.groups``).
            config: settings.
        """
        super().__init__(network, outputs)
        self.config = config or self.config_class()

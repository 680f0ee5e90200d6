"""What every network is: a module that knows how often it halves its input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log2
from typing import ClassVar, Self

from torch import Tensor, nn

from groundglass.errors import UsageError

TIMES = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}


class Network(nn.Module, ABC):
    """Base of all networks.

    Attributes:
        paper: whose architecture it is, a citation of one line.
        stride: height and width of an image have to be multiples of it.
        in_channels: of the image, 1 for a slice of CT.
        classes: number of output channels, K.
        standard: mean and deviation that its pictures have before they are standardised; None: they stay in [0, 1].
        frozen: its parts that do not learn.
        heads: names of the last layers, those that other answers than it was trained for have to do without.
        changeable: whether all that its way up sees of a picture goes through ``between``.
    """

    paper: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = ("head",)
    changeable: ClassVar[bool] = False
    stride: int
    in_channels: int
    classes: int
    standard: tuple[float, float] | None = None
    frozen: tuple[str, ...] = ()
    _change: Callable[[Tensor], Tensor] | None = None

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W) in [0, 1]; softmax is the caller's."""

    def forward_all(self, image: Tensor) -> dict[str, Tensor]:
        """Logits by name, for networks that answer in several places; the others answer under ``logits``."""
        return {"logits": self(image)}

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """What it shows of itself beside its logits, by name: each (B, H, W), float32, in [0, 1]. Here nothing."""
        del image
        return {}

    def between(self, features: Tensor) -> Tensor:
        """What its way down hands to its way up: features (B, C, h, w), or meanwhile what ``changed`` makes of them."""
        return features if self._change is None else self._change(features)

    @contextmanager
    def changed(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Meanwhile its way up sees what ``change`` makes of each feature (B, C, h, w), and of as many pictures.

        Of a network that is not ``changeable`` some features, or all, stay as they are.
        """
        self._change = change
        try:
            yield
        finally:
            self._change = None

    def freeze(self, parts: Sequence[str]) -> None:
        """Let parts stay as they are, batch statistics too.

        Raises:
            UsageError: there is no part of that name.
        """
        for part in parts:
            try:
                self.get_submodule(part).requires_grad_(False)
            except AttributeError:
                raise UsageError(
                    f"{type(self).__name__} has no part {part!r} that could be frozen.",
                    expected=f"one of {', '.join(name for name, _ in self.named_children())}, or a part of these",
                    remedy="Correct its name.",
                ) from None
        self.frozen = tuple(parts)

    def train(self, mode: bool = True) -> Self:
        """As every module's; what is frozen gathers no statistics."""
        super().train(mode)
        for part in self.frozen:
            self.get_submodule(part).eval()
        return self

    def check(self, image: Tensor) -> Tensor:
        """Return the image, standardised, if its size divides by the stride.

        Raises:
            UsageError: it does not, or has another number of channels; the message says what would do.
        """
        if image.dim() != 4 or image.shape[1] != self.in_channels:
            raise UsageError(
                f"{type(self).__name__} got an image of shape {tuple(image.shape)}.",
                expected=f"(batch, {self.in_channels}, height, width)",
                remedy="Give one slice a sample.",
            )
        height, width = image.shape[-2:]
        if height % self.stride or width % self.stride:
            wanted = tuple(-(-side // self.stride) * self.stride for side in (height, width))
            raise UsageError(
                f"{type(self).__name__} halves its input {TIMES.get(round(log2(self.stride)), 'often')}; "
                f"an image of ({height}, {width}) pixels does not divide by {self.stride}.",
                expected=f"multiples of {self.stride}",
                remedy=f"Pad it to {wanted}.",
            )
        if self.standard is None:
            return image
        mean, deviation = self.standard
        return (image - mean) / deviation

"""Depthwise convolutions in bfloat16 on CPUs: the gradients that oneDNN is slow at, put together from fast ones.

oneDNN (3.x, as torch 2.13 brings it) has fast bf16 kernels for the gradients of 3 x 3 depthwise convolutions, but for
the image's with a stride. For others it falls back to ones that are 5 to 30 times slower: half of a training step of
EfficientNet-Lite0. Here the image's gradient with a stride is taken in float32, and a larger kernel's gradient
in pieces of 3 x 3. What goes forward stays as autocast has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import Tensor
from torch.overrides import TorchFunctionMode


class FastGradients(TorchFunctionMode):
    """A context in which such convolutions, under bf16 autocast on a CPU, have their gradients so.

    It sees calls of ``torch.conv2d``, whoever makes them, so networks need not know of it.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is torch.conv2d and torch.is_grad_enabled():
            return _conv2d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _conv2d(
    input: Any,  # noqa: A002 - torch's name
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    slow = input.dim() == 4 and groups > 1 and weight.shape[:2] == (groups, 1) and not isinstance(padding, str)
    if slow and _in_bf16(input):
        (kernel, across), (step, aside), (gap, other) = weight.shape[2:], _both(stride), _both(dilation)
        plain = kernel == across and kernel % 2 == 1 and step == aside and step in (1, 2) and gap == other == 1
        if plain and (kernel > 3 or (kernel == 3 and step == 2)):
            low = input.to(torch.bfloat16)
            return _Depthwise.apply(low, weight, bias, step, _both(padding))  # type: ignore[no-untyped-call]
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _in_bf16(image: Tensor) -> bool:
    """Whether autocast makes it bf16 on a CPU."""
    on = image.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return on and torch.get_autocast_dtype("cpu") == torch.bfloat16


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of (B, C, H, W) with weights (C, 1, k, k)."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Any) -> Any:
        ctx.save_for_backward(image, weight)
        ctx.how = stride, padding
        return torch.conv2d(image, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        image, weight = ctx.saved_tensors
        of_image, of_weight, of_bias = ctx.needs_input_grad[:3]
        return (
            image_gradient(image, weight, gradient, *ctx.how).to(image.dtype) if of_image else None,
            weight_gradient(image, gradient, weight.shape[-1], *ctx.how).to(weight.dtype) if of_weight else None,
            gradient.float().sum((0, 2, 3)) if of_bias else None,
            None,
            None,
        )


def image_gradient(image: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    """Of a depthwise convolution, (B, C, H, W); with a stride in float32.

    Args:
        image: (B, C, H, W), bf16; of it only the shape matters.
        weight: (C, 1, k, k).
        gradient: of the answer, bf16.
        stride: 1 or 2.
        padding: of rows and columns.
    """
    if stride == 1:
        return _gradients(gradient, image, weight.to(image.dtype), stride, padding)[0]
    like = torch.empty(image.shape, memory_format=torch.channels_last)
    return _gradients(gradient.float(), like, weight.float(), stride, padding)[0]


def weight_gradient(image: Tensor, gradient: Tensor, kernel: int, stride: int, padding: tuple[int, int]) -> Tensor:
    """Of a depthwise convolution, (C, 1, k, k): ``sum over n, y, x of g[n, c, y, x] image[n, c, s y + i, s x + j]``.

    A piece of 3 x 3 of it, from (top, left) on, is the gradient of a 3 x 3 convolution of the same image. Its answer
    has (k - 3) / s more rows and columns; g lies in them from (top / s, left / s) on, among zeros.

    Args:
        image: (B, C, H, W).
        gradient: of the answer.
        kernel: k, odd, at least 3.
        stride: s, 1 or 2.
        padding: of rows and columns.
    """
    like = image.new_empty(image.shape[1], 1, 3, 3)
    if kernel == 3:
        return _gradients(gradient, image, like, stride, padding, of_weight=True)[1]
    image = F.pad(image, (padding[1], padding[1], padding[0], padding[0]))
    more = (kernel - 3) // stride
    whole = image.new_empty(image.shape[1], 1, kernel, kernel)
    for top in range(0, kernel - 2, 2):
        for left in range(0, kernel - 2, 2):
            above, before = top // stride, left // stride
            laid = F.pad(gradient, (before, more - before, above, more - above))
            piece = _gradients(laid, image, like, stride, (0, 0), of_weight=True)[1]
            whole[:, :, top : top + 3, left : left + 3] = piece
    return whole


def _gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], *, of_weight: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The image's gradient, or the weight's in second place."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, image, weight, None, (stride, stride), padding, (1, 1), False, (0, 0), len(weight),
        (not of_weight, of_weight, False),
    )  # fmt: skip
    return found

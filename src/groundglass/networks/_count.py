"""What a network is made of, and what it costs to run: weights and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from groundglass.networks._network import Network


def parameters(network: nn.Module, *, statistics: bool = False) -> int:
    """Numbers that training finds.

    Args:
        network: any module.
        statistics: count batch norm's running means and variances too, as Keras does.
    """
    found = sum(weight.numel() for weight in network.parameters())
    if statistics:
        found += sum(buffer.numel() for name, buffer in network.named_buffers() if ".running_" in f".{name}")
    return found


def multiply_adds(network: Network, size: tuple[int, int]) -> int:
    """Multiplications, each with its addition, of one image's forward pass: convolutions and matrix products.

    What is next to nothing (batch norm, activations, up-sampling without weights) is left out, as usual. Papers
    call this number FLOPs, MACs or multiply-adds; FLOPs proper are twice as many.

    Args:
        network: on any device; its mode and statistics are left as they are.
        size: height and width of the image in pixels, multiples of the network's stride.

    Raises:
        UsageError: the size does not divide.
    """
    weight = next(network.parameters())
    image = torch.zeros(1, network.in_channels, *size, device=weight.device, dtype=weight.dtype)
    training = network.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(image)
    finally:
        network.train(training)
    return int(counter.get_total_flops()) // 2

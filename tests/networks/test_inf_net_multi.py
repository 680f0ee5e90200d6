import torch
from torch import nn

from groundglass.networks._count import parameters
from groundglass.networks.inf_net_multi import InfNetMulti


def test_weights_are_the_released_codes_but_for_batch_norm():
    """17,267,393 on three channels to one class with biases; batch norm has two numbers a channel, a bias one."""
    network = InfNetMulti(3, 1)
    normed = sum(module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert parameters(network) + normed == 17_267_393
    assert parameters(InfNetMulti(6, 3)) - parameters(network) == 9 * 3 * 64 + 2 * (64 + 1)


def test_channels_on_the_way_up():
    network = InfNetMulti().eval()
    seen = []
    for up in network.up:
        up.register_forward_hook(lambda _module, _input, output: seen.append(tuple(output.shape[1:3])))
    with torch.no_grad():
        network(torch.rand(1, 1, 32, 32))
    assert seen == [(256, 4), (128, 8), (64, 16), (64, 32)]

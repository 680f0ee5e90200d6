import pytest
import torch
from torch import Tensor, nn

from groundglass.errors import UsageError
from groundglass.networks._count import multiply_adds, parameters
from groundglass.networks._network import Network
from groundglass.networks.unet import UNet


class Tiny(Network):
    """A 3 x 3 convolution to two channels, at half size; every position meets every other."""

    stride, in_channels, classes = 2, 1, 2

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.conv(self.check(image))).flatten(2)
        return x.transpose(1, 2) @ x


def test_parameters_by_hand():
    """9 * 2 + 2, batch norm 2 + 2, and with its statistics 2 + 2 more."""
    assert parameters(Tiny()) == 24
    assert parameters(Tiny(), statistics=True) == 28


def test_multiply_adds_by_hand():
    """2 x 3 places of 9 * 2 each, then 6 x 6 sums of 2."""
    assert multiply_adds(Tiny(), (4, 6)) == 6 * 18 + 36 * 2


def test_they_grow_with_the_image():
    network = UNet(widths=(4, 8))
    assert multiply_adds(network, (32, 16)) == 2 * multiply_adds(network, (16, 16))


def test_the_network_is_left_as_it_was():
    network = UNet(widths=(4, 8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for training in (True, False):
        network.train(training)
        multiply_adds(network, (16, 16))
        assert network.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_size_that_does_not_divide_is_refused_and_the_mode_kept():
    network = UNet(widths=(4, 8))
    with pytest.raises(UsageError, match="does not divide"):
        multiply_adds(network, (15, 16))
    assert network.training

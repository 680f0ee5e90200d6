from unittest import mock

import torch
from torch import nn

from groundglass.networks import segnet
from groundglass.networks._count import parameters
from groundglass.networks.encoders import make_encoder
from groundglass.networks.segnet import SegNet, unpool


def test_unpooling_puts_maxima_back():
    """The largest of each 2 x 2 at its place, zeros elsewhere; as ``nn.MaxUnpool2d`` does."""
    x = torch.tensor([[[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 7.0, 6.0]]]])
    pooled, places = nn.functional.max_pool2d(x, 2, return_indices=True)
    assert unpool(pooled, places)[0, 0].tolist() == [[0, 5, 0, 0], [0, 0, 7, 0]]
    many = torch.randn(2, 3, 8, 12)
    pooled, places = nn.functional.max_pool2d(many, 2, return_indices=True)
    assert torch.equal(unpool(pooled, places), nn.functional.max_unpool2d(pooled, places, 2))


def test_layers_are_those_of_the_released_network():
    """13 convolutions of VGG16 down; up their mirror, the last of each size to the next one's channels."""
    layers = [module for module in SegNet(3, 11).modules() if isinstance(module, nn.Conv2d)]
    down = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    up = [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 11]
    assert [layer.out_channels for layer in layers] == [*down, *up]


def test_weights_are_as_many_as_the_released_networks_but_for_batch_norm():
    """With biases, weights of 3 x 3 filters between the channels above: 29.46 M for 21 classes."""
    network = SegNet(3, 21)
    normed = sum(module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert round((parameters(network) + normed) / 1e6, 2) == 29.46


def test_weights_are_vgg16s_convolutions():
    torch.manual_seed(0)
    encoder = make_encoder("vgg16", 1)
    with mock.patch.object(segnet, "make_encoder", return_value=encoder) as made:
        network = SegNet(weights="imagenet")
    made.assert_called_once_with("vgg16", 1, weights="imagenet")
    theirs = [module.weight for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    ours = [module.weight for module in network.down.modules() if isinstance(module, nn.Conv2d)]
    assert len(ours) == 13
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))

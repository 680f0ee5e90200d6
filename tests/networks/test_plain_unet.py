from torch import nn

from groundglass.networks._count import parameters
from groundglass.networks.plain_unet import PlainUNet


def test_weights_are_as_many_as_the_thesis_counts():
    assert parameters(PlainUNet(1, 4)) == 2_158_468


def test_there_is_no_normalisation():
    assert not [module for module in PlainUNet().modules() if isinstance(module, nn.BatchNorm2d)]

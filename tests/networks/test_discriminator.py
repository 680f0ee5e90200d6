from itertools import pairwise

import pytest
import torch
from torch import nn

from groundglass.errors import UsageError
from groundglass.networks._count import parameters
from groundglass.networks._discriminator import Discriminator


def test_five_convolutions_of_4_x_4_by_hand():
    """16 K' K + K for each pair of widths."""
    widths = (3, 64, 128, 256, 512, 1)
    assert parameters(Discriminator(3)) == sum(16 * a * b + b for a, b in pairwise(widths))
    made = Discriminator(3)
    assert [layer.stride for layer in made.layers if isinstance(layer, nn.Conv2d)] == [(2, 2)] * 5
    assert [layer.negative_slope for layer in made.layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 4


def test_a_logit_for_each_pixel_in_float32():
    made = Discriminator(3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answer = made(torch.rand(2, 3, 64, 96))
    assert (answer.shape, answer.dtype) == ((2, 1, 64, 96), torch.float32)


def test_pictures_below_32_pixels_are_refused():
    with pytest.raises(UsageError, match=r"at least 32 x 32"):
        Discriminator(3)(torch.rand(1, 3, 16, 64))

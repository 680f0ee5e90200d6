from itertools import pairwise

import torch

from groundglass.networks.unet import UNet


def test_the_papers_widths_give_the_papers_number_of_weights():
    """31.0 million in convolutions, as figure 1 draws them."""
    network = UNet(in_channels=1, classes=2)
    sizes = {name: weight.numel() for name, weight in network.named_parameters() if weight.dim() == 4}
    widths = (64, 128, 256, 512, 1024)
    down = 9 * sum(a * b + b * b for a, b in zip((1, *widths), widths, strict=False))
    up = sum(4 * b * a + 9 * (2 * a * a + a * a) for a, b in pairwise(widths))
    assert sum(sizes.values()) == down + up + 2 * 64 == 31_023_808
    assert network.stride == 16


def test_each_further_width_halves_once_more():
    assert UNet(widths=(4, 8)).stride == 2
    assert UNet(widths=(4, 8, 8, 8)).stride == 8


def test_a_pixel_sees_as_far_as_the_paper_draws_and_no_farther():
    """Two sizes: (3x3 twice, pool, 3x3 twice, up, 3x3 twice) reach 10 pixels at most, and some reach 8."""
    torch.manual_seed(0)
    network = UNet(widths=(4, 8)).eval()
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(image)[0, :, 32, 32].abs().sum().backward()
    rows = torch.nonzero(image.grad[0, 0].abs().sum(dim=1)).flatten()
    assert 8 <= 32 - rows.min() <= 10
    assert 8 <= rows.max() - 32 <= 10

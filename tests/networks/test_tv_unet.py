import torch

from groundglass.networks.tv_unet import TVUNet
from groundglass.networks.unet import UNet

IMAGE = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_in_eval_mode_it_is_a_unet():
    network, plain = TVUNet(widths=(4, 8, 16)).eval(), UNet(widths=(4, 8, 16)).eval()
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(network(IMAGE), plain(IMAGE))


def test_each_halving_and_each_doubling_drops_out():
    network, shares = TVUNet(widths=(4, 8, 16)), []
    network.dropout.register_forward_hook(lambda _m, _i, out: shares.append((out == 0).float().mean().item()))
    network.dropout.p = 0.9
    network(IMAGE)
    assert len(shares) == 4
    assert min(shares) > 0.85


def test_the_released_share_is_a_fifth():
    assert TVUNet(widths=(4, 8)).dropout.p == 0.2

import pytest
import torch
from torch import nn

from groundglass.errors import UsageError
from groundglass.networks._count import parameters
from groundglass.networks.r2unet import R2UNet, Recurrent, RecurrentResidual


def test_weights_are_those_of_the_public_code_but_for_batch_norm():
    """39,091,393 with biases; batch norm has two numbers a channel where a bias has one."""
    network = R2UNet(3, 1)
    normed = sum(
        module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d) and module.affine
    )
    assert parameters(network) + normed == 39_091_393


def halving(steps):
    layer = Recurrent(1, steps).eval()
    with torch.no_grad():
        layer.conv[0].weight.zero_()[0, 0, 1, 1] = 0.5
    return layer


@pytest.mark.parametrize(("steps", "expected"), [(0, 2), (1, 3), (2, 3.5)])
def test_a_recurrent_layer_sees_its_own_answer(steps, expected):
    """x = 4, halved: 2, then (4 + 2) / 2, then (4 + 3) / 2."""
    with torch.no_grad():
        assert halving(steps)(torch.full((1, 1, 1, 1), 4.0)).item() == pytest.approx(expected, rel=1e-4)


def test_statistics_of_a_recurrent_layer_are_of_each_pass():
    """In evaluation every pass is normalised as it was in training, and a mean of all passes would not do."""
    torch.manual_seed(0)
    layer = Recurrent(8, 2)
    for norm in (part for part in layer.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.momentum = 1.0
    x = 0.3 * torch.randn(4, 8, 16, 16)
    trained = layer(x)
    torch.testing.assert_close(layer.eval()(x), trained, rtol=0.02, atol=0.02)
    norm = layer.conv[1]
    for other in norm.others:
        other.load_state_dict({name: getattr(norm, name) for name in other.state_dict()})
    assert (layer(x) - trained).abs().max() > 0.2


def test_the_units_input_is_added_to_its_answer():
    """4 doubled by the mixture: 8; halved with feedback 4 then (8 + 4) / 2; again 3 then (6 + 3) / 2; plus 8."""
    unit = RecurrentResidual(1, 1, steps=1)
    unit.layers = nn.Sequential(halving(1), halving(1))
    with torch.no_grad():
        unit.mix.weight.fill_(2)
        unit.mix.bias.zero_()
        assert unit(torch.full((1, 1, 1, 1), 4.0)).item() == pytest.approx(12.5, rel=1e-4)


def test_negative_steps_are_refused():
    with pytest.raises(UsageError, match="cannot take -1 steps"):
        R2UNet(steps=-1)

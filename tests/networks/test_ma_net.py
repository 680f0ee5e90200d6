import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks.ma_net import MANet, PositionAttention


def test_what_a_position_attends_to_is_added_at_that_position():
    """Two positions, all four pairs alike: a quarter each; 1 and 3 get (1 + 3) / 4, 10 and 30 get (10 + 30) / 4."""
    block = PositionAttention(2, between=1)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        for layer in (block.content, block.out):
            layer.weight[[0, 1], [0, 1], 1, 1] = 1
        found = block(torch.tensor([[[[1.0, 3.0]], [[10.0, 30.0]]]]))
    assert found.flatten().tolist() == pytest.approx([2, 4, 20, 40])


def test_positions_attend_by_what_they_ask_for():
    """Asking x, asked x, of 0 and 2: scores 0, 0, 0, 4, so that nearly all weight is on the second with itself."""
    block = PositionAttention(1, between=1)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.asked.weight.fill_(1)
        block.asking.weight.fill_(1)
        block.content.weight[0, 0, 1, 1] = block.out.weight[0, 0, 1, 1] = 1
        found = block(torch.tensor([[[[0.0, 2.0]]]])).flatten()
    weight = torch.tensor([0.0, 0.0, 0.0, 4.0]).softmax(dim=0)
    assert found.tolist() == pytest.approx([2 * weight[1].item(), 2 + 2 * weight[3].item()])


@pytest.mark.parametrize("settings", [{"encoder": "vgg16"}, {"encoder": "resnet18", "widths": (8, 8, 8)}])
def test_what_does_not_come_out_at_the_images_size_is_refused(settings):
    with pytest.raises(UsageError, match="does not come out at the image's size"):
        MANet(**settings)

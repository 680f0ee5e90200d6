import pytest
import torch
from torch import nn

from groundglass.errors import UsageError
from groundglass.networks._count import parameters
from groundglass.networks.unet_plus_plus import UNetPlusPlus

WIDTHS = (4, 8, 16)


def test_weights_are_as_many_as_published_but_for_batch_norm():
    """9,041,601 with biases; batch norm has two numbers a channel where a bias has one."""
    network = UNetPlusPlus(1, 1)
    normed = sum(module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert parameters(network) - normed == 9_041_601


def test_equation_1():
    torch.manual_seed(0)
    network = UNetPlusPlus(widths=WIDTHS).eval()
    image = torch.rand(1, 1, 16, 16)

    def node(i, j):
        if j == 0:
            below = image if i == 0 else nn.functional.max_pool2d(node(i - 1, 0), 2)
        else:
            below = torch.cat([*(node(i, k) for k in range(j)), network.raise_[f"{i}_{j}"](node(i + 1, j - 1))], dim=1)
        return network.nodes[f"{i}_{j}"](below)

    with torch.no_grad():
        torch.testing.assert_close(network(image), network.head["depth_2"](node(0, 2)))


def test_deep_supervision_answers_at_every_depth_and_with_the_mean():
    network = UNetPlusPlus(widths=WIDTHS, deep_supervision=True).eval()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        answers, answer = network.forward_all(image), network(image)
    assert list(answers) == ["depth_1", "depth_2"]
    torch.testing.assert_close(answer, (answers["depth_1"] + answers["depth_2"]) / 2)


def test_a_shallow_answer_does_without_the_depths():
    """So that a network can be pruned to it (section 3.2 of the paper)."""
    network = UNetPlusPlus(widths=WIDTHS, deep_supervision=True)
    network.forward_all(torch.rand(1, 1, 16, 16))["depth_1"].sum().backward()
    moved = {name.split(".")[1] for name, weight in network.nodes.named_parameters("x") if weight.grad is not None}
    assert moved == {"0_0", "1_0", "0_1"}


@pytest.mark.parametrize("widths", [(), (8,)])
def test_too_few_widths_are_refused(widths):
    with pytest.raises(UsageError, match=f"{len(widths)} widths for U-Net"):
        UNetPlusPlus(widths=widths)

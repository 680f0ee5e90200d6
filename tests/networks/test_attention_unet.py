from math import exp

import pytest
import torch
from torch import nn

from groundglass.networks._count import parameters
from groundglass.networks.attention_unet import AttentionUNet, Gate, GridGate


def sigmoid(x):
    return 1 / (1 + exp(-x))


def test_the_two_dimensional_form_has_the_public_codes_weights_but_for_batch_norm():
    """34,878,573 with biases; batch norm has two numbers a channel where a bias has one."""
    network = AttentionUNet(3, 1, grid=False)
    normed = sum(module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert parameters(network) + normed == 34_878_573


def test_the_grid_gate_by_hand():
    """x's mean 2.5, g .5 - 1: their sum 2 passes ReLU; 3 * 2 - 4 = 2; x times sigmoid(2), alike at all four places."""
    gate = GridGate(1, 1).eval()
    with torch.no_grad():
        gate.of_x.weight.fill_(0.25)
        gate.of_gating.weight.fill_(1)
        gate.of_gating.bias.fill_(-1)
        gate.score.weight.fill_(3)
        gate.score.bias.fill_(-4)
        gate.passed[0].weight.fill_(1)
        found = gate(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[0.5]]]]))
    assert found.flatten().tolist() == pytest.approx([sigmoid(2) * x for x in (1, 2, 3, 4)], rel=1e-4)


def test_the_gate_by_hand():
    """Two channels: .5 (4 + 4) - (g + g) is 2 where g is 1, and ReLU cuts it at g = 3: sigmoid(2) and sigmoid(0)."""
    gate = Gate(2).eval()
    with torch.no_grad():
        for layer, weight in ((gate.of_x, 0.5), (gate.of_gating, -1.0), (gate.score, 1.0)):
            layer[0].weight.fill_(weight)
        found = gate(torch.full((1, 2, 1, 2), 4.0), torch.tensor([[[[1.0, 3.0]], [[1.0, 3.0]]]]))
    assert found[0, 0, 0].tolist() == pytest.approx([4 * sigmoid(2), 2.0], rel=1e-4)
    assert torch.equal(found[:, 0], found[:, 1])


def test_the_papers_form_has_no_gate_at_the_images_own_size():
    gates = AttentionUNet(widths=(4, 8, 16)).gates
    assert [type(gate) for gate in gates] == [GridGate, nn.Identity]
    assert [type(gate) for gate in AttentionUNet(widths=(4, 8, 16), grid=False).gates] == [Gate, Gate]

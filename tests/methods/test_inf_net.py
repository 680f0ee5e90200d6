from math import log

import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress
from groundglass.errors import UsageError
from groundglass.losses.boundary_iou import boundary_iou
from groundglass.losses.edge import edge_loss
from groundglass.losses.label_set import cross_entropy
from groundglass.methods.inf_net import Config, InfNet, rescaled
from groundglass.networks import inf_net as networks
from groundglass.networks._network import Network

OUTPUTS = (3, 12)
TERMS = {"global", "side_5", "side_4", "side_3", "edge"}


class Told(Network):
    """Answers 3 : 1 for infection everywhere, coarsely and finely, and 1 : 1 for edges."""

    def __init__(self, edge=True):
        super().__init__()
        self.stride, self.in_channels, self.classes = 4, 1, 2
        self.logit = nn.Parameter(torch.tensor(log(3)))
        self.edge, self.sizes = edge, []

    def forward(self, image):
        return torch.stack([0 * image[:, 0], self.logit + 0 * image[:, 0]], dim=1)

    def forward_all(self, image):
        self.sizes.append(tuple(image.shape[-2:]))
        answer = {"coarse": 2 * self(image), "fine": self(image)}
        return {**answer, "edge": 0 * image * self.logit} if self.edge else answer


def batch(side=8):
    sets = torch.full((1, side, side), 3, dtype=torch.uint8)
    sets[:, :, : side // 2], sets[:, 0, 0] = 8, 15
    return Labelled(torch.rand(1, 1, side, side), sets)


def losses(config, **more):
    return [update.losses for update in InfNet(Told(**more), OUTPUTS, config).updates(batch(), None, Progress(0, 1))]


def test_eq_4_and_5_by_their_parts():
    """Every answer costs its IoU and its cross-entropy, the edge map its own, all with weight 1."""
    (found,) = losses(Config(scales=(1.0,)))
    sets, logits = batch().label_set, torch.tensor([0.0, log(3)]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    whole = {
        name: boundary_iou(x, sets, OUTPUTS) + cross_entropy(x, sets, OUTPUTS)
        for name, x in (("coarse at 1", 2 * logits), ("fine at 1", logits))
    }
    torch.testing.assert_close(found, {**whole, "edge at 1": edge_loss(torch.zeros(1, 1, 8, 8), sets)})
    assert found["edge at 1"].item() == pytest.approx(log(2))


def test_lambda_weighs_the_cross_entropy_and_the_edge_has_its_weight():
    one, two, none = (losses(Config(scales=(1.0,), cross_entropy=weight, edge=weight))[0] for weight in (1.0, 2.0, 0.0))
    cross = cross_entropy(Told()(batch().image), batch().label_set, OUTPUTS)
    torch.testing.assert_close(two["fine at 1"] - one["fine at 1"], cross)
    torch.testing.assert_close(none["fine at 1"], one["fine at 1"] - cross)
    assert two["edge at 1"] == 2 * one["edge at 1"]


def test_every_batch_is_a_step_at_each_of_three_sizes():
    network = Told()
    updates = list(InfNet(network, OUTPUTS).updates(batch(32), None, Progress(0, 1)))
    assert network.sizes == [(24, 24), (32, 32), (40, 40)]
    assert [update.module for update in updates] == ["network"] * 3
    assert {name.split(" at ")[1] for update in updates for name in update.losses} == {"0.75", "1", "1.25"}


def test_sizes_are_multiples_of_the_stride_and_never_nothing():
    """1.25 x 8 = 10 lies between 8 and 12, 0.75 x 8 = 6 between 4 and 8; a tie goes to the even multiple."""
    assert rescaled(batch(8), 1.25, 4).image.shape[-2:] == (8, 8)
    assert rescaled(batch(16), 1.25, 4).image.shape[-2:] == (20, 20)
    assert rescaled(batch(8), 0.25, 8).image.shape[-2:] == (8, 8)


def test_resizing_keeps_labels_on_their_pixels_and_makes_no_new_ones():
    small = rescaled(batch(16), 0.5, 8)
    assert small.label_set[0].tolist() == [[8] * 4 + [3] * 4] * 8
    assert small.label_set.dtype == torch.uint8
    image = torch.arange(16.0).repeat(16, 1).view(1, 1, 16, 16)
    assert rescaled(Labelled(image, batch(16).label_set), 0.5, 8).image[0, 0, 0, 3] == pytest.approx(6.5)


def test_a_network_with_one_answer_is_trained_by_that():
    (found,) = losses(Config(scales=(1.0,)), edge=False)
    assert set(found) == {"coarse at 1", "fine at 1"}


def test_it_trains_and_predicts_with_the_papers_network():
    torch.manual_seed(0)
    network = networks.InfNet(classes=2, encoder="resnet18", channels=8)
    method = InfNet(network, OUTPUTS, Config(scales=(1.0,))).train()
    (update,) = method.updates(
        Labelled(torch.rand(2, 1, 64, 64), batch(64).label_set.repeat(2, 1, 1)), None, Progress(0, 1)
    )
    assert set(update.losses) == {f"{name} at 1" for name in TERMS}
    sum(update.losses.values()).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_labels_that_do_not_tell_infection_are_refused():
    assert InfNet.outputs_for((1, 2, 4, 8)) == (3, 12)
    with pytest.raises(UsageError, match="do not tell infection"):
        InfNet.outputs_for((1, 14))

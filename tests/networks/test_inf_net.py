from math import log

import pytest
import torch

from groundglass.networks._count import parameters
from groundglass.networks.inf_net import InfNet, ReverseAttention

SMALL = {"encoder": "resnet18", "channels": 8}


def test_weights_are_as_many_as_published():
    """33,121,721 with the classifier that the released backbone keeps, from 2048 channels to 1000 classes."""
    with torch.device("meta"):
        found = parameters(InfNet(3, 1))
    assert found + 2048 * 1000 + 1000 == 33_121_721


def test_outputs_are_named_as_in_the_paper_and_the_answer_is_the_finest():
    network = InfNet(classes=3, **SMALL).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        answers, answer = network.forward_all(image), network(image)
    assert {name: logits.shape[1] for name, logits in answers.items()} == {
        **dict.fromkeys(("global", "side_5", "side_4", "side_3"), 3),
        "edge": 1,
    }
    assert torch.equal(answer, answers["side_3"])


def test_two_classes_are_the_papers_one_map():
    torch.manual_seed(0)
    network, single = InfNet(classes=2, **SMALL).eval(), InfNet(classes=1, **SMALL).eval()
    single.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(image).softmax(dim=1)[:, 1:], single(image).sigmoid())


def test_features_count_where_coarser_maps_see_nothing():
    """A map of log 3 says .75, so a quarter of 8 stays; maps of log 3 and log 4 leave 1 / (1 + 3 + 4) of it."""
    for maps, kept in (([log(3)], 8 / 4), ([log(3), log(4)], 8 / 8)):
        attention = ReverseAttention(1, 1, 1, kernel=1, convs=1, last=1, maps=len(maps)).eval()
        seen = []
        attention.narrow.register_forward_hook(lambda _module, inputs, _out, seen=seen: seen.append(inputs[0]))
        coarser = torch.tensor(maps).view(1, -1, 1, 1)
        with torch.no_grad():
            found = attention(torch.full((1, 1, 2, 2), 8.0), coarser, torch.zeros(1, 1, 4, 4))
            assert found.shape == (1, len(maps), 2, 2)
        assert seen[0].flatten().tolist() == pytest.approx([kept] * 4)


def test_what_is_found_is_added_to_the_coarser_map():
    attention = ReverseAttention(1, 1, 1, kernel=1, convs=1, last=1, maps=1).eval()
    with torch.no_grad():
        attention.head[0].weight.zero_()
        attention.head[1].bias.fill_(0.5)
        found = attention(torch.rand(1, 1, 2, 2), torch.full((1, 1, 1, 1), 2.0), torch.rand(1, 1, 4, 4))
    assert found.flatten().tolist() == pytest.approx([2.5] * 4)


def test_only_the_edge_moves_the_edges_head():
    network = InfNet(**SMALL)
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    still = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is None}
    assert still == {"edge_head"}

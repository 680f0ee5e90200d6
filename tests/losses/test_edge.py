from math import log

import pytest
import torch

from groundglass.losses.edge import edge_loss, edge_of


def sets(rows):
    return torch.tensor([rows], dtype=torch.uint8)


def test_the_edge_is_on_both_sides_of_the_boundary():
    edge, known = edge_of(sets([[3, 3, 3, 3], [3, 4, 8, 3], [3, 3, 3, 3]]))
    assert edge[0].int().tolist() == [[0, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert known.all()


def test_within_a_region_there_is_none_and_the_pictures_border_is_none():
    edge, known = edge_of(sets([[12, 12], [4, 8]]))
    assert not edge.any()
    assert known.all()


def test_beside_unknown_pixels_it_is_unknown_unless_it_is_one_anyway():
    edge, known = edge_of(sets([[3, 12, 15, 3, 3]]))
    assert edge[0].int().tolist() == [[1, 1, 0, 0, 0]]
    assert known[0].int().tolist() == [[1, 1, 0, 0, 1]]


def test_the_loss_by_hand():
    """Map 3/4 everywhere: two pixels of edge, one that is none, two unknown."""
    logits = torch.full((1, 1, 1, 5), log(3), requires_grad=True)
    loss = edge_loss(logits, sets([[3, 12, 15, 3, 3]]))
    assert loss.item() == pytest.approx(-(2 * log(0.75) + log(0.25)) / 3)
    loss.backward()
    assert (logits.grad != 0).flatten().tolist() == [True, True, False, False, True]


def test_where_nothing_is_known_it_is_0():
    assert edge_loss(torch.randn(1, 1, 1, 2), sets([[15, 15]])) == 0


def test_under_autocast_gradients_are_those_of_float32():
    torch.manual_seed(0)
    logits = (8 * torch.randn(1, 1, 8, 8)).bfloat16().float()
    labels = torch.tensor([3, 12, 15], dtype=torch.uint8)[torch.randint(0, 3, (1, 8, 8))]
    plain, cast = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    edge_loss(plain, labels).backward()
    with torch.autocast("cpu", torch.bfloat16):
        loss = edge_loss(cast.bfloat16(), labels)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(cast.grad, plain.grad, rtol=2**-8, atol=1e-12)

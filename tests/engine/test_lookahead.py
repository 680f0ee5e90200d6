import pytest
import torch
from torch import nn

from groundglass.engine import checkpoint
from groundglass.engine.fit import fit, make_optimizer
from groundglass.engine.lookahead import Lookahead
from groundglass.errors import UsageError
from groundglass.recipe import Optimizer
from tests.engine.test_fit import StopError, equal, stop_after
from tests.engine.toy import Toy, batches, training


def descent(every, share, start=8.0, rate=1.0):
    """Plain descent with a gradient of 1: a step takes 1 away."""
    weight = nn.Parameter(torch.tensor([start]))
    return weight, Lookahead(torch.optim.SGD([weight], lr=rate), every, share)


def walk(weight, optimizer, steps):
    seen = []
    for _ in range(steps):
        weight.grad = torch.ones(1)
        optimizer.step()
        optimizer.zero_grad()
        seen.append(weight.item())
    return seen


def test_k_steps_forward_one_back_by_hand():
    """From 8 to 6, half of the way back is 7; from there to 5, and back to 6."""
    weight, optimizer = descent(2, 0.5)
    assert walk(weight, optimizer, 4) == [7, 7, 6, 6]
    assert weight.grad is None


def test_all_of_the_way_is_the_inner_optimiser_and_nothing_of_it_stands_still():
    assert walk(*descent(2, 1.0), 4) == [7, 6, 5, 4]
    assert walk(*descent(2, 0.0), 4) == [7, 8, 7, 8]


@pytest.mark.parametrize("inner", ["adamw", "adam", "sgd"])
def test_its_state_goes_through_a_checkpoint(tmp_path, inner):
    torch.manual_seed(0)
    data = torch.randn(4, 3)

    def made():
        torch.manual_seed(1)
        net = nn.Linear(3, 2)
        return net, Lookahead(make_optimizer(net, Optimizer(optimizer=inner, rate=0.1)), 3, 0.5)

    def moved(net, optimizer, steps):
        for _ in range(steps):
            net(data).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole = made()
    moved(*whole, 4)
    checkpoint.write(tmp_path / "s", {**whole[0].state_dict(), **checkpoint.flat_optimizer(whole[1], "net")}, {})
    moved(*whole, 5)
    tensors, _ = checkpoint.read(tmp_path / "s")
    resumed = made()
    resumed[0].load_state_dict({name: tensors[name] for name in ("weight", "bias")})
    checkpoint.restore_optimizer(resumed[1], "net", tensors)
    moved(*resumed, 5)
    assert equal(whole[0].state_dict(), resumed[0].state_dict())


@pytest.mark.parametrize("settings", [{"optimizer": "sgd", "rate": 0.01}, {"optimizer": "adam"}])
def test_a_run_that_was_stopped_between_two_draws_ends_in_the_same_weights(tmp_path, settings):
    settings = {**settings, "lookahead": 5, "checkpoint_every": 1, "clamp": 0.5}
    whole = fit(Toy(), batches(), training(**settings), tmp_path / "whole", identity="a")
    for step in (2, 7):
        with pytest.raises(StopError):
            fit(Toy(), batches(), training(**settings), tmp_path / "cut", identity="a", on_step=stop_after(step))
    assert equal(whole, fit(Toy(), batches(), training(**settings), tmp_path / "cut", identity="a"))
    plain = fit(Toy(), batches(), training(**{**settings, "lookahead": 0}), tmp_path / "plain", identity="a")
    assert not equal(whole, plain)


def test_a_module_has_its_own_optimiser(tmp_path):
    """The net does not move at a rate of next to nothing, the critic does at its own."""
    start = Toy().state_dict()
    plan = training(rate=1e-12, ema=0.0, weight_decay=0.0, modules={"critic": {"rate": 0.1, "optimizer": "sgd"}})
    ended = fit(Toy(), batches(), plan, tmp_path, identity="a")
    torch.testing.assert_close(ended["net.0.weight"], start["net.0.weight"], atol=1e-8, rtol=0)
    assert not torch.allclose(ended["critic.weight"], start["critic.weight"], atol=1e-3)
    with pytest.raises(UsageError, match=r"settings for 'critik', which Toy has not. Expected one of net, critic"):
        fit(Toy(), batches(), training(modules={"critik": {}}), tmp_path / "b", identity="a")

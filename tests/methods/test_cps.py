from math import exp, log

import pytest
import torch
from torch import nn

from groundglass.batches import Progress, Unlabelled
from groundglass.methods.cps import CPS, Config, reordered
from groundglass.networks.unet import UNet
from groundglass.networks.unet_encoder import UNetEncoder
from tests.methods.grey import OUTPUTS, Grey, Says, labelled, unlabelled


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def of(first, second, config=None):
    method = CPS(first, OUTPUTS, config)
    method.second = second
    return method


def test_each_learns_from_labels_and_from_what_the_other_says():
    """Of labels 3: -log 0.8 and -log 0.4; the first is taught 12, at 0.2, and the second 3, at 0.4; times lambda."""
    method = of(Says(0.8, 0.2), Says(0.4, 0.6), Config(weight=1.5))
    first, second = method.updates(labelled(), unlabelled(), Progress(0, 1))
    assert (first.module, second.module) == ("first", "second")
    assert first.losses["cross_entropy_first"].item() == pytest.approx(-log(0.8))
    assert first.losses["cross_first"].item() == pytest.approx(1.5 * -log(0.2))
    assert second.losses["cross_entropy_second"].item() == pytest.approx(-log(0.4))
    assert second.losses["cross_second"].item() == pytest.approx(1.5 * -log(0.4))


def test_the_weight_of_what_the_other_says_rises():
    """By exp(-5) at first, whole after the ramp."""
    method = of(Says(0.8, 0.2), Says(0.4, 0.6), Config(weight=1.5, ramp_up=0.5))
    first, whole = (next(method.updates(labelled(), unlabelled(), Progress(step, 10))) for step in (0, 5))
    assert first.losses["cross_first"].item() == pytest.approx(exp(-5) * 1.5 * -log(0.2))
    assert whole.losses["cross_first"].item() == pytest.approx(1.5 * -log(0.2))


def test_the_second_is_taught_what_the_first_said_before_it_moved():
    first = Says(0.8, 0.2)
    updates = of(first, Says(0.4, 0.6)).updates(labelled(), unlabelled(), Progress(0, 1))
    next(updates)
    with torch.no_grad():
        first.logits.copy_(torch.tensor([0.1, 0.9]).log())
    assert next(updates).losses["cross_second"].item() == pytest.approx(1.5 * -log(0.4))


def test_no_slope_reaches_the_other():
    method = of(Says(0.8, 0.2), Says(0.4, 0.6))
    for update in method.updates(labelled(), unlabelled(), Progress(0, 1)):
        update.losses[f"cross_{update.module}"].backward()
        assert (method.second.logits.grad is None) == (update.module == "first")
        if update.module == "first":
            method.first.logits.grad = None
    assert method.first.logits.grad is None


def test_mixed_slices_are_taught_what_is_said_of_the_whole_ones_mixed_alike():
    """Greys 0.9 and 0.1 are told apart wherever they are pasted: -log 0.9 at every pixel."""
    image = torch.tensor([0.9, 0.1]).view(2, 1, 1, 1).expand(2, 1, 12, 12)
    network = Grey()
    method = of(network, Grey(), Config(weight=1.0))
    update = next(method.updates(labelled(), Unlabelled(image), Progress(0, 1)))
    whole, _, mixed = network.seen
    assert torch.equal(whole, image)
    assert sorted(set(mixed[0].flatten().tolist())) == pytest.approx([0.1, 0.9])
    assert update.losses["cross_first"].item() == pytest.approx(-log(0.9))


def test_the_second_begins_with_the_same_numbers_in_another_order():
    torch.manual_seed(0)
    network = UNet(1, 2, widths=(4, 8))
    other = reordered(network, seeded())
    for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one.flatten().sort().values, two.flatten().sort().values)
        assert torch.equal(one, two) == (one.flatten() == one.flatten()[0]).all(), name
    again = reordered(network, seeded())
    assert all(torch.equal(one, two) for one, two in zip(other.parameters(), again.parameters(), strict=True))
    image = torch.rand(1, 1, 8, 8)
    assert not torch.allclose(network.eval()(image), other.eval()(image))


def test_an_encoder_and_what_is_frozen_are_the_same_in_both():
    network = UNetEncoder(1, 2, "mobilenet_v2", widths=(4,))
    network.freeze(["head"])
    other = reordered(network, seeded())
    moved = {
        name.split(".")[0]
        for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True)
        if not torch.equal(one, two)
    }
    assert moved == {"decoder"}


def test_the_first_predicts():
    method = of(Says(0.8, 0.2), Says(0.4, 0.6))
    assert method.predict(torch.rand(1, 1, 1, 1)).flatten().tolist() == pytest.approx([0.8, 0.2])
    assert method.predictor is method.first
    assert isinstance(method.second, nn.Module)

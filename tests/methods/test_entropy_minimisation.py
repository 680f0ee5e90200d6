from math import exp, log

import pytest

from groundglass.batches import Progress
from groundglass.methods.entropy_minimisation import Config, EntropyMinimisation
from tests.methods.grey import OUTPUTS, Grey, Says, labelled, unlabelled


def test_the_entropy_of_unlabelled_slices_is_a_loss_with_its_ramped_weight():
    """(1/2, 1/4, 1/4): 3/2 log 2 over log 3."""
    method = EntropyMinimisation(Says(0.5, 0.25, 0.25), (3, 4, 8), Config(weight=0.2, ramp_up=0.5))
    (last,) = method.updates(labelled(), unlabelled(), Progress(5, 10))
    (first,) = method.updates(labelled(), unlabelled(), Progress(0, 10))
    assert last.losses["entropy"].item() == pytest.approx(0.2 * 1.5 * log(2) / log(3))
    assert first.losses["entropy"].item() == pytest.approx(exp(-5) * 0.2 * 1.5 * log(2) / log(3), rel=1e-4)
    assert last.losses["cross_entropy"].item() == pytest.approx(log(2))


def test_labelled_slices_are_not_asked_to_be_sure_and_both_are_one_batch():
    network = Grey()
    method = EntropyMinimisation(network, OUTPUTS, Config(weight=1.0, ramp_up=0.0))
    (update,) = method.updates(labelled(grey=0.9999), unlabelled(grey=0.5, count=2), Progress(0, 1))
    assert update.losses["entropy"].item() == pytest.approx(1)
    assert [len(seen) for seen in network.seen] == [3]

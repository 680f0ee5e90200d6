from math import log

import pytest
import torch

from groundglass.batches import Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.methods import fixmatch
from groundglass.methods.fixmatch import Config, FixMatch
from tests.methods.grey import OUTPUTS, Grey, Says, labelled, row, unlabelled


def test_what_is_sure_in_the_weak_view_is_taught_in_the_strong_one(monkeypatch):
    """Of four pixels 0.99 is believed to be the first group and 0.02 the second; the strong view shows 0.8 of each."""
    monkeypatch.setattr(fixmatch, "strong_view", lambda weak, said, *_: (torch.full_like(weak.image, 0.8), said))
    weak = Unlabelled(row(0.99, 0.9, 0.5, 0.02))
    (update,) = FixMatch(Grey(), OUTPUTS, Config(weight=2.0)).updates(labelled(12), weak, Progress(0, 1))
    assert update.losses["strong"].item() == pytest.approx(2 * -(log(0.8) + log(0.2)) / 4)
    assert update.told["trusted"] == 0.5
    assert set(update.losses) == {"cross_entropy", "dice", "strong"}


@pytest.mark.parametrize(("threshold", "strong"), [(0.95, -log(0.96)), (0.97, 0.0)])
def test_the_threshold_decides(threshold, strong):
    method = FixMatch(Says(0.96, 0.04), OUTPUTS, Config(threshold=threshold))
    (update,) = method.updates(labelled(), unlabelled(), Progress(0, 1))
    assert update.losses["strong"].item() == pytest.approx(strong, abs=1e-6)
    assert update.losses["cross_entropy"].item() == pytest.approx(-log(0.96), abs=1e-6)


def test_the_weak_view_is_the_batch_and_another_is_learnt_from():
    network = Grey()
    next(FixMatch(network, OUTPUTS).updates(labelled(), unlabelled(0.9, (8, 8)), Progress(0, 1)))
    weak, strong, known = network.seen
    assert (weak == 0.9).all()
    assert not torch.equal(strong, weak)
    assert (known == 0.5).all()


def test_its_random_numbers_are_of_seed_and_step():
    def view(seed, step):
        network = Grey()
        next(
            FixMatch(network, OUTPUTS, Config(seed=seed)).updates(
                labelled(), unlabelled(0.5, (8, 8)), Progress(step, 9)
            )
        )
        return network.seen[1]

    assert torch.equal(view(0, 0), view(0, 0))
    assert not torch.equal(view(0, 0), view(0, 1))
    assert not torch.equal(view(0, 0), view(1, 0))


def test_without_unlabelled_slices_it_says_what_to_take_instead():
    with pytest.raises(UsageError, match=r"FixMatch got no unlabelled slices.*take the method 'supervised'"):
        next(FixMatch(Grey(), OUTPUTS).updates(labelled(), None, Progress(0, 1)))


@pytest.mark.parametrize("setting", ["threshold", "cutmix"])
def test_a_share_that_is_none_is_refused(setting):
    with pytest.raises(UsageError, match=rf"{setting} = 1\.5\. Expected a share, from 0 to 1"):
        Config(**{setting: 1.5})

from math import log

import pytest
import torch

from groundglass.batches import Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.methods import unimatch
from groundglass.methods.unimatch import Config, UniMatch
from groundglass.networks.segnet import SegNet
from tests.methods.grey import OUTPUTS, Grey, labelled, row, unlabelled


def test_features_and_two_strong_views_are_taught_the_weak_view(monkeypatch):
    """L_u: lambda H(p^w, p^fp) + mu / 2 (H(p^w, p^s1) + H(p^w, p^s2)), over four pixels of which two are believed."""
    greys = iter((0.8, 0.7))
    monkeypatch.setattr(
        unimatch, "strong_view", lambda weak, said, *_: (torch.full_like(weak.image, next(greys)), said)
    )
    monkeypatch.setattr(unimatch, "dropped", lambda features, *_: torch.full_like(features, 0.6))
    weak = Unlabelled(row(0.99, 0.9, 0.5, 0.02))
    network = Grey()
    (update,) = UniMatch(network, OUTPUTS, Config(features=0.4, strong=3.0)).updates(labelled(), weak, Progress(0, 1))
    both = {grey: -(log(grey) + log(1 - grey)) / 4 for grey in (0.6, 0.7, 0.8)}
    assert update.losses["features"].item() == pytest.approx(0.4 * both[0.6])
    assert update.losses["strong"].item() == pytest.approx(3 / 2 * (both[0.8] + both[0.7]))
    assert update.losses["cross_entropy"].item() == pytest.approx(log(2))  # the labelled ones are seen whole
    assert update.told["trusted"] == 0.5
    assert [len(seen) for seen in network.seen] == [2, 2]  # labelled with weak, and the strong views


def test_the_papers_weights():
    assert (Config().threshold, Config().features, Config().strong, Config().dropout) == (0.95, 0.5, 0.5, 0.5)


def test_half_of_the_channels_is_dropped_and_only_of_unlabelled_slices(monkeypatch):
    asked = []

    def dropped(features, share, generator):
        asked.append((features.clone(), share))
        return features

    monkeypatch.setattr(unimatch, "dropped", dropped)
    next(UniMatch(Grey(), OUTPUTS).updates(labelled(), unlabelled(0.7, count=3), Progress(0, 1)))
    ((features, share),) = asked
    assert share == 0.5
    assert (features.shape[0], (features == 0.7).all()) == (3, True)


def test_a_network_without_features_to_drop_is_refused():
    with pytest.raises(UsageError, match="UniMatch drops features on their way up, and SegNet does not let it"):
        UniMatch(SegNet(stages=((4, 1),)), (1, 2, 4, 8))

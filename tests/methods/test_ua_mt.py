from math import exp

import pytest
import torch

from groundglass.batches import Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.methods import ua_mt
from groundglass.methods.ua_mt import UAMT, Config
from groundglass.networks.segnet import SegNet
from tests.methods.grey import OUTPUTS, Grey, Says, labelled, row, unlabelled


def consistency(method, progress, batch):
    (update,) = method.updates(labelled(), batch, progress)
    return update.losses["consistency"].item(), update.told["sure"].item()


def seeded():
    return torch.Generator().manual_seed(0)


def test_doubt_is_the_entropy_of_the_mean_answer_as_a_share_of_the_largest(monkeypatch):
    """Two passes say 0.9 and 0.5: of 0.7 it is 0.8813 bits of 1; each pass has its own noise and its own dropout."""
    answers = iter((0.9, 0.5))
    monkeypatch.setattr(ua_mt, "dropped", lambda features, *_: torch.full_like(features, next(answers)))
    method = UAMT(Grey(), OUTPUTS, Config(passes=2, noise=0.01))
    found = method.doubt(torch.full((1, 1, 1, 3), 0.5), seeded())
    assert found.shape == (1, 1, 3)
    assert found[0, 0, 0].item() == pytest.approx(0.8813, abs=1e-4)
    first, second = method.teacher.seen
    assert not torch.equal(first, second)


def test_the_student_learns_only_where_the_teacher_is_sure():
    """Teacher 0.99 and 0.5, student 1/2: eq. 3 is 0.49^2 of the first pixel alone; the second's doubt is 1."""
    method = UAMT(Grey(), OUTPUTS, Config(noise=0.0, dropout=0.0))
    with torch.no_grad():
        method.student.weight.zero_()
    weak = Unlabelled(row(0.99, 0.5))
    assert consistency(method, Progress(10, 10), weak) == pytest.approx((0.1 * 0.49**2, 0.5), rel=1e-4)
    assert consistency(method, Progress(0, 10), weak) == pytest.approx((exp(-5) * 0.1 * 0.49**2, 0.5), rel=1e-4)


def test_the_threshold_rises_from_its_beginning_to_the_largest_entropy():
    """(0.8, 0.2) has 0.7219 bits: above 0.7 + 0.3 e^-5 = 0.702, below 0.7 + 0.3 e^-1.25 = 0.786."""
    method = UAMT(Says(0.8, 0.2), OUTPUTS, Config(threshold=0.7))
    with torch.no_grad():
        method.student.logits.zero_()
    assert consistency(method, Progress(0, 10), unlabelled()) == (0, 0)
    assert consistency(method, Progress(5, 10), unlabelled()) == pytest.approx((0.1 * exp(-1.25) * 0.09, 1))


def test_the_papers_settings():
    config = Config()
    assert (config.ema, config.consistency, config.ramp_up, config.noise) == (0.99, 0.1, 1.0, 0.1)
    assert (config.passes, config.threshold) == (8, 0.75)


def test_the_student_sees_no_noise_and_the_teacher_once_more_than_it_has_passes():
    method = UAMT(Grey(), OUTPUTS, Config(passes=3, noise=0.001))
    weak = unlabelled(0.5)
    next(method.updates(labelled(), weak, Progress(0, 1)))
    assert torch.equal(method.student.seen[0], weak.image)
    assert len(method.teacher.seen) == 4
    assert len({tuple(seen.flatten().tolist()) for seen in method.teacher.seen}) == 4


def test_a_network_without_features_to_drop_and_a_teacher_without_a_pass_are_refused():
    with pytest.raises(UsageError, match="UA-MT drops features on their way up, and SegNet does not let it"):
        UAMT(SegNet(stages=((4, 1),)), (1, 2, 4, 8))
    with pytest.raises(UsageError, match=r"passes = 0 of the teacher\. Expected one or more"):
        Config(passes=0)
    with pytest.raises(UsageError, match=r"ema = 1\.5\. Expected a share"):
        Config(ema=1.5)

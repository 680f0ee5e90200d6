from math import log

import pytest
import torch

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.methods.bcp import BCP, Config
from tests.methods.grey import OUTPUTS, Grey, Says, labelled, unlabelled

SIZE = 12, 18


def test_what_the_teacher_labels_weighs_alpha_in_either_direction():
    """Student (0.8, 0.2); labels 3, the teacher says 12: -log 0.8 - alpha log 0.2, without Dice."""
    method = BCP(Says(0.8, 0.2), OUTPUTS, Config(unlabelled=0.25, dice=0.0))
    with torch.no_grad():
        method.teacher.logits.copy_(torch.tensor([0.4, 0.6]).log())
    (update,) = method.updates(labelled(size=SIZE), unlabelled(size=SIZE), Progress(0, 1))
    expected = -log(0.8) - 0.25 * log(0.2)
    assert {name: loss.item() for name, loss in update.losses.items()} == pytest.approx(
        {"inward": expected, "outward": expected}
    )


def test_dice_of_each_part_is_over_its_own_pixels():
    """Infection (0.5) everywhere: in the labelled part 1 - 2 (0.5) / 1.5, in the other the same, times 1 + alpha."""
    method = BCP(Says(0.5, 0.5), OUTPUTS, Config(unlabelled=0.5))
    with torch.no_grad():
        method.teacher.logits.copy_(torch.tensor([0.4, 0.6]).log())
    (update,) = method.updates(labelled(12, size=SIZE), unlabelled(size=SIZE), Progress(0, 1))
    assert update.losses["inward"].item() == pytest.approx(1.5 * (log(2) + 1 - 2 * 0.5 / 1.5))


def test_each_part_is_taught_its_own_labels():
    """Greys tell who is who: labelled 0.9 with label 3, unlabelled 0.1 and 0.9, which the teacher calls 12 and 3."""
    method = BCP(Grey(), OUTPUTS, Config(dice=0.0))
    bare = Unlabelled(torch.tensor([0.1, 0.9]).view(2, 1, 1, 1).expand(2, 1, *SIZE))
    (update,) = method.updates(labelled(3, 0.9, SIZE, count=2), bare, Progress(0, 1))
    right = 1.5 * -log(0.9)
    assert {name: loss.item() for name, loss in update.losses.items()} == pytest.approx(
        {"inward": right, "outward": right}
    )


def test_rectangles_of_two_thirds_are_pasted_both_ways_between_other_pairs():
    method = BCP(Grey(), OUTPUTS)
    known = Labelled(torch.tensor([0.1, 0.2]).view(2, 1, 1, 1).expand(2, 1, *SIZE), torch.full((2, *SIZE), 3).byte())
    bare = Unlabelled(torch.tensor([0.6, 0.7]).view(2, 1, 1, 1).expand(2, 1, *SIZE))
    next(method.updates(known, bare, Progress(0, 1)))
    (mixed,) = method.student.seen
    (whole,) = method.teacher.seen
    assert torch.equal(whole, bare.image)
    inward, outward = mixed.chunk(2)
    for place, (label, inside, around) in enumerate(((0.1, 0.6, 0.7), (0.2, 0.7, 0.6))):
        box = inward[place, 0] == inside
        assert (box.any(dim=1).sum(), box.any(dim=0).sum(), box.sum()) == (8, 12, 96)
        assert (inward[place, 0][~box] == label).all()
        assert (outward[place, 0][box] == label).all()
        assert (outward[place, 0][~box] == around).all()


def test_sets_are_pasted_as_sets():
    """What is background or lung stays both: a label set of 3 costs nothing where all of it is on one channel."""
    method = BCP(Says(1.0, 1e-9), OUTPUTS, Config(dice=0.0))
    (update,) = method.updates(labelled(1, size=SIZE), unlabelled(size=SIZE), Progress(0, 1))
    assert update.losses["inward"].item() == pytest.approx(0, abs=1e-6)


def test_unequal_batches_are_paired_round():
    method = BCP(Grey(), OUTPUTS)
    next(method.updates(labelled(size=SIZE, count=3), unlabelled(size=SIZE, count=2), Progress(0, 1)))
    assert len(method.student.seen[0]) == 6


def test_the_teacher_follows_and_boxes_are_of_seed_and_step():
    method = BCP(Grey(), OUTPUTS, Config(ema=0.75))
    with torch.no_grad():
        method.student.weight.fill_(5)
    method.after_step(Progress(0, 9))
    assert method.teacher.weight == 0.75 * 1 + 0.25 * 5

    def seen(seed, step):
        method = BCP(Grey(), OUTPUTS, Config(seed=seed))
        next(method.updates(labelled(3, 0.9, SIZE), unlabelled(0.1, SIZE), Progress(step, 9)))
        return method.student.seen[0]

    assert torch.equal(seen(0, 0), seen(0, 0))
    assert not all(torch.equal(seen(0, 0), seen(0, step)) for step in (1, 2, 3))
    assert not all(torch.equal(seen(0, 0), seen(seed, 0)) for seed in (1, 2, 3))

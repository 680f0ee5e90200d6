import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress
from groundglass.errors import LabelError
from groundglass.losses.supervised import label_set_losses
from groundglass.methods.supervised import Config, Supervised


def batch():
    return Labelled(torch.rand(1, 1, 4, 4), torch.tensor([3, 12], dtype=torch.uint8).repeat(8).view(1, 4, 4))


def losses(config):
    (update,) = Supervised(nn.Conv2d(1, 2, 1), (3, 12), config).updates(batch(), None, Progress(0, 1))
    return update.losses


def test_needs_no_unlabelled_slices_and_adds_cross_entropy_and_dice():
    assert set(losses(Config())) == {"cross_entropy", "dice"}


def test_without_a_weight_there_is_no_dice():
    assert set(losses(Config(dice=0.0))) == {"cross_entropy"}


def test_dice_is_the_mean_over_regions_that_occur_times_its_weight():
    """GGO 1 - 2/3 of p = 1/4 each over two pixels; consolidation is absent, infection is another region."""
    logits = torch.zeros(1, 4, 1, 2)
    sets = torch.tensor([[[4, 3]]], dtype=torch.uint8)
    ground_glass = 1 - 2 * 0.25 / (0.25 + 0.25 + 1)
    infection = 1 - 2 * 0.5 / (0.5 + 0.5 + 1)
    lung_field = 1 - 2 * 0.75 / (0.75 + 1)  # the second pixel, background or lung, is not known to be in it
    found = label_set_losses(logits, sets, (1, 2, 4, 8), dice=3.0)["dice"]
    assert found.item() == pytest.approx(3 * (ground_glass + infection + lung_field) / 3)


def test_class_weights_reach_the_loss():
    torch.manual_seed(0)
    plain = losses(Config())
    torch.manual_seed(0)
    assert losses(Config(class_weights=(1.0, 9.0)))["cross_entropy"] != plain["cross_entropy"]


def test_outputs_that_are_no_groups_are_refused():
    with pytest.raises(LabelError):
        Supervised(nn.Conv2d(1, 2, 1), (3, 4))

import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress
from groundglass.errors import LabelError
from groundglass.losses.supervised import label_set_losses
from groundglass.methods.supervised import Config, Supervised
from groundglass.networks._network import Network


def batch():
    return Labelled(torch.rand(1, 1, 4, 4), torch.tensor([3, 12], dtype=torch.uint8).repeat(8).view(1, 4, 4))


def losses(config):
    (update,) = Supervised(nn.Conv2d(1, 2, 1), (3, 12), config).updates(batch(), None, Progress(0, 1))
    return update.losses


def test_needs_no_unlabelled_slices_and_adds_cross_entropy_and_dice():
    assert set(losses(Config())) == {"cross_entropy", "dice"}


def test_without_a_weight_dice_is_no_loss_and_told_of():
    method = Supervised(nn.Conv2d(1, 2, 1), (3, 12), Config(dice=0.0))
    nn.init.zeros_(method.network.weight)
    nn.init.zeros_(method.network.bias)
    (update,) = method.updates(batch(), None, Progress(0, 1))
    assert set(update.losses) == {"cross_entropy"}
    assert {name: value.item() for name, value in update.told.items()} == {"soft_dice": 0.5}  # p = 1/2 of a half
    (update,) = Supervised(nn.Conv2d(1, 2, 1), (3, 12), Config()).updates(batch(), None, Progress(0, 1))
    assert not update.told


def test_dice_is_the_mean_over_regions_that_occur_times_its_weight():
    """GGO 1 - 2/3 of p = 1/4 each over two pixels; consolidation is absent, infection is another region."""
    logits = torch.zeros(1, 4, 1, 2)
    sets = torch.tensor([[[4, 3]]], dtype=torch.uint8)
    ground_glass = 1 - 2 * 0.25 / (0.25 + 0.25 + 1)
    infection = 1 - 2 * 0.5 / (0.5 + 0.5 + 1)
    lung_field = 1 - 2 * 0.75 / (0.75 + 1)  # the second pixel, background or lung, is not known to be in it
    found = label_set_losses(logits, sets, (1, 2, 4, 8), dice=3.0)["dice"]
    assert found.item() == pytest.approx(3 * (ground_glass + infection + lung_field) / 3)


def test_dice_by_slice_reaches_the_loss():
    """p = 1/2; 1 and 8 of the 16 pixels of two slices: 1 - 1 / (8 + 1) and 1 - 8 / (8 + 8), pooled 1 - 9 / (16 + 9)."""
    sets = torch.full((2, 4, 4), 3, dtype=torch.uint8)
    sets[0, 0, 0], sets[1, :2] = 12, 12
    network = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    found = {}
    for by_slice in (False, True):
        method = Supervised(network, (3, 12), Config(dice_by_slice=by_slice))
        (update,) = method.updates(Labelled(torch.rand(2, 1, 4, 4), sets), None, Progress(0, 1))
        found[by_slice] = update.losses["dice"].item()
    assert found == pytest.approx({False: 1 - 9 / 25, True: (1 - 1 / 9 + 1 - 8 / 16) / 2})


def test_class_weights_reach_the_loss():
    torch.manual_seed(0)
    plain = losses(Config())
    torch.manual_seed(0)
    assert losses(Config(class_weights=(1.0, 9.0)))["cross_entropy"] != plain["cross_entropy"]


def test_outputs_that_are_no_groups_are_refused():
    with pytest.raises(LabelError):
        Supervised(nn.Conv2d(1, 2, 1), (3, 4))


class TwoAnswers(Network):
    """One weight, answered with as it is and tripled, and an edge that is no answer."""

    stride, in_channels, classes = 1, 1, 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, image):
        return self.forward_all(image)["fine"]

    def forward_all(self, image):
        logits = torch.cat([image * self.weight, -image * self.weight], dim=1)
        return {"coarse": 3 * logits, "fine": logits, "edge": image * self.weight}


def test_deep_supervision_is_the_mean_over_the_answers_and_none_by_default():
    learnt = Labelled(torch.ones(1, 1, 4, 4), batch().label_set)
    network = TwoAnswers()
    coarse, fine = (
        label_set_losses(network.forward_all(learnt.image)[name], learnt.label_set, (3, 12))
        for name in ("coarse", "fine")
    )
    (alone,) = Supervised(network, (3, 12)).updates(learnt, None, Progress(0, 1))
    (deep,) = Supervised(network, (3, 12), Config(deep_supervision=True)).updates(learnt, None, Progress(0, 1))
    for name in ("cross_entropy", "dice"):
        assert alone.losses[name].item() == pytest.approx(fine[name].item())
        assert deep.losses[name].item() == pytest.approx((coarse[name].item() + fine[name].item()) / 2)
        assert coarse[name].item() != pytest.approx(fine[name].item())


def test_deep_supervision_of_a_network_that_answers_once_is_its_loss():
    torch.manual_seed(0)
    plain = losses(Config())
    torch.manual_seed(0)
    assert losses(Config(deep_supervision=True)) == plain


def test_total_variation_is_added_with_its_weight():
    """p of infection .1 .3 / .6 .2: .5 + .1 down, .2 + .4 across, over 4 pixels, times 2."""
    p = torch.tensor([[[[0.1, 0.3], [0.6, 0.2]]]])
    network = nn.Conv2d(1, 1, 1)
    network.forward = lambda image: torch.cat([1 - image, image], dim=1).log()
    learnt = Labelled(p, torch.full((1, 2, 2), 3, dtype=torch.uint8))
    (update,) = Supervised(network, (3, 12), Config(total_variation=2.0)).updates(learnt, None, Progress(0, 1))
    assert update.losses["total_variation"].item() == pytest.approx(0.6)

from math import log

import pytest
import torch
from torch import nn

from groundglass import runs
from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.errors import UsageError
from groundglass.losses.label_set import cross_entropy
from groundglass.losses.proportions import proportions_loss
from groundglass.methods.jin2022 import Config, Jin2022
from groundglass.networks._network import Network
from groundglass.networks.vq_unet import VQUNet
from groundglass.recipe import Recipe
from groundglass.store import open_store
from tests.engine.test_fit import equal
from tests.test_runs import StopError, stop
from tests.toy_store import make_store

OUTPUTS = (3, 12)
SIDE = 32
FIRST, SECOND = Progress(0, 8), Progress(2, 8)  # a quarter of 8 steps is over at the third


class Given(Network):
    """Lesion with the probability that the image's grey value says."""

    def __init__(self):
        super().__init__()
        self.stride, self.in_channels, self.classes = 1, 1, 2
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image):
        return torch.cat([(1 - image).log(), self.scale * image.log()], dim=1)


class Believes(nn.Module):
    """A discriminator that believes, with the same confidence, wherever the first class is the more probable."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.8).logit())

    def forward(self, probability):
        return torch.where(probability[:, :1] > 0.5, self.shift, -self.shift)


def method(**settings):
    made = Jin2022(Given(), OUTPUTS, Config(**settings))
    made.discriminator = Believes()
    return made.train()


def labelled(grey=0.2, sets=3):
    """The left half of one set, the right half lesion."""
    label = torch.full((1, SIDE, SIDE), 12, dtype=torch.uint8)
    label[..., : SIDE // 2] = sets
    return Labelled(torch.full((1, 1, SIDE, SIDE), grey), label)


def unlabelled(left, right):
    image = torch.full((1, 1, SIDE, SIDE), right)
    image[..., : SIDE // 2] = left
    return Unlabelled(image)


def values(update):
    return {name: loss.item() for name, loss in update.losses.items()}


def test_the_first_phase_is_eq_11():
    """Half of it lesion at 0.2: cross-entropy -(log .8 + log .2) / 2; shares 0.5 against 0.8 and 0.2, halved."""
    (update,) = method().updates(labelled(), None, FIRST)
    assert update.module == "network"
    assert values(update) == {
        "cross_entropy": pytest.approx(-(log(0.8) + log(0.2)) / 2),
        "proportions": pytest.approx(0.5 * 2 * 0.3**2),
    }


def test_the_second_phase_by_hand():
    """Believed at 0.8 where lesion is improbable, at 0.2 elsewhere; unlabelled at 0.25 and 0.75."""
    made = method(threshold=0.5)
    network, discriminator = made.updates(labelled(), unlabelled(0.25, 0.75), SECOND)
    assert (network.module, discriminator.module) == ("network", "discriminator")
    found = values(network)
    assert found["semi_supervised"] == pytest.approx(0.1 * -log(0.75))  # the right half is unknown
    assert network.told["trusted"].item() == pytest.approx(0.5)
    assert found["adversarial"] == pytest.approx(0.01 * -(3 * log(0.8) + log(0.2)) / 4)  # three of four halves believed
    assert found["unlabelled_proportions"] == pytest.approx(0)  # predicted shares 1/2 and 1/2, as the labels'
    assert found["cross_entropy"] == pytest.approx(-(log(0.8) + log(0.2)) / 2)
    assert values(discriminator) == {
        "fake": pytest.approx(-log(0.2)),  # both halves of the prediction are believed at 0.8
        "real": pytest.approx(-(log(0.8) + log(0.2)) / 2),  # of the labels the left one
    }


def test_below_both_confidences_all_is_trusted():
    network, _ = method(threshold=0.1).updates(labelled(), unlabelled(0.25, 0.75), SECOND)
    assert network.told["trusted"].item() == 1
    assert values(network)["semi_supervised"] == pytest.approx(0.1 * -log(0.75))


def test_the_target_of_the_unlabelled_is_the_mean_of_the_labelled_shares_so_far():
    """Lesion in 1/2, then in all known pixels: the mean is 3/4; predicted 0.4, so 2 (0.35)^2 a half of it."""
    made = method()
    list(made.updates(labelled(), None, FIRST))
    assert made.shares.tolist() == pytest.approx([0.5, 0.5])
    network, _ = made.updates(labelled(sets=12), unlabelled(0.4, 0.4), SECOND)
    assert made.shares.tolist() == pytest.approx([0.25, 0.75])
    assert values(network)["unlabelled_proportions"] == pytest.approx(0.5 * 2 * 0.35**2)
    list(made.updates(labelled(sets=15), None, FIRST))
    assert made.shares.tolist() == pytest.approx([1 / 6, 5 / 6])


def test_what_may_be_of_several_classes_counts_for_nothing_in_real():
    _, discriminator = method().updates(labelled(sets=15), unlabelled(0.25, 0.75), SECOND)
    assert values(discriminator)["real"] == pytest.approx(-log(0.2))  # the lesion half alone


def test_the_discriminators_loss_does_not_reach_the_network():
    made = Jin2022(Given(), OUTPUTS).train()
    _, discriminator = made.updates(labelled(), unlabelled(0.25, 0.75), SECOND)
    slopes = torch.autograd.grad(sum(discriminator.losses.values()), [made.network.scale], allow_unused=True)
    assert slopes == (None,)


def test_the_adversarial_loss_leads_the_network_through_the_real_discriminator():
    torch.manual_seed(0)
    made = Jin2022(Given(), OUTPUTS).train()
    network, _ = made.updates(labelled(), unlabelled(0.25, 0.75), SECOND)
    (slope,) = torch.autograd.grad(network.losses["adversarial"], [made.network.scale])
    assert slope != 0


def test_terms_that_are_left_out_and_dice():
    (update,) = method(proportions=0.0, dice=0.5).updates(labelled(), None, FIRST)
    assert set(update.losses) == {"cross_entropy", "dice"}
    network, _ = method(proportions=0.0).updates(labelled(), unlabelled(0.25, 0.75), SECOND)
    assert set(network.losses) == {"cross_entropy", "semi_supervised", "adversarial"}


def test_a_first_phase_of_1_never_ends():
    assert len(list(method(first_phase=1.0).updates(labelled(), None, Progress(7, 8)))) == 1
    with pytest.raises(UsageError, match=r"no unlabelled slices after its first phase.*first_phase = 1.0"):
        list(method().updates(labelled(), None, SECOND))


@pytest.mark.parametrize("wrong", [{"first_phase": 1.5}, {"threshold": -0.1}])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(UsageError, match="both from 0 to 1"):
        Config(**wrong)


def tiny():
    torch.manual_seed(0)
    return VQUNet(1, 2, "resnet18", widths=(8, 8, 8, 4, 4), codes=16, code_channels=4)


def test_a_network_with_the_branch_pays_eq_2_and_tells_its_perplexities():
    made = Jin2022(tiny(), OUTPUTS, Config(codes=2.0)).train()
    batch = Labelled(torch.rand(2, 1, SIDE, SIDE), labelled().label_set.expand(2, -1, -1))
    (update,) = made.updates(batch, None, FIRST)
    assert set(update.losses) == {"cross_entropy", "proportions", "reconstruction", "codes"}
    assert set(update.told) == {"perplexity of top", "perplexity of bottom"}
    assert 1 < update.told["perplexity of bottom"] <= 16
    with torch.no_grad():
        coded = made.eval().network.forward_coded(batch.image)
        (update,) = made.updates(batch, None, FIRST)
    drawn = 2 * (coded.reconstruction - batch.image).square().mean()
    torch.testing.assert_close(update.losses["reconstruction"], drawn)
    torch.testing.assert_close(update.losses["codes"], 2 * coded.loss)
    torch.testing.assert_close(update.losses["cross_entropy"], cross_entropy(coded.logits, batch.label_set, OUTPUTS))
    torch.testing.assert_close(
        update.losses["proportions"], 0.5 * proportions_loss(coded.logits, batch.label_set, OUTPUTS)
    )


def test_its_maps_are_the_drawing_and_the_confidence():
    made = Jin2022(tiny(), OUTPUTS).eval()
    image = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        shown = made.maps(image)
        confidence = made.discriminator(made.predict(image)).sigmoid()[:, 0]
        untaught = Jin2022(tiny(), OUTPUTS, Config(first_phase=1.0)).eval().maps(image)
    torch.testing.assert_close(shown["confidence"], confidence)
    assert set(shown) == {"reconstruction", "confidence"}
    assert set(untaught) == {"reconstruction"}


def test_a_run_killed_in_either_phase_ends_in_the_same_weights(tmp_path):
    """The discriminator, its optimiser, the codes and the shares go on where they were; so does their average."""
    store = open_store(make_store(tmp_path / "toy"))
    training = {
        "steps": 4, "batch": 2, "unlabelled_batch": 2, "optimizer": "sgd", "rate": 0.01, "augmentation": "weak",
        "precision": "float32", "checkpoint_every": 1, "ema": 0.9,
        "modules": {"discriminator": {"optimizer": "adam", "rate": 1e-4, "beta2": 0.99, "weight_decay": 0.0}},
    }  # fmt: skip
    settings = {"encoder": "resnet18", "widths": [8, 8, 8, 4, 4], "codes": 16, "code_channels": 4}
    recipe = Recipe.parse(
        {
            "data": {"store": "absent"},
            "network": {"name": "vq_unet", "settings": settings},
            "stage": [{"method": "jin2022", "settings": {"first_phase": 0.5}, "training": training}],
        }
    )
    whole, _ = runs.train(recipe, store, tmp_path / "whole")
    for step in (1, 3):
        with pytest.raises(StopError):
            runs.train(recipe, store, tmp_path / "cut", stop(1, step))
    resumed, _ = runs.train(recipe, store, tmp_path / "cut")
    assert equal(whole.state_dict(), resumed.state_dict())
    log = (tmp_path / "whole" / "stage-1" / "log.csv").read_text()
    assert log == (tmp_path / "cut" / "stage-1" / "log.csv").read_text()
    assert log.splitlines()[0].split(",")[2:] == [
        "cross_entropy", "proportions", "reconstruction", "codes", "perplexity of top", "perplexity of bottom",
        "semi_supervised", "unlabelled_proportions", "adversarial", "trusted", "fake", "real",
    ]  # fmt: skip

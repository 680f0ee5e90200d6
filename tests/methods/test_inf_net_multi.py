import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress
from groundglass.errors import UsageError
from groundglass.losses.focal import binary_cross_entropy, focal_loss
from groundglass.methods._prior import WithPrior, beside, two_channels
from groundglass.methods.inf_net_multi import Config, InfNetMulti
from groundglass.methods.supervised import Supervised
from groundglass.networks._network import Network

OUTPUTS = (3, 4, 8)


class Seen(Network):
    """Remembers what it saw; answers with a mixture of it."""

    def __init__(self, in_channels=6, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.stride, self.in_channels, self.classes = 1, in_channels, classes
        self.head = nn.Conv2d(in_channels, classes, 1)

    def forward(self, image):
        self.image = image
        return self.head(image)


def batch(prior=True):
    generator = torch.Generator().manual_seed(1)
    sets = torch.tensor([3, 4, 8, 12], dtype=torch.uint8).repeat(4).view(1, 4, 4)
    infection = torch.rand((1, 1, 4, 4), generator=generator)
    both = torch.cat([1 - infection, infection], dim=1)
    return Labelled(torch.rand((1, 1, 4, 4), generator=generator), sets, both if prior else None)


def loss(config=None):
    network, given = Seen(), batch()
    (update,) = InfNetMulti(network, OUTPUTS, config).updates(given, None, Progress(0, 1))
    return update.losses, network(torch.cat([given.image.repeat(1, 3, 1, 1), given.prior[:, 1:].repeat(1, 3, 1, 1)], 1))


def test_the_network_sees_the_picture_three_times_and_the_prior_three_times():
    network, given = Seen(), batch()
    InfNetMulti(network, OUTPUTS).predict(given.image, given.prior)
    assert all(torch.equal(channel, given.image[:, 0]) for channel in network.image[:, :3].unbind(1))
    assert all(torch.equal(channel, given.prior[:, 1]) for channel in network.image[:, 3:].unbind(1))


def test_its_loss_is_eq_6_and_with_focal_eq_7():
    found, logits = loss()
    torch.testing.assert_close(
        found, {"binary_cross_entropy": binary_cross_entropy(logits, batch().label_set, OUTPUTS)}
    )
    found, logits = loss(Config(focal=2.0, alpha=0.5))
    torch.testing.assert_close(found, {"focal": focal_loss(logits, batch().label_set, OUTPUTS, 2.0, 0.5)})


def test_a_prediction_is_the_sigmoids_given_that_exactly_one_is_right():
    logits = torch.tensor([0.3, -1.0, 2.0])
    s = logits.sigmoid()
    alone = torch.stack([s[k] * (1 - s[[j for j in range(3) if j != k]]).prod() for k in range(3)])
    torch.testing.assert_close(alone / alone.sum(), logits.softmax(0))


def test_without_a_prior_it_says_what_the_recipe_lacks():
    with pytest.raises(UsageError, match=r"without a prior.*\[prior\]"):
        InfNetMulti(Seen(), OUTPUTS).predict(batch().image)
    with pytest.raises(UsageError, match="in_channels = 6"):
        InfNetMulti(Seen(1), OUTPUTS).predict(batch().image, batch().prior)
    with pytest.raises(UsageError, match="5 input channels"):
        beside(batch().image, None, 5)


def test_with_the_network_that_makes_its_prior_it_needs_none():
    single, multi = Supervised(Seen(1, 2), (3, 12)).eval(), InfNetMulti(Seen(), OUTPUTS).eval()
    both = WithPrior(multi, single)
    image = batch().image
    with torch.no_grad():
        prior = single.predict(image)
        assert torch.equal(both.predict(image), multi.predict(image, prior))
        assert torch.equal(both.predict(image, batch().prior), multi.predict(image, batch().prior))
    assert both.outputs == OUTPUTS
    assert both.predictor is multi.network


def test_a_prior_of_more_classes_is_their_infection():
    p = torch.tensor([0.5, 0.2, 0.2, 0.1]).view(1, 4, 1, 1)
    assert two_channels(p, (1, 2, 4, 8)).flatten().tolist() == pytest.approx([0.7, 0.3])

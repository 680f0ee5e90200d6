import pytest
import torch
from torch import nn

from groundglass.batches import Labelled, Progress, Unlabelled
from groundglass.losses.reconstruction import gradient_magnitude
from groundglass.methods.inpainting import Config, Inpainting, Phase, plan, rate_of
from groundglass.networks._network import Network

SHORT = Config(first=2, turn=1, epochs=4)  # N N C C N C N


class Copy(Network):
    """Gives the picture it saw as logits, and a flat edge."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.stride, self.in_channels, self.classes = 1, in_channels, 1
        self.scale = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(in_channels)

    def forward(self, image):
        self.image = image
        self.norm(image)
        return self.scale * image[:, :1]

    def forward_all(self, image):
        return {"global": self(image), "side_3": self(image), "edge": 0 * self(image)}


def method(config=SHORT, in_channels=1):
    torch.manual_seed(0)
    return Inpainting(Copy(in_channels), (15,), config).train()


def pictures(generator_seed=0, count=2):
    generator = torch.Generator().manual_seed(generator_seed)
    images = torch.rand((count, 1, 64, 64), generator=generator)
    return Labelled(images, torch.full((count, 64, 64), 15, dtype=torch.uint8))


def only(made, step, unlabelled=None):
    (update,) = made.updates(pictures(), unlabelled, Progress(step, 7))
    return update


def test_the_schedule_by_hand():
    """Two epochs each, then one in turn until the network has had four: seven in all."""
    turns = [plan(Progress(step, 14), SHORT) for step in range(14)]
    assert "".join(phase.learner[0] for phase in turns) == "nnnnccccnnccnn"
    assert [phase.done for phase in turns] == [0, 0.25, 0.5, 0.75] * 2 + [0, 0.5] * 3


def test_the_papers_schedule_has_2000_epochs_of_the_network():
    turns = [plan(Progress(step, 3900), Config()).learner for step in range(3900)]
    assert turns.count("network") == 2000
    assert turns[:400] == ["network"] * 200 + ["coach"] * 200
    assert turns[400:600] == ["network"] * 100 + ["coach"] * 100
    assert turns[-100:] == ["network"] * 100


def test_the_rate_falls_at_40_80_and_90_percent_of_each_turn():
    assert [rate_of(Phase("network", done), Config()) for done in (0, 0.39, 0.4, 0.8, 0.9, 0.99)] == [
        1.0, 1.0, 0.1, 0.01, 0.001, 0.001,
    ]  # fmt: skip
    made = method()
    assert only(made, 1).rate == 0.1  # half of the first turn is over
    assert only(made, 2).rate == 1.0  # the coach's own is not touched


def test_eq_1_and_whose_turn_it_is():
    """The coach's loss is 1 less the sum of the network's terms on what alpha = 1 keeps."""
    made = method()
    assert only(made, 0).module == "network"
    assert set(only(made, 0).losses) == {"global", "side_3", "edge"}
    update = only(made, 2)
    assert update.module == "coach"
    generator = torch.Generator().manual_seed(2)
    image = pictures().image
    mask, divergence = made.mask(image, generator, 1.0)
    expected = 1 - sum(made.losses(image, mask).values())
    torch.testing.assert_close(update.losses["coach"], expected)
    torch.testing.assert_close(update.losses["divergence"], 1e-6 * divergence)


def test_a_quarter_is_erased_to_grey_and_the_log_tells_so():
    """Of 16 cells 11 are kept, one half, and 4 erased: (4 + 1/2) / 16 with a sharp mask."""
    made = method()
    with torch.no_grad():
        made.coach.score.weight.mul_(1e4)
    update = only(made, 0)
    assert update.told["erased"].item() == pytest.approx(4.5 / 16, abs=1e-3)
    assert ((made.network.image - 0.5).abs() < 1e-4).float().mean() == pytest.approx(4 / 16, abs=0.01)
    image, mask = torch.full((1, 1, 16, 16), 0.9), torch.full((1, 1, 16, 16), 0.25)
    assert made.seen(image, mask).mean().item() == pytest.approx(0.5 + 0.25 * 0.4)


def test_image_heads_reconstruct_the_picture_and_the_edge_head_its_gradient():
    made = method()
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8:] = 1.0
    losses = made.losses(image, torch.ones(1, 1, 16, 16))
    bce = nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(losses["side_3"], bce(image, image))
    torch.testing.assert_close(losses["edge"], bce(torch.zeros_like(image), gradient_magnitude(image)))
    squared = method(Config(loss="squared")).losses(image, torch.ones(1, 1, 16, 16))
    assert squared["side_3"] == 0
    assert squared["edge"].item() == pytest.approx(0.25 * 2 / 16)  # two columns of 1/2


def test_the_coach_is_led_by_the_networks_loss_through_the_mask():
    made = method()
    update = only(made, 2)
    (slope,) = torch.autograd.grad(update.losses["coach"], [made.coach.score.weight])
    assert slope.any()


def test_while_one_learns_the_other_stands_still():
    made = method()
    only(made, 0)
    assert made.network.norm.num_batches_tracked == 3  # its three answers
    assert made.coach.encoder.bn1.num_batches_tracked == 0
    only(made, 2)
    assert made.network.norm.num_batches_tracked == 3
    assert made.coach.encoder.bn1.num_batches_tracked == 1


def test_labels_are_not_looked_at_and_unlabelled_pictures_are():
    made = method()
    labels = Labelled(pictures().image, torch.full((2, 64, 64), 4, dtype=torch.uint8))
    (other,) = made.updates(labels, None, Progress(0, 7))
    torch.testing.assert_close(dict(other.losses), dict(only(made, 0).losses), rtol=0, atol=0)
    only(made, 0, Unlabelled(pictures(1, 3).image))
    assert made.network.image.shape == (5, 1, 64, 64)


def test_a_network_that_takes_a_prior_sees_none():
    made = method(in_channels=6)
    only(made, 0)
    assert made.network.image.shape == (2, 6, 64, 64)
    assert made.network.image[:, :3].any()
    assert not made.network.image[:, 3:].any()


def test_what_is_shown_has_no_noise():
    made = method().eval()
    image = pictures().image
    first, second = made.shown(image), made.shown(image)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[1].min() >= 0
    assert first[1].max() <= 1


def test_network_and_coach_play_against_each_other():
    """A network that can only say one grey: the coach's loss falls as it learns to erase what is not that grey."""
    torch.manual_seed(0)
    made = method(Config(first=1, turn=1, epochs=1, loss="squared"))
    image = torch.full((2, 1, 32, 32), 0.5)
    image[:, :, 16:, 16:] = 1.0  # bright in one cell of four: erased it costs most
    given = Labelled(image, torch.full((2, 32, 32), 15, dtype=torch.uint8))
    optimiser = torch.optim.Adam(made.coach.parameters(), lr=1e-3)
    costs = []
    for _ in range(12):
        (update,) = made.updates(given, None, Progress(1, 2))
        assert update.module == "coach"
        optimiser.zero_grad()
        update.losses["coach"].backward(inputs=list(made.coach.parameters()))
        optimiser.step()
        costs.append(update.losses["coach"].item())
    assert costs[-1] < costs[0]

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.labels import Region
from groundglass.losses.connectivity import total_variation

INFECTION = (3, 12)


def logits_of(*samples):
    """Logits (B, 2, H, W) of samples of rows of probabilities of infection."""
    p = torch.tensor(samples)
    return torch.stack([1 - p, p], dim=1).log()


def test_neighbours_below_and_beside_are_compared():
    """Rows .1 .3 / .6 .2: down .5 + .1, across .2 + .4, over 4 pixels: 1.2 / 4."""
    assert total_variation(logits_of([[0.1, 0.3], [0.6, 0.2]]), INFECTION).item() == pytest.approx(0.3)


def test_the_mean_over_the_batch():
    """One sample as above, one flat: (1.2 + 0) / 8."""
    found = total_variation(logits_of([[0.1, 0.3], [0.6, 0.2]], [[0.5, 0.5], [0.5, 0.5]]), INFECTION)
    assert found.item() == pytest.approx(0.15)


def test_four_pixels_together_cost_less_than_four_apart():
    """On 4 x 4: a 2 x 2 block in a corner has an outline of 4; four lone pixels one of 2 + 3 + 4 + 3."""
    block, apart = torch.full((4, 4), 1e-9), torch.full((4, 4), 1e-9)
    block[:2, :2] = 1 - 1e-7
    apart[[0, 0, 2, 2], [0, 2, 1, 3]] = 1 - 1e-7
    found = [total_variation(logits_of(p.tolist()), INFECTION).item() for p in (block, apart)]
    assert found == pytest.approx([4 / 16, 12 / 16], abs=1e-5)


def test_the_probability_of_a_region_is_the_sum_over_its_tissues():
    """Channels background, lung, ground glass, consolidation; infection .4 then .7: |.3| / 2."""
    p = torch.tensor([[0.3, 0.3, 0.1, 0.3], [0.2, 0.1, 0.5, 0.2]]).T.view(1, 4, 1, 2)
    assert total_variation(p.log(), (1, 2, 4, 8)).item() == pytest.approx(0.15)
    assert total_variation(p.log(), (1, 2, 4, 8), Region.GROUND_GLASS).item() == pytest.approx(0.2)


def test_a_region_that_the_channels_cannot_answer_is_refused():
    with pytest.raises(UsageError, match="do not tell ground"):
        total_variation(torch.zeros(1, 2, 2, 2), INFECTION, Region.GROUND_GLASS)


def test_a_step_against_the_gradient_lowers_it_and_autocast_hardly_changes_it():
    torch.manual_seed(0)
    start = torch.randn(2, 2, 8, 8).bfloat16().float()
    slopes = []
    for autocast in (False, True):
        logits = start.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            total_variation(logits.bfloat16() if autocast else logits, INFECTION).backward()
        slopes.append(logits.grad)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=2**-8, atol=1e-12)  # one rounding, of the gradient itself
    assert total_variation(start - 10 * slopes[0], INFECTION) < total_variation(start, INFECTION)

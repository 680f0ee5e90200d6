from math import log

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from groundglass.losses.divergence import divergence, sampled_divergence


def numbers(*values):
    return tuple(torch.tensor([value], dtype=torch.float64) for value in values)


def test_by_hand():
    """N(1, 4) from N(0, 1): (log(1/4) + (4 + 1) / 1 - 1) / 2 = 2 - log 2."""
    assert divergence(*numbers(1, 4, 0, 1)).item() == pytest.approx(2 - log(2))
    assert divergence(*numbers(3, 2, 3, 2)).item() == 0


def test_of_one_sample_by_hand():
    """At z = 1, log N(1; 1, 4) - log N(1; 0, 1) = -log 2 + 1/2."""
    assert sampled_divergence(*numbers(1, 1, 4, 0, 1)).item() == pytest.approx(0.5 - log(2))


def test_is_torchs_own():
    torch.manual_seed(0)
    mean, prior_mean = torch.randn(2, 50, dtype=torch.float64)
    variance, prior_variance = torch.rand(2, 50, dtype=torch.float64) + 0.1
    q, p = Normal(mean, variance.sqrt()), Normal(prior_mean, prior_variance.sqrt())
    torch.testing.assert_close(divergence(mean, variance, prior_mean, prior_variance), kl_divergence(q, p))
    z = q.sample()
    torch.testing.assert_close(
        sampled_divergence(z, mean, variance, prior_mean, prior_variance), q.log_prob(z) - p.log_prob(z)
    )


def test_samples_agree_with_the_formula_on_average():
    normal = numbers(0.5, 0.3, -0.2, 1.5)
    generator = torch.Generator().manual_seed(0)
    z = 0.5 + 0.3**0.5 * torch.randn(400_000, generator=generator, dtype=torch.float64)
    each = sampled_divergence(z, *normal)
    assert each.mean().item() == pytest.approx(divergence(*normal).item(), abs=4 * each.std().item() / 400_000**0.5)
    assert each.min() < 0


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    normal = [torch.rand(3, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    with torch.no_grad():
        for part in normal[1::2]:
            part += 0.2
    assert torch.autograd.gradcheck(divergence, normal)
    z = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sampled_divergence, (z, *normal))

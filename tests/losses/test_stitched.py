from math import exp, log

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from groundglass.losses.beta import FLOOR, log_density
from groundglass.losses.divergence import divergence, sampled_divergence
from groundglass.losses.label_set import cross_entropy
from groundglass.losses.stitched import bits_per_pixel, log_likelihood, stitched

OUTPUTS = (1, 2, 4, 8)


def pixel(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def sets(value):
    return torch.full((1, 1, 1), value, dtype=torch.uint8)


# Probabilities 1/2, 1/4, 1/8, 1/8 of densities 2, 4, 1, 3.
LOGITS = pixel(log(4), log(2), 0, 0)
DENSITY = pixel(log(2), log(4), 0, log(3))


@pytest.mark.parametrize(
    ("held", "likelihood"),
    [
        (2, 1 / 4 * 4),  # J_LAB: the label is lung
        (15, 1 / 2 * 2 + 1 / 4 * 4 + 1 / 8 + 3 / 8),  # J_UN: nothing is known
        (3, 1 / 2 * 2 + 1 / 4 * 4),  # no lesion, as everywhere in a healthy scan
        (12, 1 / 8 + 3 / 8),  # infection, of whichever kind
    ],
)
def test_the_sum_over_a_set_by_hand(held, likelihood):
    assert log_likelihood(LOGITS, DENSITY, sets(held), OUTPUTS).item() == pytest.approx(log(likelihood))


def test_a_group_of_two_tissues_is_one_style():
    """Labels that never told lung from background: three styles, and a set of both is the first."""
    found = log_likelihood(LOGITS[:, :3], DENSITY[:, :3], sets(3), (3, 4, 8))
    assert found.item() == pytest.approx(log(4 / 7 * 2))


def test_equal_styles_leave_the_cross_entropy_and_the_picture():
    """What labels teach beyond the picture is then the label-set cross-entropy alone."""
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, 5)
    label_set = torch.tensor([1, 3, 4, 8, 12], dtype=torch.uint8)[torch.randint(0, 5, (2, 5, 5))]
    density = torch.randn(2, 1, 5, 5).expand(2, 4, 5, 5)
    apart = density[:, 0] - log_likelihood(logits, density, label_set, OUTPUTS)
    torch.testing.assert_close(apart.mean(), cross_entropy(logits, label_set, OUTPUTS))
    everything = torch.full_like(label_set, 15)
    torch.testing.assert_close(log_likelihood(logits, density, everything, OUTPUTS), density[:, 0])


def test_what_is_unlikely_stays_finite_and_keeps_its_gradient():
    logits = pixel(0, -300, 0, 0).float().requires_grad_()
    density = pixel(0, -500, 0, 0).float().requires_grad_()
    found = log_likelihood(logits, density, sets(2), OUTPUTS)
    found.sum().backward()
    assert found.item() == pytest.approx(-800 - log(3))
    assert density.grad.flatten().tolist() == [0, 1, 0, 0]
    assert logits.grad.flatten()[1].item() == pytest.approx(1)


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    logits, density = (torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    label_set = torch.tensor([[[1, 3, 15], [4, 12, 8]]], dtype=torch.uint8)
    assert torch.autograd.gradcheck(lambda a, b: log_likelihood(a, b, label_set, OUTPUTS), (logits, density))


def test_under_autocast_gradients_are_those_of_float32():
    torch.manual_seed(0)
    values = [(8 * torch.randn(2, 4, 6, 6)).bfloat16() for _ in range(2)]
    label_set = torch.tensor([1, 3, 4, 15], dtype=torch.uint8)[torch.randint(0, 4, (2, 6, 6))]

    def slopes(dtype, autocast):
        parts = [value.to(dtype).requires_grad_() for value in values]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = log_likelihood(*parts, label_set, OUTPUTS)
        assert found.dtype == torch.float32
        return torch.autograd.grad(found.sum(), parts)

    for found, wanted in zip(slopes(torch.bfloat16, True), slopes(torch.float32, False), strict=True):
        torch.testing.assert_close(found.float(), wanted, rtol=2**-8, atol=1e-12)


def test_a_stitched_pixel_is_its_labels_style():
    styles = torch.tensor([[0.25, 0.5], [0.75, 1.0]]).view(1, 2, 1, 2)
    logits = torch.tensor([[1.0, 0], [0, 1]]).view(1, 2, 1, 2)
    assert stitched(logits, styles).flatten().tolist() == [0.25, 1.0]


def test_bits_per_pixel_by_hand():
    """An even density takes all 8 bits; one of 256 on the step none; a divergence of log 2 one more."""
    zero = torch.zeros(())
    assert bits_per_pixel(zero, zero).item() == pytest.approx(8)
    assert bits_per_pixel(torch.tensor(log(256)), zero).item() == pytest.approx(0, abs=1e-6)
    assert bits_per_pixel(zero, torch.tensor(log(2))).item() == pytest.approx(9)


# A toy of one latent: z is normal, a pixel of two classes whose odds and styles are z's, q a normal of its own.
X, MEAN, VARIANCE = 0.3, 0.4, 0.5


def toy(z):
    """log p(x given z), labels summed over, by what is tested; z (N,)."""
    n = len(z)
    logits = torch.stack([z, -z]).T.reshape(n, 2, 1, 1)
    styles = torch.stack([1 + z, 0.5 * z, 2 - z, 1 + z**2]).T.reshape(n, 4, 1, 1)
    x = torch.full((n, 1, 1, 1), X, dtype=torch.float64)
    return log_likelihood(
        logits, log_density(styles, x), torch.full((n, 1, 1), 15, dtype=torch.uint8), (3, 12)
    ).flatten()


def toy_by_scipy(z):
    p = 1 / (1 + exp(-2 * z))
    a, b, c, d = (np.logaddexp(0, raw) + FLOOR for raw in (1 + z, 0.5 * z, 2 - z, 1 + z**2))
    return p * stats.beta.pdf(X, a, c) + (1 - p) * stats.beta.pdf(X, b, d)


def test_the_lower_bound_is_that_of_numerical_integration():
    """By Gauss and Hermite with our terms, by scipy's adaptive quadrature with scipy's densities; below log p(x)."""
    q, p = stats.norm(MEAN, VARIANCE**0.5), stats.norm(0, 1)
    wanted, _ = integrate.quad(
        lambda z: q.pdf(z) * (np.log(toy_by_scipy(z)) + p.logpdf(z) - q.logpdf(z)), -8, 8, epsabs=1e-10
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    z = torch.from_numpy(MEAN + VARIANCE**0.5 * nodes)
    normals = [torch.tensor(value, dtype=torch.float64) for value in (MEAN, VARIANCE, 0.0, 1.0)]
    likelihood = (torch.from_numpy(weights) * toy(z)).sum() / weights.sum()
    assert (likelihood - divergence(*normals)).item() == pytest.approx(wanted, abs=1e-7)
    evidence, _ = integrate.quad(lambda z: p.pdf(z) * toy_by_scipy(z), -8, 8, epsabs=1e-10)
    assert wanted < log(evidence)


def test_one_sample_of_the_lower_bound_is_right_on_average():
    normals = [torch.tensor(value, dtype=torch.float64) for value in (MEAN, VARIANCE, 0.0, 1.0)]
    generator = torch.Generator().manual_seed(0)
    z = MEAN + VARIANCE**0.5 * torch.randn(200_000, generator=generator, dtype=torch.float64)
    each = toy(z) - sampled_divergence(z, *normals)
    q, p = stats.norm(MEAN, VARIANCE**0.5), stats.norm(0, 1)
    wanted, _ = integrate.quad(lambda z: q.pdf(z) * (np.log(toy_by_scipy(z)) + p.logpdf(z) - q.logpdf(z)), -8, 8)
    assert each.mean().item() == pytest.approx(wanted, abs=4 * each.std().item() / 200_000**0.5)

from math import log

import numpy as np
import pytest
import torch
from scipy import stats

from groundglass.losses.beta import FLOOR, concentrations, dequantised, expected, log_density


def raw(alpha, beta):
    """What softplus and the floor make these of, (1, 2, 1, 1), float64."""
    wanted = torch.tensor([alpha, beta], dtype=torch.float64).view(1, 2, 1, 1) - FLOOR
    return wanted + torch.log(-torch.expm1(-wanted))


def test_by_hand():
    """Beta(2, 2) at 1/2 is 6 x 1/4 = 3/2; Beta(1, 1) is 1 everywhere."""
    assert log_density(raw(2, 2), torch.full((1, 1, 1, 1), 0.5)).item() == pytest.approx(log(1.5))
    assert log_density(raw(1, 1), torch.full((1, 1, 1, 1), 0.1)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pair", [(0.2, 0.3), (1.0, 5.0), (30.0, 2.0), (400.0, 900.0), (3e3, 7e3)])
def test_is_scipys(pair):
    x = torch.tensor([1e-6, 0.01, 0.3, 0.31, 0.9, 1 - 1e-6]).view(1, 1, 1, -1)
    reference = stats.beta.logpdf(x.double().flatten().numpy(), *pair)
    wide = raw(*pair).expand(1, 2, 1, 6)
    np.testing.assert_allclose(log_density(wide, x.double()).flatten().numpy(), reference, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(log_density(wide.float(), x).flatten().numpy(), reference, rtol=1e-3, atol=0.03)


def test_a_styles_channels_are_its_alpha_and_its_beta():
    both = torch.cat([raw(2, 5), raw(3, 7)], dim=1)[:, [0, 2, 1, 3]]  # alphas, then betas
    alpha, beta = concentrations(both)
    assert alpha.flatten().tolist() == pytest.approx([2, 3])
    assert beta.flatten().tolist() == pytest.approx([5, 7])
    x = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64)
    found = log_density(both, x).flatten().tolist()
    assert found == pytest.approx([stats.beta.logpdf(0.4, 2, 5), stats.beta.logpdf(0.4, 3, 7)])


def test_the_form_of_a_mean_by_hand():
    """Logit log 3: a mean of 3/4; exp(-second) of 24 / 1e4: a strength of 400; alpha 300, beta 100, and the floor."""
    styles = torch.tensor([log(3), 0.0, log(1e4 / 24), log(1e4 / 9999)], dtype=torch.float64).view(1, 4, 1, 1)
    alpha, beta = concentrations(styles, "mean")
    assert alpha.flatten().tolist() == pytest.approx([300 + FLOOR, 0.5 + FLOOR])
    assert beta.flatten().tolist() == pytest.approx([100 + FLOOR, 0.5 + FLOOR])
    x = torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64)
    found = log_density(styles, x, "mean").flatten().tolist()
    assert found == pytest.approx([stats.beta.logpdf(0.7, 300.1, 100.1), stats.beta.logpdf(0.7, 0.6, 0.6)])
    grey = [(256 * 300.1 / 400.2 - 0.5) / 255, 0.5]
    assert expected(styles, "mean").flatten().tolist() == pytest.approx(grey)


def test_a_mean_of_whatever_is_said_is_finite():
    styles = torch.tensor([-1e4, 1e4, 1e4, -1e4]).view(1, 4, 1, 1).requires_grad_()
    alpha, beta = concentrations(styles, "mean")
    assert alpha.flatten().tolist() == pytest.approx([FLOOR, FLOOR])
    assert beta.flatten().tolist() == pytest.approx([1e4 + FLOOR, FLOOR])
    density = log_density(styles, dequantised(torch.ones(1, 1, 1, 1)), "mean")
    density.sum().backward()
    assert density.isfinite().all()
    assert styles.grad.isfinite().all()


def test_alpha_and_beta_never_vanish_nor_overflow():
    alpha, beta = concentrations(torch.tensor([-1e4, 1e4]).view(1, 2, 1, 1))
    assert alpha.item() == pytest.approx(FLOOR)
    assert beta.item() == pytest.approx(1e4 + FLOOR)
    styles = torch.full((1, 2, 1, 1), -1e4, requires_grad=True)
    density = log_density(styles, dequantised(torch.zeros(1, 1, 1, 1)))
    density.sum().backward()
    assert density.isfinite().all()
    assert styles.grad.isfinite().all()


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    styles = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    x = torch.rand(1, 1, 2, 3, dtype=torch.float64) * 0.8 + 0.1
    for form in ("shapes", "mean"):
        assert torch.autograd.gradcheck(lambda s, form=form: log_density(s, x, form), (styles,))


def test_under_autocast_it_is_computed_in_float32():
    torch.manual_seed(0)
    styles, x = torch.randn(1, 4, 5, 5).bfloat16(), torch.rand(1, 1, 5, 5) * 0.9 + 0.05
    with torch.autocast("cpu", torch.bfloat16):
        found = log_density(styles, x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, log_density(styles.float(), x))


def test_dequantised_grey_values_fill_their_step():
    """Grey value 51 of 255 is the step from 51/256 to 52/256; without a generator its middle."""
    image = torch.full((1, 1, 100, 100), 51 / 255)
    assert torch.allclose(dequantised(image), torch.tensor(51.5 / 256))
    spread = 256 * dequantised(image, torch.Generator().manual_seed(0))
    assert 51 <= spread.min() < 51.01
    assert 51.99 < spread.max() <= 52.001
    assert spread.mean().item() == pytest.approx(51.5, abs=0.01)


def test_black_and_white_lie_within_the_open_interval():
    ends = torch.tensor([0.0, 1.0]).repeat(10_000).view(1, 1, 100, 200)
    x = dequantised(ends, torch.Generator().manual_seed(0))
    assert x.min() > 0
    assert x.max() < 1


def test_no_density_of_a_constant_picture_beats_nothing_to_send():
    """Spread over its step, a grey value's log density is at most log 256 on average, whatever alpha and beta."""
    image = torch.full((1, 1, 100, 100), 51 / 255)
    x = dequantised(image, torch.Generator().manual_seed(0)).double()
    mean = 51.5 / 256
    for strength in (1e3, 1e4, 1e5, 1e6):
        density = log_density(raw(mean * strength, (1 - mean) * strength).expand(1, 2, 100, 100), x).mean().item()
        assert density < log(256)


def test_the_mean_is_on_the_rulers_scale():
    """Alpha / (alpha + beta) at the middle of a grey value's step is that grey value."""
    styles = raw(51.5, 256 - 51.5)
    assert expected(styles).item() == pytest.approx(51 / 255)
    assert expected(raw(0.11, 1e4)).item() == 0

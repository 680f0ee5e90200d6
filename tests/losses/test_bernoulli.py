from math import log

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from groundglass.losses.bernoulli import expected, log_density


def logits(*probabilities):
    p = torch.tensor(probabilities, dtype=torch.float64).view(1, -1, 1, 1)
    return p.log() - (1 - p).log()


def grey(value):
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


def test_by_hand():
    """A quarter grey by a style of three quarters: 1/4 log 3/4 + 3/4 log 1/4; black and white are scipy's."""
    assert log_density(logits(0.75), grey(0.25)).item() == pytest.approx(0.25 * log(0.75) + 0.75 * log(0.25))
    for x in (0, 1):
        found = log_density(logits(0.2, 0.9), grey(float(x))).flatten().tolist()
        assert found == pytest.approx(stats.bernoulli.logpmf(x, [0.2, 0.9]).tolist())


def test_a_style_looks_like_its_probability_and_that_fits_its_own_grey_best():
    many = logits(*np.linspace(0.05, 0.95, 19))
    assert expected(many).flatten().tolist() == pytest.approx(np.linspace(0.05, 0.95, 19).tolist())
    assert log_density(many, grey(0.3)).argmax().item() == 5


def test_it_has_no_normaliser_on_grey_values():
    """Over [0, 1] it integrates to (1 - 2 p) / log((1 - p) / p): 0.455 for 1/4, and 1/2 for 1/2."""
    for p, wanted in ((0.25, 0.5 / log(3)), (0.5, 0.5)):
        mass, _ = integrate.quad(lambda x, p=p: log_density(logits(p), grey(x)).exp().item(), 0, 1)
        assert mass == pytest.approx(wanted)


def test_gradients_by_finite_differences_and_where_a_style_is_sure():
    torch.manual_seed(0)
    styles = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    x = torch.rand(1, 1, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: log_density(s, x), (styles,))
    sure = torch.tensor([-300.0, 300.0]).view(1, 2, 1, 1).requires_grad_()
    found = log_density(sure, torch.full((1, 1, 1, 1), 0.5))
    found.sum().backward()
    assert found.flatten().tolist() == pytest.approx([-150, -150])
    assert sure.grad.flatten().tolist() == pytest.approx([0.5, -0.5])


def test_under_autocast_it_is_computed_in_float32():
    styles = torch.randn(1, 2, 3, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = log_density(styles, torch.rand(1, 1, 3, 3).bfloat16())
    assert found.dtype == torch.float32

from math import log

import pytest
import torch

from groundglass.losses.shares import share_divergence, shares_of

OUTPUTS = (3, 4, 8)


def sets(*values):
    return torch.tensor([[values]], dtype=torch.uint8)


def pixels(*probabilities):
    """Logits (1, K, 1, n) of these probabilities."""
    return torch.tensor(probabilities).log().T[None, :, None]


def test_shares_are_of_pixels_that_a_label_tells():
    """Of ten pixels two say too little; of the rest four, three and one are of the groups."""
    found = shares_of(sets(3, 1, 2, 3, 4, 4, 4, 8, 12, 15), OUTPUTS)
    assert found.tolist() == pytest.approx([4 / 8, 3 / 8, 1 / 8])
    assert shares_of(sets(15, 12), OUTPUTS) is None


def test_the_divergence_by_hand():
    """Mean probabilities 1/2, 1/4, 1/4 of two pixels, against shares 1/2, 1/2, 0."""
    logits = pixels((0.75, 0.25, 1e-30), (0.25, 0.25, 0.5))
    shares = torch.tensor([0.5, 0.5, 0.0])
    assert share_divergence(logits, shares).item() == pytest.approx(0.5 * log(2))
    assert share_divergence(logits, torch.tensor([0.5, 0.25, 0.25])).item() == pytest.approx(0, abs=1e-6)


def test_it_pulls_up_what_is_called_too_rarely():
    logits = torch.tensor([30.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 2, 2).clone().requires_grad_()
    loss = share_divergence(logits, torch.tensor([0.8, 0.1, 0.1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.8 * log(0.8) + 0.2 * log(0.1) + 0.2 * 30)
    assert logits.grad[0, :, 0, 0].tolist() == pytest.approx([0.2 / 4, -0.1 / 4, -0.1 / 4])


def test_noisy_shares_pull_on_average_where_their_mean_does():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    parts = torch.tensor([[1.0, 0, 0], [0.4, 0.4, 0.2]])
    (of_mean,) = torch.autograd.grad(share_divergence(logits, parts.mean(dim=0)), logits)
    each = [torch.autograd.grad(share_divergence(logits, part), logits)[0] for part in parts]
    torch.testing.assert_close(sum(each) / 2, of_mean)


def test_under_autocast_gradients_are_those_of_float32():
    torch.manual_seed(0)
    values, shares = (8 * torch.randn(2, 3, 8, 8)).bfloat16(), torch.tensor([0.7, 0.2, 0.1])

    def slope(dtype, autocast):
        logits = values.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = share_divergence(logits, shares)
        assert loss.dtype == torch.float32
        return torch.autograd.grad(loss, logits)[0].float()

    torch.testing.assert_close(slope(torch.bfloat16, True), slope(torch.float32, False), rtol=2**-8, atol=1e-12)

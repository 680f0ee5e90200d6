from math import log

import pytest
import torch

from groundglass.losses.reconstruction import gradient_magnitude, picture_of, reconstruction_loss


def test_cross_entropy_by_hand_and_its_least_value():
    """Grey 1/4 told as 3/4: -(1/4 log 3/4 + 3/4 log 1/4); told right, the entropy of 1/4 is left."""
    target = torch.full((1, 1, 1, 1), 0.25)
    wrong, right = torch.full((1, 1, 1, 1), log(3)), torch.full((1, 1, 1, 1), -log(3))
    assert reconstruction_loss(wrong, target).item() == pytest.approx(-(0.25 * log(0.75) + 0.75 * log(0.25)))
    assert reconstruction_loss(right, target).item() == pytest.approx(-(0.25 * log(0.25) + 0.75 * log(0.75)))
    assert picture_of(right).item() == pytest.approx(0.25)


def test_the_squared_difference_by_hand():
    logits = torch.tensor([0.5, 2.0]).view(1, 1, 1, 2)
    assert reconstruction_loss(logits, torch.ones(1, 1, 1, 2), "squared").item() == pytest.approx((0.25 + 1) / 2)
    assert picture_of(logits, "squared").flatten().tolist() == [0.5, 1.0]


@pytest.mark.parametrize("kind", ["cross_entropy", "squared"])
def test_under_autocast_gradients_are_those_of_float32(kind):
    torch.manual_seed(0)
    logits, target = (8 * torch.randn(1, 1, 8, 8)).bfloat16().float(), torch.rand(1, 1, 8, 8)
    plain, cast = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    reconstruction_loss(plain, target, kind).backward()
    with torch.autocast("cpu", torch.bfloat16):
        loss = reconstruction_loss(cast.bfloat16(), target, kind)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(cast.grad, plain.grad, rtol=2**-8, atol=1e-12)


def test_a_pictures_gradient_by_hand():
    """A corner: central differences of 1/2 each way, and 1/2 along one side."""
    image = torch.zeros(1, 1, 4, 4)
    image[..., 2:, 2:] = 1.0
    steep = gradient_magnitude(image)[0, 0]
    assert steep[0, 0] == 0
    assert steep[3, 1].item() == steep[1, 3].item() == 0.5
    assert steep[2, 2].item() == pytest.approx(0.5**0.5)
    assert steep[1, 1].item() == 0
    assert gradient_magnitude((torch.rand(1, 1, 9, 9) > 0.5).float()).max() <= 0.5**0.5 + 1e-6

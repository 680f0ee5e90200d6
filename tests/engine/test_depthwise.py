import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it

from groundglass.engine import depthwise
from groundglass.engine.depthwise import FastGradients, image_gradient, weight_gradient

HOW = [(5, 1, (2, 2)), (5, 2, (0, 0)), (5, 2, (1, 2)), (3, 2, (0, 1)), (7, 1, (3, 3)), (7, 2, (3, 0)), (9, 2, (4, 4))]


def draw(*shape, seed=0, kind=torch.double):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


@pytest.mark.parametrize(("kernel", "stride", "padding"), HOW)
@pytest.mark.parametrize("size", [(13, 18), (14, 17)])
def test_gradients_are_those_of_autograd(kernel, stride, padding, size):
    image, weight = draw(2, 6, *size).requires_grad_(), draw(6, 1, kernel, kernel, seed=1).requires_grad_()
    answer = F.conv2d(image, weight, stride=stride, padding=padding, groups=6)
    gradient = draw(*answer.shape, seed=2)
    of_image, of_weight = torch.autograd.grad(answer, (image, weight), gradient)
    with torch.no_grad():
        torch.testing.assert_close(weight_gradient(image, gradient, kernel, stride, padding), of_weight)
        found = image_gradient(image, weight, gradient, stride, padding)
    torch.testing.assert_close(found.double(), of_image, atol=1e-4, rtol=1e-4)  # float32 where there is a stride


def test_a_weights_gradient_by_hand():
    """One channel, an image of 1s but for a 2 in the middle, no padding: a single pixel of g sees all of it."""
    image = torch.ones(1, 1, 5, 5)
    image[0, 0, 2, 2] = 2
    found = weight_gradient(image, torch.full((1, 1, 1, 1), 3.0), 5, 1, (0, 0))
    torch.testing.assert_close(found, 3 * image)


def under_autocast(mode, tensors, **how):
    """The convolution, and the gradients of half the sum of its squares."""
    with torch.autocast("cpu", torch.bfloat16), mode:
        answer = F.conv2d(*tensors, **how)
    return answer.detach(), torch.autograd.grad(answer, tensors, answer.detach())


def leaves(kernel, groups=6):
    shapes = ((2, 6, 12, 12), (6, 6 // groups, kernel, kernel), (6,))
    return [draw(*shape, seed=seed, kind=torch.float).requires_grad_() for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize(("kernel", "stride", "padding"), HOW)
def test_forwards_is_as_under_autocast_and_gradients_are_as_near(monkeypatch, kernel, stride, padding):
    tensors, how = leaves(kernel), {"stride": stride, "padding": padding, "groups": 6}
    seen = []
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *words: (seen.append(words), weight_gradient(*words))[1])
    answer, gradients = under_autocast(FastGradients(), tensors, **how)
    plain, expected = under_autocast(torch.overrides.BaseTorchFunctionMode(), tensors, **how)
    assert answer.dtype == torch.bfloat16
    assert torch.equal(answer, plain)
    assert len(seen) == 1
    for found, like in zip(gradients, expected, strict=True):
        assert found.dtype == torch.float32
        assert (found - like).norm() < 0.01 * like.norm()


@pytest.mark.parametrize(
    ("kernel", "groups", "how"),
    [(3, 6, {"padding": 1}), (5, 1, {}), (5, 2, {}), (5, 6, {"padding": "same"}), (5, 6, {"dilation": 2})],
)
def test_what_is_fast_or_otherwise_is_left_alone(monkeypatch, kernel, groups, how):
    monkeypatch.delattr(depthwise, "weight_gradient")
    tensors = leaves(kernel, groups)
    first, second = (
        under_autocast(mode, tensors, groups=groups, **how)
        for mode in (FastGradients(), torch.overrides.BaseTorchFunctionMode())
    )
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_without_autocast_it_is_left_alone():
    image, weight, _ = leaves(5)
    with FastGradients():
        answer = F.conv2d(image, weight, groups=6)
    assert answer.grad_fn.name() == "ConvolutionBackward0"


def test_what_is_frozen_gets_no_gradient():
    image, weight, _ = leaves(5)
    with torch.autocast("cpu", torch.bfloat16), FastGradients():
        F.conv2d(image.detach(), weight, groups=6).sum().backward()
        F.conv2d(image, weight.detach(), groups=6).sum().backward()
    assert weight.grad.shape == weight.shape
    assert image.grad.shape == image.shape


def test_gradients_have_gradients():
    image, weight, _ = leaves(5)
    with torch.autocast("cpu", torch.bfloat16):
        slopes = []
        for mode in (FastGradients(), torch.overrides.BaseTorchFunctionMode()):
            with mode:
                answer = F.conv2d(image, weight, groups=6).float().square().sum()
            (slope,) = torch.autograd.grad(answer, image, create_graph=True)
            slopes.append(torch.autograd.grad(slope.square().sum(), (image, weight)))
    for found, like in zip(*slopes, strict=True):
        assert (found - like).norm() < 0.02 * like.norm()

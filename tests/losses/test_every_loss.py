"""What holds for every function of the folder that takes logits and label sets."""

import inspect

import pytest
import torch

from groundglass.lookup import find_module, names

PACKAGE = "groundglass.losses"
OUTPUTS = (3, 4, 8)


def found():
    for name in names(PACKAGE):
        module = find_module(PACKAGE, name)
        for key, function in vars(module).items():
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            if own and list(inspect.signature(function).parameters)[:3] == ["logits", "label_set", "outputs"]:
                yield pytest.param(function, id=f"{name}.{key}")


def total(answer):
    return sum(answer.values()) if isinstance(answer, dict) else answer


def some(confidence):
    torch.manual_seed(1)
    logits = (confidence * torch.randn(2, 3, 16, 16)).bfloat16().float()
    sets = torch.tensor([3, 4, 8, 12, 15], dtype=torch.uint8)[torch.randint(0, 5, (2, 16, 16))]
    return logits, sets


def gradient(loss, logits, sets, *, autocast):
    logits = logits.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        answer = total(loss(logits.bfloat16() if autocast else logits, sets, OUTPUTS))
    answer.backward()
    return answer, logits.grad


def test_there_are_losses():
    assert {parameter.id for parameter in found()} >= {"label_set.cross_entropy", "region_dice.region_dice"}


@pytest.mark.parametrize("confidence", [1, 8])
@pytest.mark.parametrize("loss", list(found()))
def test_under_autocast_gradients_are_those_of_float32(loss, confidence):
    logits, sets = some(confidence)
    expected_loss, expected = gradient(loss, logits, sets, autocast=False)
    answer, found = gradient(loss, logits, sets, autocast=True)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, expected_loss)
    # one rounding, of the gradient itself to bfloat16
    torch.testing.assert_close(found, expected, rtol=2**-8, atol=1e-12)


@pytest.mark.parametrize("loss", list(found()))
def test_the_layout_in_memory_changes_nothing(loss):
    logits, sets = some(2)
    torch.testing.assert_close(
        total(loss(logits.contiguous(memory_format=torch.channels_last), sets, OUTPUTS)),
        total(loss(logits, sets, OUTPUTS)),
    )


@pytest.mark.parametrize("loss", list(found()))
def test_a_step_against_the_gradient_lowers_the_loss(loss):
    logits, sets = some(1)
    before, slope = gradient(loss, logits, sets, autocast=False)
    assert total(loss(logits - 10 * slope, sets, OUTPUTS)) < before

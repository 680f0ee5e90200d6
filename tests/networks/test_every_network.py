"""What holds for every network of the folder."""

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.lookup import find, names
from groundglass.networks._network import Network

PACKAGE = "groundglass.networks"
SMALL = {"unet": {"widths": (4, 8, 16)}}


def make(name, **settings):
    torch.manual_seed(0)
    return find(PACKAGE, name)(**SMALL.get(name, {}), **settings)


@pytest.fixture(params=names(PACKAGE))
def name(request):
    return request.param


def image(network, count=2, tiles=2):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(
        count, network.in_channels, tiles * network.stride, (tiles + 1) * network.stride, generator=generator
    )


@pytest.mark.parametrize(("in_channels", "classes"), [(1, 3), (3, 4)])
def test_gives_every_pixel_a_logit_for_every_class(name, in_channels, classes):
    network = make(name, in_channels=in_channels, classes=classes)
    x = image(network)
    assert isinstance(network, Network)
    assert network(x).shape == (2, classes, *x.shape[-2:])


def test_needs_no_setting_and_expects_a_slice_of_ct(name):
    network = find(PACKAGE, name)()
    assert (network.in_channels, network.classes) == (1, 4)


def test_a_size_that_does_not_divide_is_answered_with_one_that_does(name):
    network = make(name)
    stride = network.stride
    with pytest.raises(UsageError, match=rf"does not divide by {stride}.* Pad it to \({2 * stride}, {stride}\)"):
        network(torch.rand(1, 1, stride + 1, stride))


def test_another_number_of_channels_is_refused(name):
    network = make(name)
    with pytest.raises(UsageError, match=r"Expected .batch, 1, height, width"):
        network(torch.rand(1, 3, network.stride, network.stride))


def test_in_eval_mode_a_slice_alone_gets_the_answer_it_gets_in_a_batch(name):
    network = make(name)
    x = image(network, count=3)
    network(x)  # so that batch statistics are not those of an untrained network
    network.eval()
    with torch.no_grad():
        together = network(x)
        torch.testing.assert_close(network(x), together, rtol=0, atol=0)
        torch.testing.assert_close(torch.cat([network(one) for one in x.split(1)]), together, rtol=1e-4, atol=1e-5)


def test_bfloat16_and_channels_last_train_and_answer_much_the_same(name):
    network = make(name)
    x = image(network)
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x.contiguous(memory_format=torch.channels_last))
    found.float().square().mean().backward()
    assert found.dtype in (torch.bfloat16, torch.float32)
    assert torch.nn.functional.cosine_similarity(found.float().flatten(), expected.flatten(), dim=0) > 0.9
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_every_weight_gets_a_gradient(name):
    network = make(name)
    network(image(network)).square().mean().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []

"""What holds for every network of the folder."""

import re

import pytest
import torch
from torch import nn

from groundglass.errors import UsageError
from groundglass.lookup import find, names
from groundglass.networks._count import parameters
from groundglass.networks._network import Network

PACKAGE = "groundglass.networks"
SMALL = {
    "attention_unet": {"widths": (4, 8, 16)},
    "deeplab_v3_plus": {"encoder": "resnet18"},
    "drsegunet": {"widths": (4, 8, 16)},
    "fcn8s": {"hidden": 16},
    "inf_net": {"encoder": "resnet18", "channels": 8},
    "inf_net_multi": {"widths": (4, 8, 16, 16)},
    "ma_net": {"encoder": "resnet18", "widths": (16, 16, 8, 8, 4)},
    "plain_unet": {"widths": (4, 8, 16)},
    "psp_net": {"encoder": "resnet18"},
    "r2unet": {"widths": (4, 8, 16)},
    "segnet": {"stages": ((4, 2), (8, 2), (8, 3))},
    "stichnet2020": {"widths": (8, 8, 4), "blocks": 8},
    "svae": {"widths": (4, 8, 80)},
    "tv_unet": {"widths": (4, 8, 16)},
    "unet": {"widths": (4, 8, 16)},
    "unet_efficientnet": {"widths": (16, 16, 8, 8, 4)},
    "unet_encoder": {"encoder": "resnet18", "widths": (16, 16, 8, 8, 4)},
    "unet_plus_plus": {"widths": (4, 8, 16)},
    "vq_unet": {"encoder": "resnet18", "widths": (16, 16, 8, 8, 4), "codes": 64, "code_channels": 16},
}
ALSO = {  # other forms, by settings
    "attention_unet": {"grid": False},
    "deeplab_v3_plus": {"output_stride": 8},
    "drsegunet": {"upsampling": "bilinear"},
    "psp_net": {"auxiliary": True},
    "stichnet2020": {"latents": 2, "styles_of": (2, 1, 1, 1)},
    "svae": {"styles_at": 2, "styles_of": (2, 1, 1, 1)},
    "unet_encoder": {"encoder": "vgg16"},
    "unet_plus_plus": {"deep_supervision": True},
    "vq_unet": {"encoder": "vgg16"},
}
PUBLISHED = {  # weights with one channel in and four classes out; the networks' own tests hold them to their papers
    "attention_unet": 36_931_271,
    "deeplab_v3_plus": 45_664_212,
    "drsegunet": 5_477_428,
    "fcn8s": 134_279_372,
    "inf_net": 31_075_167,
    "inf_net_multi": 17_262_020,
    "ma_net": 31_777_796,
    "plain_unet": 2_158_468,
    "psp_net": 46_577_604,
    "r2unet": 39_084_612,
    "segnet": 29_436_228,
    "stichnet2020": 5_674_173,
    "svae": 5_779_702,
    "tv_unet": 31_036_676,
    "unet": 31_036_676,
    "unet_efficientnet": 5_197_508,
    "unet_encoder": 24_430_020,
    "unet_plus_plus": 9_045_348,
    "vq_unet": 32_833_205,
}


def make(name, **settings):
    torch.manual_seed(0)
    network = find(PACKAGE, name)(**SMALL.get(name, {}) | settings)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0  # so that a training step is the same twice
    return network


@pytest.fixture(params=names(PACKAGE))
def name(request):
    return request.param


@pytest.fixture(params=[*((name, {}) for name in names(PACKAGE)), *ALSO.items()], ids=str)
def network(request):
    name, settings = request.param
    return make(name, **settings)


def image(network, count=2, tiles=2):
    height, width = tiles * network.stride, (tiles + 1) * network.stride
    return torch.rand(count, network.in_channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("in_channels", "classes"), [(1, 2), (3, 4), (6, 3)])
def test_gives_every_pixel_a_logit_for_every_class(name, in_channels, classes):
    network = make(name, in_channels=in_channels, classes=classes).eval()
    x = image(network, count=1)
    assert isinstance(network, Network)
    with torch.no_grad():
        assert network(x).shape == (1, classes, *x.shape[-2:])


def test_needs_no_setting_and_is_of_the_published_size(name):
    with torch.device("meta"):
        network = find(PACKAGE, name)()
    assert (network.in_channels, network.classes) == (1, 4)
    assert parameters(network) == PUBLISHED[name]


def test_names_its_paper_in_one_line_with_its_year(name):
    paper = find(PACKAGE, name).paper
    assert re.search(r"\b(19|20)\d\d\b", paper)
    assert "\n" not in paper


def test_a_size_that_does_not_divide_is_answered_with_one_that_does(network):
    stride = network.stride
    with pytest.raises(UsageError, match=rf"does not divide by {stride}.* Pad it to \({2 * stride}, {stride}\)"):
        network(torch.rand(1, 1, stride + 1, stride))
    with pytest.raises(UsageError, match=rf"of \(1, {stride}\) pixels .* Pad it to \({stride}, {stride}\)"):
        network(torch.rand(1, 1, 1, stride))  # less than the pooling takes


def test_another_number_of_channels_is_refused(network):
    with pytest.raises(UsageError, match=r"Expected .batch, 1, height, width"):
        network(torch.rand(1, 3, network.stride, network.stride))


def test_in_eval_mode_a_slice_alone_gets_the_answer_it_gets_in_a_batch(network):
    x = image(network, count=3)
    with torch.no_grad():
        network(x)  # so that batch statistics are not those of an untrained network
        network.eval()
        together = network(x)
        torch.testing.assert_close(network(x), together, rtol=0, atol=0)
        torch.testing.assert_close(torch.cat([network(one) for one in x.split(1)]), together, rtol=1e-4, atol=1e-5)


def test_bfloat16_and_channels_last_train_and_answer_much_the_same(network):
    x = image(network)
    with torch.no_grad():
        expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        answers = network.forward_all(x.contiguous(memory_format=torch.channels_last))
        found = network(x.contiguous(memory_format=torch.channels_last))
    sum((answer.float() * torch.rand_like(expected[:, :1])).sum() for answer in answers.values()).backward()
    assert found.dtype in (torch.bfloat16, torch.float32)
    assert torch.nn.functional.cosine_similarity(found.float().flatten(), expected.flatten(), dim=0) > 0.9
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_every_weight_gets_a_gradient(network):
    answers = network.forward_all(image(network)).values()
    sum((answer * torch.rand_like(answer)).sum() for answer in answers).backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_all_outputs_are_of_the_images_size_and_the_answer_is_made_of_them(network):
    x = image(network)
    network.eval()
    with torch.no_grad():
        answers, answer = network.forward_all(x), network(x)
    assert {output.shape[-2:] for output in answers.values()} == {x.shape[-2:]}
    mean = torch.stack([output for output in answers.values() if output.shape == answer.shape]).mean(dim=0)
    assert any(torch.equal(answer, candidate) for candidate in [mean, *answers.values()])


def test_its_maps_are_of_the_images_size_in_0_to_1(network):
    x = image(network)
    with torch.no_grad():
        shown = network.eval().maps(x)
    assert all(values.shape == (len(x), *x.shape[-2:]) for values in shown.values())
    assert all(values.dtype == torch.float32 and 0 <= values.min() <= values.max() <= 1 for values in shown.values())


def test_nothing_of_a_picture_gets_past_what_comes_between_the_two_ways(network):
    """Of those whose features can be changed: left as they are, doubled, and all of them 0."""
    if not network.changeable:
        pytest.skip("has no door")
    x = image(network)
    network.eval()
    with torch.no_grad():
        expected = network(x)
        with network.changed(lambda features: features):
            assert torch.equal(network(x), expected)
        with network.changed(lambda features: torch.cat([features, features])):
            torch.testing.assert_close(network(x), torch.cat([expected, expected]), rtol=1e-4, atol=1e-5)
        with network.changed(torch.zeros_like):
            blind = network(x)
        assert torch.equal(network(x), expected)
    torch.testing.assert_close(blind[:1], blind[1:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected[:1], expected[1:], rtol=1e-4, atol=1e-5)

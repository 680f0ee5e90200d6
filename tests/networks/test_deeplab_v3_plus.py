import pytest
import torch
from torch import nn

from groundglass.errors import UsageError
from groundglass.networks.deeplab_v3_plus import DeepLabV3Plus


@pytest.mark.parametrize(("output_stride", "rates"), [(16, {6, 12, 18}), (8, {12, 24, 36})])
def test_rates_and_sizes_by_output_stride(output_stride, rates):
    network = DeepLabV3Plus(encoder="resnet18", output_stride=output_stride).eval()
    assert {layer.dilation[0] for layer in network.pyramid.modules() if isinstance(layer, nn.Conv2d)} == {1} | rates
    seen = {}
    for name in ("pyramid", "narrow", "refine"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _input, out, name=name: seen.update({name: tuple(out.shape[1:])})
        )
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 96))
    small = (256, 64 // output_stride, 96 // output_stride)
    assert seen == {"pyramid": small, "narrow": (48, 16, 24), "refine": (256, 16, 24)}


def test_every_3_by_3_filter_after_the_encoder_is_separable():
    network = DeepLabV3Plus(encoder="resnet18")
    layers = [*network.pyramid.modules(), *network.narrow.modules(), *network.refine.modules()]
    wide = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    assert [layer.groups for layer in wide] == [512, 512, 512, 304, 256]
    assert all(layer.groups == layer.in_channels for layer in wide)


def test_other_output_strides_are_refused():
    with pytest.raises(UsageError, match=r"no output stride 32\. Expected 16 or 8"):
        DeepLabV3Plus(output_stride=32)


def test_training_on_a_batch_of_one_is_refused():
    network = DeepLabV3Plus(encoder="resnet18")
    with pytest.raises(UsageError, match=r"batch of one\. Expected at least two"):
        network(torch.rand(1, 1, 32, 32))

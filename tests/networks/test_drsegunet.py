import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks._count import parameters
from groundglass.networks.drsegunet import DRSegUNet, Residual, Stem, Up
from groundglass.networks.plain_unet import PlainUNet

WEIGHTS = 5_484_276  # of section 5.3


def test_weights_are_as_many_as_the_thesis_counts():
    assert parameters(DRSegUNet(1, 4), statistics=True) == WEIGHTS


def test_the_tables_shortcuts_would_make_more():
    """3 x 3 instead of 1 x 1: eight more weights for each; SYSTEMS' 6,877,044."""
    shortcuts = [module.short[0] for module in DRSegUNet().modules() if isinstance(module, Stem | Residual)]
    assert len(shortcuts) == 9
    assert WEIGHTS + 8 * sum(layer.weight.numel() for layer in shortcuts) == 6_877_044


def test_sizes_and_channels_are_those_of_the_tables():
    """Of 64 x 64 where the tables have 512 x 512."""
    network = DRSegUNet().eval()
    seen = []
    for block in (network.stem, *network.down, network.bridge, *network.up):
        block.register_forward_hook(lambda _module, _input, output: seen.append(tuple(output.shape[1:3])))
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 64))
    down = [(16, 64), (32, 32), (64, 16), (128, 8), (256, 4)]
    assert seen == [*down, (256, 4), (256, 8), (128, 16), (64, 32), (32, 64)]


def middle(layer, weight, bias):
    layer.weight.zero_()[0, 0, layer.weight.shape[2] // 2, layer.weight.shape[3] // 2] = weight
    layer.bias.fill_(bias)


def test_a_residual_unit_activates_before_it_convolves():
    """x = -2: ReLU 0, plus 3; ReLU 3, times 2 plus 1 = 7; shortcut -1: 6 in all."""
    unit = Residual(1, 1, stride=1).eval()
    with torch.no_grad():
        middle(unit.main[0][2], weight=1, bias=3)
        middle(unit.main[1][2], weight=2, bias=1)
        middle(unit.short[0], weight=0.5, bias=0)
        assert unit(torch.full((1, 1, 1, 1), -2.0)).item() == pytest.approx(6, rel=1e-4)


def test_the_stem_convolves_first():
    """x = -2: times -1 = 2; ReLU 2, times 2 plus 1 = 5; shortcut -1: 4 in all."""
    stem = Stem(1, 1).eval()
    with torch.no_grad():
        middle(stem.main[0], weight=-1, bias=0)
        middle(stem.main[1][2], weight=2, bias=1)
        middle(stem.short[0], weight=0.5, bias=0)
        assert stem(torch.full((1, 1, 1, 1), -2.0)).item() == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_up_sampling_without_weights_keeps_the_channels_from_below(upsampling):
    """Fewer weights by the transposed convolution's, more by the wider concatenation's."""
    below, beside, out = 8, 4, 6
    with_weights, without = Up(below, beside, out, "transposed"), Up(below, beside, out, upsampling)
    wider = (below - out) * (2 + 9 * out + out)  # batch norm, 3 x 3, 1 x 1
    assert parameters(without) == parameters(with_weights) - (9 * below * out + out) + wider


@pytest.mark.parametrize(
    ("upsampling", "row"), [("nearest", [0, 0, 4, 4]), ("bilinear", [0, 1, 3, 4])], ids=["nearest", "bilinear"]
)
def test_up_sampling_without_weights_by_hand(upsampling, row):
    """0 and 4, doubled."""
    enlarged = Up(1, 1, 1, upsampling).raise_(torch.tensor([[[[0.0, 4.0], [0.0, 4.0]]]]))
    assert enlarged[0, 0, 1].tolist() == row


def test_another_up_sampling_is_refused():
    with pytest.raises(UsageError, match=r"no up-sampling 'cubic'. Expected one of transposed, nearest, bilinear"):
        DRSegUNet(upsampling="cubic")


@pytest.mark.parametrize("kind", [DRSegUNet, PlainUNet])
def test_checkpointing_changes_neither_answer_nor_gradient_nor_batch_statistics(kind):
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    told = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network = kind(widths=(4, 8, 8), checkpointing=checkpointing).train()
        logits = network(image)
        logits.square().mean().backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        told.append({"logits": logits.detach()} | gradients | dict(network.named_buffers()))
    plain, again = told
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        assert torch.equal(value, again[name]), name
    assert all(int(value) == 1 for name, value in again.items() if name.endswith("num_batches_tracked"))


def test_checkpointing_forgets_what_is_inside_of_the_units():
    def kept(checkpointing):
        sizes = []
        network = DRSegUNet(widths=(4, 8, 8), checkpointing=checkpointing).train()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            network(torch.rand(2, 1, 32, 32))
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)

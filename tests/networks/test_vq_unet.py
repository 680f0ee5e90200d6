import copy

import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks._count import parameters
from groundglass.networks._vq_branch import VQBranch
from groundglass.networks.unet_encoder import UNetEncoder
from groundglass.networks.vq_unet import VQUNet

WIDTHS = (16, 16, 8, 8, 4)


def tiny(**settings):
    torch.manual_seed(0)
    return VQUNet(**{"encoder": "resnet18", "widths": WIDTHS, "codes": 16, "code_channels": 8} | settings)


def image():
    return torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def test_the_codes_stand_beside_what_went_down_at_a_quarter():
    """ResNet-18 has 64 channels there, and two codes of 8; the others are unet_encoder's."""
    assert [block[0].in_channels for block in tiny().decoder] == [512 + 256, 16 + 128, 16 + 64 + 2 * 8, 8 + 64, 8]


def test_it_is_unet_encoder_and_the_branch_by_hand():
    """1 x 1 and batch norm to each code; the drawing's 3 x 3 at three sizes; 128 more channels to the way up."""
    to_codes = (2048 + 256) * 64 + 2 * 2 * 64
    drawing = 9 * (128 * 64 + 64 * 32 + 32 * 16) + 2 * (64 + 32 + 16) + 16 + 1
    with torch.device("meta"):
        plain, whole = UNetEncoder(encoder="resnet50"), VQUNet()
    assert parameters(whole) - parameters(plain) == to_codes + drawing + 9 * 128 * 64


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "efficientnet_lite0", "vgg16"])
def test_any_encoder_does(encoder):
    network = tiny(encoder=encoder).eval()
    with torch.no_grad():
        answers = network.forward_all(torch.rand(1, 1, 32, 64))
    assert {name: answer.shape for name, answer in answers.items()} == {
        "logits": (1, 4, 32, 64),
        "reconstruction": (1, 1, 32, 64),
    }


def test_codes_move_in_training_alone_and_so_do_its_answers():
    network, x = tiny().train(), image()
    before = network.branch.top.codes.clone()
    with torch.no_grad():
        network(x)
    assert not torch.equal(network.branch.top.codes, before)
    after = copy.deepcopy(network.eval().state_dict())
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
    assert all(torch.equal(value, after[name]) for name, value in network.state_dict().items())


def test_a_kept_state_gives_the_same_answer_and_holds_the_codes():
    network, x = tiny(), image()
    with torch.no_grad():
        network.train()(x)
        other = tiny()
        other.load_state_dict(network.state_dict())
        assert torch.equal(other.eval()(x), network.eval()(x))
    names = {name for name in network.state_dict() if name.startswith("branch.top.")}
    assert names == {"branch.top.codes", "branch.top.share", "branch.top.used"}


def test_the_segmentation_sees_the_codes_and_the_encoder_is_taught_by_the_drawing():
    network, x = tiny(), image()
    with torch.no_grad():
        network.train()(x)
        network.eval()
        before = network(x)
        network.branch.bottom.codes.neg_()
        assert not torch.allclose(network(x), before)
    coded = network.train().forward_coded(x)
    (slope,) = torch.autograd.grad(coded.reconstruction.square().mean(), [network.encoder.conv1.weight])
    assert slope.any()


def test_codes_are_a_parameter_where_eq_2_moves_them():
    names = {name for name, _ in tiny(moving_average=False).named_parameters()}
    assert {"branch.top.codes", "branch.bottom.codes"} <= names
    assert not {"branch.top.codes", "branch.bottom.codes"} & {name for name, _ in tiny().named_parameters()}
    network = tiny(moving_average=False)
    network.forward_coded(image()).loss.backward()
    assert network.branch.bottom.codes.grad.any()


def test_it_learns_to_draw_a_picture():
    network, x = tiny(codes=64).train(), image()[:, :, :32, :32]
    x = torch.where(x.new_ones(2, 1, 32, 32).cumsum(3) > 16, 0.8, 0.2)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    errors = []
    for _ in range(40):
        coded = network.forward_coded(x)
        error = (coded.reconstruction - x).square().mean()
        optimiser.zero_grad()
        (error + coded.loss).backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.04 < 0.08 < errors[0]  # one grey for all is off by 0.09


def test_an_encoder_without_features_at_a_quarter_is_refused():
    with pytest.raises(UsageError, match=r"features at 1/2, 1/8 of .* Expected some at 1/4"):
        VQBranch({2: 8, 8: 8}, 1, 4, 4, moving_average=True)

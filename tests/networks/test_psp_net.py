import pytest
import torch

from groundglass.errors import UsageError
from groundglass.networks._layers import Pooled
from groundglass.networks.psp_net import PSPNet


def test_a_level_of_the_pyramid_by_hand():
    """Four parts of means 1, 2, 3 and 4, mixed by 1, enlarged with corners on corners."""
    level = Pooled(1, 1, bins=2).eval()
    parts = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    with torch.no_grad():
        level.mix[0].weight.fill_(1)
        found = level((parts + torch.tensor([[-0.5, 0.5, -0.5, 0.5]])).view(1, 1, 4, 4))
    assert found[0, 0, 0].tolist() == pytest.approx([1, 4 / 3, 5 / 3, 2], rel=1e-4)
    assert found[0, 0, :, 0].tolist() == pytest.approx([1, 5 / 3, 7 / 3, 3], rel=1e-4)


def test_the_pyramid_stands_beside_features_at_an_eighth():
    network = PSPNet(encoder="resnet18").eval()
    seen = []
    network.mix.register_forward_hook(lambda _module, inputs, _out: seen.append(tuple(inputs[0].shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 96))
    assert [level.pool.output_size for level in network.pyramid] == [1, 2, 3, 6]
    assert seen == [(512 + 4 * 128, 8, 12)]


def test_the_auxiliary_answer_is_made_before_the_last_stage():
    network = PSPNet(encoder="resnet18", auxiliary=True)
    network.forward_all(torch.rand(2, 1, 32, 32))["auxiliary"].sum().backward()
    assert network.auxiliary[1].weight.grad is not None
    assert all(weight.grad is None for weight in network.encoder.layer4.parameters())
    assert list(PSPNet(encoder="resnet18").eval().forward_all(torch.rand(1, 1, 32, 32))) == ["logits"]


def test_training_on_a_batch_of_one_is_refused():
    with pytest.raises(UsageError, match=r"batch of one\. Expected at least two"):
        PSPNet(encoder="resnet18")(torch.rand(1, 1, 32, 32))

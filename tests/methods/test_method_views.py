import pytest
import torch

from groundglass.augment.strong import Strong
from groundglass.batches import Unlabelled
from groundglass.errors import UsageError
from groundglass.methods import _views
from groundglass.methods._views import changeable, dropped, strong_view
from groundglass.networks.segnet import SegNet
from groundglass.networks.unet import UNet


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def halves():
    """Four slices, each of one grey and one label set; the greys are the sets' as shares of 16."""
    sets = torch.tensor([3, 4, 8, 15], dtype=torch.uint8).view(4, 1, 1).expand(4, 24, 24)
    return Unlabelled(sets.unsqueeze(1) / 16), sets


def test_what_is_pasted_into_the_picture_is_pasted_into_what_is_said_of_it(monkeypatch):
    still = Strong(brightness=0, contrast=0, gamma=0, blur_share=0, noise=0, cutout_share=0)
    monkeypatch.setattr(_views, "STRONG", still)
    weak, sets = halves()
    image, said = strong_view(weak, sets, seeded(), 1.0)
    torch.testing.assert_close(image, said.unsqueeze(1) / 16)
    assert not torch.equal(said, sets)


def test_a_strong_view_has_other_greys_and_moves_no_pixel():
    weak, sets = halves()
    image, said = strong_view(weak, sets, seeded(), 0.0)
    assert torch.equal(said, sets)
    assert image.shape == weak.image.shape
    assert 0 <= image.min() <= image.max() <= 1
    assert all(not torch.equal(one, other) for one, other in zip(image, weak.image, strict=True))
    edge = torch.full((1, 1, 24, 24), 0.2)
    edge[..., 12:] = 0.8
    image, _ = strong_view(Unlabelled(edge), sets[:1], seeded(), 0.0)
    step = (image[..., 1:] - image[..., :-1]).mean(dim=2).flatten()
    assert int(step.argmax()) == 11


def test_views_are_the_generators():
    weak, sets = halves()
    first, again, other = (strong_view(weak, sets, seeded(seed), 0.5) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_whole_channels_are_dropped_and_the_mean_stays():
    """Of ones, a quarter becomes 0 and the rest 4/3, in each picture another quarter."""
    found = dropped(torch.ones(50, 40, 2, 3), 0.25, seeded())
    each = found[:, :, 0, 0]
    assert (found == each[..., None, None]).all()
    assert sorted(set(each.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert (each == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(each[0], each[1])


def test_nothing_and_everything_can_be_dropped():
    features = torch.rand(2, 3, 2, 2)
    assert torch.equal(dropped(features, 0.0, seeded()), features)
    assert not dropped(features, 1.0, seeded()).any()


def test_a_network_whose_features_cannot_be_changed_is_refused_in_one_line():
    network = UNet(widths=(4, 8))
    assert changeable(network, "UniMatch") is network
    with pytest.raises(UsageError, match="UniMatch drops features on their way up, and SegNet does not let it") as told:
        changeable(SegNet(stages=((4, 1),)), "UniMatch")
    assert "\n" not in str(told.value)

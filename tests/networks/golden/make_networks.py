"""Makes ``networks.json``: what reference networks answer when their weights are filled by a rule.

Ours is filled by the rule of ``make_encoders`` (each tensor drawn from a generator seeded by its own name), the
weights are copied to the reference layer by layer, and the reference's answer is written down. ``make test`` fills
ours alike and compares, without any reference.

To make the file again, in an environment of its own, from the root of the repository:

    pip install torch==2.13.0
    pip install --no-deps torchvision==0.29.2 timm==1.0.31 segmentation-models-pytorch==0.6.0 monai==1.6.1
    pip install numpy pillow pydantic pyyaml huggingface_hub safetensors tqdm
    PYTHONPATH=src:. python -m tests.networks.golden.make_networks REFERENCES

REFERENCES is a folder with clones of three public repositories, whose code is nowhere in this one:
LeeJunHyun/Image_Segmentation (7a6e5f9) and DengPingFan/Inf-Net (1617422, model_lung_infection).

It says for each case how far ours is from the reference, over all values, and stops if that is more than 1e-4.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import nn

from groundglass.networks._layers import Pooled, SharedNorm
from groundglass.networks.attention_unet import AttentionUNet, Gate
from groundglass.networks.deeplab_v3_plus import Pyramid
from groundglass.networks.inf_net import InfNet
from groundglass.networks.inf_net_multi import InfNetMulti
from groundglass.networks.ma_net import MANet
from groundglass.networks.r2unet import R2UNet
from groundglass.networks.unet_encoder import UNetEncoder
from tests.networks.golden.make_encoders import figures, fill

FILE = Path(__file__).with_name("networks.json")
Tensors = tuple[torch.Tensor, ...]


class Case(NamedTuple):
    """What is compared: ours, made and filled, and the shapes of its inputs."""

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]


CASES = {
    "attention_unet, grid=False": Case(lambda: AttentionUNet(3, 1, grid=False), ((1, 3, 32, 48),)),
    "attention_unet, Gate": Case(lambda: Gate(16), ((1, 16, 6, 8), (1, 16, 6, 8))),
    "deeplab_v3_plus, Pyramid": Case(lambda: Pyramid(32, (6, 12, 18), 0.5), ((1, 32, 16, 24),)),
    "inf_net": Case(lambda: InfNet(3, 1), ((1, 3, 64, 96),)),
    "inf_net_multi": Case(lambda: InfNetMulti(6, 3), ((1, 6, 32, 48),)),
    "ma_net": Case(lambda: MANet(3, 4, "resnet18"), ((1, 3, 64, 96),)),
    "psp_net, Pooled in 6": Case(lambda: Pooled(32, 16, bins=6), ((1, 32, 16, 22),)),
    "r2unet": Case(lambda: R2UNet(3, 1), ((1, 3, 32, 48),)),
    "unet_encoder": Case(lambda: UNetEncoder(3, 4, "resnet18"), ((1, 3, 64, 96),)),
}


def alike(network: nn.Module) -> nn.Module:
    """The network with the statistics of a shared layer the same in each of its passes: the references have one set."""
    for norm in network.modules():
        if isinstance(norm, SharedNorm):
            for other in norm.others:
                other.running_mean.copy_(norm.running_mean)
                other.running_var.copy_(norm.running_var)
    return network


def inputs(case: Case) -> Tensors:
    """In [0, 1]."""
    generator = np.random.default_rng(0)
    return tuple(torch.from_numpy(generator.random(shape, dtype=np.float32)) for shape in case.shapes)


def answer(network: nn.Module, x: Tensors) -> torch.Tensor:
    """Of several outputs, all in a row: (1, outputs, H, W)."""
    with torch.no_grad():
        answers = network.forward_all(*x).values() if hasattr(network, "forward_all") else [network(*x)]
    return torch.cat(list(answers), dim=1)


# What follows needs the references.


def defined(network: nn.Module, _x: Tensors) -> list[nn.Module]:
    """The layers with weights, in the order in which they are written down."""
    return [
        module
        for module in network.modules()
        if any(parameter is not None for parameter in module._parameters.values())
        and (isinstance(module, SharedNorm) or not list(module.children()))
    ]


def executed(network: nn.Module, x: Tensors) -> list[nn.Module]:
    """The layers with weights, in the order in which they first run."""
    seen: dict[nn.Module, None] = {}
    hooks = [layer.register_forward_hook(lambda module, *_: seen.setdefault(module)) for layer in defined(network, x)]
    with torch.no_grad():
        network(*x)
    for hook in hooks:
        hook.remove()
    return list(seen)


def copy(ours: list[nn.Module], theirs: list[nn.Module]) -> None:
    """Weights and statistics, layer by layer; a 1 x 1 filter becomes the middle of a 3 x 3, no bias a bias of 0."""
    for source, target in zip(ours, theirs, strict=True):
        for name, tensor in target.state_dict().items():
            value = source.state_dict().get(name, torch.zeros_like(tensor))
            if value.shape != tensor.shape:
                value = F.pad(value, (1, 1, 1, 1))
            if value.shape != tensor.shape:
                raise ValueError(f"{source} is no {target}")
            tensor.copy_(value)


def reference(name: str, ours: nn.Module, folder: Path) -> tuple[nn.Module, Callable]:
    """The reference's network of a case, and the order in which its layers correspond to ours."""
    import segmentation_models_pytorch as smp
    import timm
    from monai.networks.nets.attentionunet import AttentionBlock
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP
    from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock

    sys.path[:0] = [str(folder / "Image_Segmentation"), str(folder / "Inf-Net")]
    smp_settings = {"encoder_name": "resnet18", "encoder_weights": None, "in_channels": 3, "classes": 4}
    if name == "attention_unet, Gate":
        return AttentionBlock(2, f_int=8, f_g=16, f_l=16), executed
    if name == "deeplab_v3_plus, Pyramid":
        return ASPP(32, 256, (6, 12, 18), separable=True, dropout=0.5), executed
    if name == "psp_net, Pooled in 6":
        return PSPBlock(32, 16, pool_size=6), executed
    if name == "unet_encoder":
        for block, skip in zip(ours.decoder, [256, 128, 64, 64], strict=False):  # theirs puts what went down behind
            weight = block[0].weight
            weight.data = torch.cat([weight[:, skip:], weight[:, :skip]], dim=1)
        return smp.Unet(**smp_settings), executed
    if name == "ma_net":
        network = smp.MAnet(**smp_settings)
        network.decoder.center.forward = lambda x: attend(network.decoder.center, x)
        return network, executed
    if name.startswith("inf_net"):
        backbone = ModuleType("Code.model_lung_infection.backbone.Res2Net")
        backbone.res2net50_v1b_26w_4s = lambda pretrained: res2net(timm)
        sys.modules[backbone.__name__] = backbone
        from Code.model_lung_infection.InfNet_Res2Net import PraNetPlusPlus
        from Code.model_lung_infection.InfNet_UNet import Inf_Net_UNet

        return (PraNetPlusPlus(), defined) if name == "inf_net" else (Inf_Net_UNet(6, 3), executed)
    from network import AttU_Net, R2U_Net

    return (R2U_Net() if name == "r2unet" else AttU_Net()), executed


def res2net(timm: ModuleType) -> nn.Module:
    """Inf-Net's backbone from timm, whose names for v1b's parts differ in one."""
    network = timm.create_model("res2net50d", num_classes=0)
    network.relu = network.act1
    return network


def attend(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """smp's position attention with one difference: what a position attends to is turned back before it is added."""
    centre, top, bottom = (conv(x).flatten(2) for conv in (block.center_conv, block.top_conv, block.bottom_conv))
    scores = torch.einsum("bci,bcj->bij", centre, top)
    weights = scores.flatten(1).softmax(dim=1).view_as(scores)
    return block.out_conv(x + torch.einsum("bij,bcj->bci", weights, bottom).view_as(x))


def standardised(ours: nn.Module, x: Tensors) -> Tensors:
    """What ours has done to the image before its first layer: the references expect it done."""
    return (ours.encoder.standardise(*x),) if hasattr(ours, "encoder") else x


def main(folder: Path) -> None:
    """Write the file, and tell how far ours are."""
    library = torch.library.Library("torchvision", "DEF")  # so that torchvision imports without its compiled part
    for operation in ("nms", "qnms"):
        library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    golden = {}
    for name, case in CASES.items():
        ours, x = alike(fill(case.make())), inputs(case)
        found = answer(ours, x)
        theirs, order = reference(name, ours, folder)
        theirs.eval()
        seen = standardised(ours, x)
        if name == "attention_unet, Gate":
            seen = tuple(reversed(seen))  # theirs takes the gating signal first
        copy(order(ours, x), order(theirs, seen))
        with torch.no_grad():
            expected = theirs(*seen)
        if isinstance(expected, tuple):
            expected = torch.cat(expected, dim=1)
        far = float((found - expected).abs().max())
        sys.stdout.write(f"{name}: largest difference {far:.2g} of {float(expected.abs().max()):.3g}\n")
        if far > 1e-4 * max(1.0, float(expected.abs().max())):
            raise ValueError(f"{name} is not the reference")
        golden[name] = figures(expected)
    FILE.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden.items()) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

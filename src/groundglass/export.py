"""A trained model as a file to give away: what predicts and no more, in half the size, without anybody's paths.

- Of a method with several networks (a teacher and its student) the one that predicts is kept, as a ``supervised`` one,
  where its answers are the method's to the bit; else the method stays whole.
- Half precision is float16 for kernels and matrices. Its 11 binary digits are finer than bfloat16's 8, and weights are
  far from its ends (6e-8 and 65504). Vectors (biases, batch statistics) are few, and stay float32.
- Whoever loads it computes in float32 again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundglass.build import load_model
from groundglass.engine import checkpoint
from groundglass.errors import ReadError
from groundglass.inference.predict import Model
from groundglass.methods._method import Method
from groundglass.methods.supervised import Supervised
from groundglass.models import public
from groundglass.networks._network import Network


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        size: in bytes.
        digest: SHA-256 of it, 64 hex digits.
        difference: the largest between a probability by the model and one by the file, on pictures of noise.
    """

    size: int
    digest: str
    difference: float


def export(
    source: Path, target: Path, *, half: bool = False, name: str | None = None, sources: Sequence[str] = ()
) -> Exported:
    """Write a model anew.

    Args:
        source: a checkpoint that a training wrote.
        target: the file; an older one is replaced.
        half: whether kernels and matrices are kept in half precision.
        name: of the model's card; by default the one that it has.
        sources: what the card shall tell of its data and their terms, a sentence each, after what it tells already.

    Raises:
        UsageError: there is no such file.
        ReadError: it is no model of ours, or a weight has no half-precision number.
        WriteError: the file could not be written.
    """
    model = load_model(source)
    _, record = checkpoint.read(source)
    seen = _noise(model)
    method = _alone(model.method, seen)
    if method is not model.method:
        record |= {"method": "supervised", "settings": {}, "predictor": "network."}
    card = {**record["card"], "name": name or model.card.name, "sources": [*model.card.sources, *sources]}
    tensors = method.state_dict()
    checkpoint.write(target, _halved(tensors) if half else tensors, public({**record, "card": card}))
    written = load_model(target)
    with torch.inference_mode():
        difference = float((written.method.predict(seen) - model.method.predict(seen)).abs().max())
    return Exported(target.stat().st_size, written.card.digest, difference)


def _noise(model: Model) -> Tensor:
    """Two pictures (2, 1, H, W), [0, 1]: coarse noise, so that there are areas and edges in them, and fine."""
    height, width = model.preparation.size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 1, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth + 0.1 * torch.randn(2, 1, height, width, generator=generator)).clamp(0, 1)


@torch.inference_mode()
def _alone(method: Method, seen: Tensor) -> Method:
    """The network that predicts, by itself, if it says of pictures what the method says."""
    network = method.predictor
    if isinstance(method, Supervised) or not isinstance(network, Network) or network.in_channels != 1:
        return method  # more channels: it sees a prior too
    alone = Supervised(network, method.outputs).eval()
    return alone if torch.equal(alone.predict(seen), method.predict(seen)) else method


def _halved(tensors: dict[str, Any]) -> dict[str, Tensor]:
    halved = {
        name: value.half() if value.is_floating_point() and value.dim() > 1 else value
        for name, value in tensors.items()
    }
    for name, value in halved.items():
        if not torch.isfinite(value).all():
            raise ReadError(
                f"The weights {name} have no half-precision numbers.",
                expected="finite ones below 65504",
                remedy="Export the model without --half, or train it again.",
            )
    return halved

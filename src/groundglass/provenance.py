"""How an output came about: enough to make it again, nothing that tells whose scan or whose machine it was."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundglass.scan import GreyImage, Scan

LIBRARIES = ("numpy", "scipy", "scikit-image", "nibabel", "pydicom", "pynrrd")


@dataclass(frozen=True)
class Machine:
    """The kind of machine, never which one."""

    system: str
    processor: str
    cores: int
    python: str
    libraries: Mapping[str, str]


@dataclass(frozen=True)
class Provenance:
    """A JSON beside every output.

    Attributes:
        version: of groundglass.
        command: the command's name.
        settings: its options, without paths.
        model: the model's name.
        recipe: the recipe that trained it, or None.
        seed: of everything random, or None where nothing was.
        data: name of an input -> keyed hash of its content.
        machine: the kind of machine.
    """

    version: str
    command: str
    settings: Mapping[str, Any]
    model: str
    recipe: str | None
    seed: int | None
    data: Mapping[str, str]
    machine: Machine

    def as_json(self) -> dict[str, Any]:
        """The record as plain JSON types."""
        return asdict(self)


def this_machine() -> Machine:
    """The kind of machine that runs this."""
    return Machine(
        system=platform.system(),
        processor=platform.machine(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        libraries={name: metadata.version(name) for name in LIBRARIES},
    )


def content_hash(scan: Scan | GreyImage, key: bytes) -> str:
    """Keyed hash (HMAC-SHA256, 64 hex digits) of a scan's values in canonical order.

    The same scan has the same hash as DICOM, zip, NIfTI or NRRD; without the key nobody can tell whose it is,
    not even with the scan of a suspected patient at hand.
    """
    values: NDArray[Any] = scan.hu if isinstance(scan, Scan) else scan.grey
    if values.dtype == np.float32 and (values == np.rint(values)).all() and abs(values).max() < 32768:
        values = values.astype(np.int16)
    digest = hmac.new(key, f"{values.shape} {values.dtype}".encode(), hashlib.sha256)
    for plane in values:
        digest.update(plane.tobytes())
    return digest.hexdigest()


def case_name(digest: str) -> str:
    """What a case is called: the first ten digits of its content's keyed hash."""
    return f"case-{digest[:10]}"

"""The model that ``segment`` takes unless told otherwise: weights that come with the package, where there are some.

model.safetensors    what ``groundglass models export --half`` made of a training
MODEL_CARD.md        what it is, what it was trained on, how good it is, where it fails
LICENSE-WEIGHTS      its terms, which are not the code's
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEFAULT: Final = "default"  # what it is called
MODEL: Final = Path(__file__).with_name("model.safetensors")
DIGEST: Final = "af7b50166b3532db3d1dbbd1c3fc4fa36044125d440c5d5beaf4d89b2df0823e"  # its SHA-256
LARGEST: Final = 15_000_000  # bytes: what a package may weigh


def default_model() -> Path | None:
    """The file of the weights; None where the package holds none."""
    return MODEL if MODEL.is_file() else None


def file_of(name: str) -> Path:
    """The file of a model by its name: the default one, or a path."""
    return (default_model() if name == DEFAULT else None) or Path(name)

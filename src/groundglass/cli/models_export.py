"""``groundglass models export``: a trained model as a file to give away."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from groundglass.default import LARGEST
from groundglass.errors import UsageError
from groundglass.export import export
from groundglass.io.atomic import make_folder


def run_export(model: Path, output: Path, half: bool, name: str | None, sources: Sequence[str]) -> None:
    """Write the file and say how far its answers are from the model's.

    Raises:
        GroundglassError: no model of ours, or a file that cannot be written.
    """
    if output.is_dir() or output.suffix != ".safetensors":
        raise UsageError(
            "The output is no file of weights.", expected="a name that ends in .safetensors", remedy="Choose one."
        )
    make_folder(output.parent)
    told = export(model, output, half=half, name=name, sources=sources)
    sys.stdout.write(
        f"{told.size / 1e6:.1f} MB, SHA-256 {told.digest}; probabilities on noise differ by {told.difference:.1e} "
        "at most\n"
    )
    if told.size > LARGEST:
        sys.stderr.write(f"note: more than the {LARGEST / 1e6:.0f} MB that a package may hold.\n")

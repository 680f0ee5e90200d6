"""What a coach erased and what a network filled in, as one picture and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.report.sheets import grey, sheet_of

COLUMNS: Final = ("picture", "what is left of it", "filled in", "apart")
ERASED: Final = np.array([0, 114, 178], np.float32)  # of Okabe and Ito's palette: no grey


@dataclass(frozen=True, eq=False)
class Inpainted:
    """A slice and what became of it.

    Attributes:
        name: of the slice.
        picture: (H, W), [0, 1].
        mask: (H, W), how much of a pixel is kept, [0, 1].
        filled: (H, W), what the network made of the rest, [0, 1].
    """

    name: str
    picture: NDArray[np.float32]
    mask: NDArray[np.float32]
    filled: NDArray[np.float32]

    @property
    def erased(self) -> float:
        """Share of the picture."""
        return float(1 - self.mask.mean())

    def error(self, *, kept: bool) -> float | None:
        """Mean absolute difference of grey values on what was kept, or on what was erased; None where there is none."""
        where = self.mask > 0.5 if kept else self.mask < 0.5
        return float(np.abs(self.filled - self.picture)[where].mean()) if where.any() else None


def sheet(slices: Sequence[Inpainted], title: str) -> bytes:
    """A PNG with a row a slice: the picture, what is left of it (erased is blue), what was filled in, what differs."""
    rows = []
    for one in slices:
        share = one.mask[..., None]
        left = share * grey(one.picture) + (1 - share) * ERASED
        rows.append([grey(one.picture), left, grey(one.filled), grey(np.abs(one.filled - one.picture))])
    return sheet_of(rows, COLUMNS, title)


def table(slices: Sequence[Inpainted]) -> str:
    """A CSV with a row a slice: share erased, and how far the network is from the picture on both parts."""
    lines = ["slice,erased,error_on_erased,error_on_kept"]
    for one in slices:
        errors = (one.error(kept=kept) for kept in (False, True))
        lines.append(",".join([one.name, f"{one.erased:.4f}", *("" if e is None else f"{e:.4f}" for e in errors)]))
    return "\n".join(lines) + "\n"

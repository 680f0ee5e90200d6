"""A small made-up chest: two elliptic lungs with blobs, and records that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from groundglass.evaluation.burden import measure
from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.provenance import Machine, Provenance
from groundglass.report.page import PageContent
from groundglass.scan import Acquisition, Notice, Scan, Source

CARD = ModelCard(
    name="threshold",
    summary="Ground glass and consolidation by ranges of HU inside the lung, without vessels.",
    trained_on="Nothing: it is a classical method.",
    lung_from="The classical lung field.",
    sources=("A. Author et al., A Journal 2020;1:1-9.",),
)
PROVENANCE = Provenance(
    version="0.1.0",
    command="segment",
    settings={"model": "threshold", "format": "nifti"},
    model="threshold",
    recipe=None,
    seed=None,
    data={"scan": "9f" * 32},
    machine=Machine("Linux", "x86_64", 2, "3.11.2", {"numpy": "2.4.0", "scipy": "1.17.0"}),
)
SECONDS = {"reading": 2.31, "lung field": 3.02, "segmentation": 4.4, "measuring": 0.61, "writing": 1.2}


def ellipsoid(shape: tuple[int, ...], centre: tuple[float, ...], radius: tuple[float, ...]) -> np.ndarray:
    """Voxels in an ellipsoid; centre and radius as parts of the shape."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    parts = zip(grid, shape, centre, radius, strict=True)
    return sum((((g + 0.5) / n - c) / r) ** 2 for g, n, c, r in parts) <= 1


def chest(shape: tuple[int, int, int] = (24, 64, 64), *, infected: bool = True) -> tuple[np.ndarray, ...]:
    """(hu, codes, sides) of a made-up chest."""
    rng = np.random.default_rng(2)
    flat = (9.0, *(0.5, 0.5)), (99.0, 0.36, 0.47)
    hu = np.full(shape, -1000, np.int16)
    hu[ellipsoid(shape, *flat)] = 40
    codes, sides = (np.zeros(shape, np.uint8) for _ in range(2))
    for side, x in ((1, 0.28), (2, 0.72)):
        lung = ellipsoid(shape, (0.5, 0.5, x), (0.48, 0.27, 0.17))
        hu[lung], codes[lung], sides[lung] = -850, 1, side
    if infected:
        for centre, radius, code, value in (
            ((0.3, 0.66, 0.26), (0.2, 0.12, 0.1), 2, -600),
            ((0.3, 0.7, 0.24), (0.1, 0.06, 0.06), 3, 0),
            ((0.4, 0.62, 0.75), (0.12, 0.1, 0.08), 2, -550),
        ):
            blob = ellipsoid(shape, centre, radius) & (sides > 0)
            codes[blob], hu[blob] = code, value
    return hu + rng.integers(-30, 30, shape, dtype=np.int16), codes, sides


def content(
    hu: np.ndarray, codes: np.ndarray, sides: np.ndarray, source: Source | None = None, **more: Any
) -> PageContent:
    """A page's content, all made up from three arrays."""
    if source is None:
        source = Source(format="dicom", acquisition=Acquisition("Siemens", "B60f", 120.0, 1.5))
    z, y, x = hu.shape
    scan = Scan(hu, np.diag([-320.0 / x, -320.0 / y, 300.0 / z, 1.0]), source)
    fields: dict[str, Any] = {
        "case": "case-0123456789",
        "scan": scan,
        "segmentation": Segmentation(codes, sides, CARD),
        "burden": measure(scan, codes, sides),
        "provenance": PROVENANCE,
        "seconds": SECONDS,
        "notices": (Notice("One slice is missing between slices 40 and 41.", ("secret/IM0041.dcm",)),),
    }
    return PageContent(**{**fields, **more})


@pytest.fixture
def make() -> Callable[..., PageContent]:
    """Builds a page's content; ``infected=False`` for a healthy chest, other fields of it by name."""

    def build(shape: tuple[int, int, int] = (24, 64, 64), *, infected: bool = True, **more: Any) -> PageContent:
        return content(*chest(shape, infected=infected), **more)

    return build

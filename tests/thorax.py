"""A thorax drawn with a compass: for tests that need a volume with known lungs at once."""

import numpy as np

from groundglass.scan import Scan

SPACING = (4.0, 2.0, 2.0)  # mm, (z, y, x)
SHAPE = (48, 128, 160)
AFFINE = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1.0])


def grid():
    """Millimetres from the middle, (z, y, x)."""
    return np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * step for n, step in zip(SHAPE, SPACING, strict=True)], indexing="ij"
    )


def ellipsoid(centre, radii):
    parts = [((g - c) / r) ** 2 for g, c, r in zip(grid(), centre, radii, strict=True)]
    return sum(parts) <= 1


def lungs():
    """(right, left): the patient's right is at low x."""
    return ellipsoid((0, 0, -60), (80, 70, 45)), ellipsoid((0, 0, 60), (75, 65, 42))


def trachea(radius_mm=8):
    z, y, x = grid()
    return ((y + 10) ** 2 + x**2 <= radius_mm**2) & (z > 20)


def draw(*, with_trachea=True, noise_hu=0.0, **regions):
    """A scan of body, lungs and whatever masks are named, at the HU given: ``name=(mask, hu)``."""
    _, y, x = grid()
    hu = np.full(SHAPE, -1000.0)
    hu[(x / 145) ** 2 + (y / 110) ** 2 <= 1] = 40
    for lung in lungs():
        hu[lung] = -850
    if with_trachea:
        hu[trachea()] = -1000
    for mask, value in regions.values():
        hu[mask] = value
    hu += np.random.default_rng(0).normal(0, noise_hu, SHAPE) if noise_hu else 0
    return Scan(np.rint(hu).astype(np.int16), AFFINE)

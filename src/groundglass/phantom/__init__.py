"""Chest CT phantoms with known truth, for the demo and for tests. They say nothing about patients.

A phantom has a body with skin, fat, muscle and bones on a couch; lungs with vessels, fissures and airways that are
open to them, as on real scans; heart and great vessels; liver, spleen, and stomach and gut with gas under the
diaphragm; and lesions with the places and textures of COVID-19 pneumonia. Shapes are rough, and numbers measured
on phantoms are no evidence for numbers on patients.

The truth is what the image was made from: a voxel has the code of what fills more than half of it. The lung field
(codes 1 to 3) includes vessels and small airways inside the lung; trachea, main and lobar bronchi and the great
vessels are background. A lesion includes the vessels and small airways in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.errors import UsageError
from groundglass.labels import Region, region_of_codes
from groundglass.phantom.anatomy import HEIGHT_MM, Build, draw_build
from groundglass.phantom.fields import Grid, centred
from groundglass.phantom.lesions import HAZE_SHARE, PLAIN, USUAL, Disease, Hard, Looks, draw_disease
from groundglass.phantom.scanner import Scanner, draw_scanner, expose
from groundglass.phantom.tissue import Painted, paint
from groundglass.phantom.trees import Trees, draw_trees
from groundglass.scan import Acquisition, Scan, Source

__all__ = ["PLAIN", "Hard", "Looks", "Phantom", "SlicePhantoms", "phantom", "phantom_slices"]

_VOXELS_AT_ONCE = 400_000  # painted together: small enough for a processor's cache


@dataclass(frozen=True, eq=False)
class Phantom:
    """A scan and what is in it.

    Attributes:
        scan: int16 HU, ``[z, y, x]``.
        codes: uint8, as the scan: 0 background, 1 lung, 2 ground glass, 3 consolidation; read-only.
        sides: uint8, as the scan: 0 no lung, 1 right lung, 2 left lung; read-only.
        kind: "patchy" for the disease's usual pattern, or the hard case.
        severity: share of the lung that the lesions were to take; None where the hard case is stated otherwise.
    """

    scan: Scan
    codes: NDArray[np.uint8]
    sides: NDArray[np.uint8]
    kind: str
    severity: float | None

    @property
    def volumes_ml(self) -> Mapping[Region, float]:
        """Volume of each region, mL."""
        ml = self.scan.voxel_ml
        return {region: float(region_of_codes(self.codes, region).sum()) * ml for region in Region}

    @property
    def lesions_ml(self) -> tuple[float, ...]:
        """Volume of each lesion, mL, largest first: parts of the infection that touch, be it at a corner."""
        numbered, _ = ndimage.label(region_of_codes(self.codes, Region.INFECTION), np.ones((3, 3, 3)))
        voxels = np.sort(np.bincount(numbered.ravel())[1:])[::-1]
        return tuple(float(count) * self.scan.voxel_ml for count in voxels)


@dataclass(frozen=True, eq=False)
class SlicePhantoms:
    """Single slices of one patient, for training.

    Attributes:
        hu: int16 (N, Y, X).
        codes: uint8 (N, Y, X), 0 to 3.
        pixel_mm: side of a pixel.
    """

    hu: NDArray[np.int16]
    codes: NDArray[np.uint8]
    pixel_mm: float


@dataclass(frozen=True, eq=False)
class _Patient:
    build: Build
    trees: Trees
    disease: Disease
    scanner: Scanner
    severity: float | None
    margin_mm: tuple[float, float]


def phantom(
    seed: int | np.random.Generator,
    *,
    shape: tuple[int, int, int] = (64, 256, 256),
    spacing_mm: tuple[float, float, float] | None = None,
    severity: float | None = None,
    hard: Hard | None = None,
    noise_hu: float | None = None,
    looks: Looks = USUAL,
) -> Phantom:
    """A phantom; the same seed gives the same bytes (on one kind of machine: another may round otherwise).

    A seed is one patient, whatever the lesions and the sampling.

    Args:
        seed: or the generator that everything is drawn from.
        shape: (Z, Y, X).
        spacing_mm: (z, y, x); if None, such that the scan covers the lungs and nearly all of the body.
        severity: share of the lung that is lesion, 0 to 0.9; if None, drawn from 2 to 40 %, small ones more often.
        hard: a hard case in place of the usual lesions: "healthy", "pleural_mass" (60 mL, solid, at the pleura),
            "solid_third" (the dependent third of one lung), "diffuse_haze" (ground glass in 60 % of the lung).
        noise_hu: standard deviation of the noise inside the body; drawn from 10 to 40 if None.
        looks: of the usual lesions; a hard case is what it says.

    Raises:
        UsageError: a severity, shape or spacing that cannot be, an unknown hard case, or one with a severity.
    """
    rng = np.random.default_rng(seed)
    if len(shape) != 3 or min(shape) < 1 or min(shape[1:]) < 2:
        raise UsageError(f"A phantom of shape {shape}.", expected="(z, y, x), 2 pixels or more", remedy="Enlarge it.")
    if spacing_mm is not None and not min(spacing_mm) > 0:
        raise UsageError(f"A spacing of {spacing_mm} mm.", expected="above 0", remedy="Give (z, y, x) in mm.")
    patient = _draw(rng, severity, hard, noise_hu, looks)
    spacing = spacing_mm or _covering(patient, shape)
    axes = [centred(count, step) for count, step in zip(shape, spacing, strict=True)]
    grid = Grid(axes[0] + np.float32(_middle_mm(patient)), axes[1], axes[2], min(spacing[0], 5.0))
    hu, painted = _scan(rng, patient, grid)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = -float(grid.x[0]), -float(grid.y[0]), float(grid.z[0])
    for truth in (painted.codes, painted.sides):
        truth.flags.writeable = False
    source = Source(acquisition=Acquisition(slice_thickness_mm=grid.thickness_mm))
    return Phantom(Scan(hu, affine, source), painted.codes, painted.sides, patient.disease.kind, patient.severity)


def phantom_slices(
    seed: int | np.random.Generator,
    count: int = 8,
    *,
    size: int = 256,
    severity: float | None = None,
    hard: Hard | None = None,
    noise_hu: float | None = None,
    looks: Looks = USUAL,
) -> SlicePhantoms:
    """Slices of one patient at ``count`` heights drawn between the lowest lung and the apex, feet to head.

    Drawing a patient costs as much as some slices: ask for several of each.
    """
    rng = np.random.default_rng(seed)
    patient = _draw(rng, severity, hard, noise_hu, looks)
    pixel = _covering(patient, (count, size, size))[1]
    low, high = -0.46 * HEIGHT_MM, 0.47 * HEIGHT_MM
    z = (np.sort(rng.uniform(low, high, count)) * patient.build.scale[0]).astype(np.float32)
    thickness = float(rng.choice([1.0, 2.0, 5.0]))
    hu, painted = _scan(rng, patient, Grid(z, centred(size, pixel), centred(size, pixel), thickness))
    return SlicePhantoms(hu, painted.codes, pixel)


def _draw(
    rng: np.random.Generator, severity: float | None, hard: Hard | None, noise_hu: float | None, looks: Looks
) -> _Patient:
    """A patient on the couch of a scanner."""
    if severity is not None and not 0 <= severity <= 0.9:
        raise UsageError(f"A severity of {severity:g}.", expected="0 to 0.9, a share of the lung", remedy="Lower it.")
    if hard is not None and hard not in get_args(Hard):
        raise UsageError(f"No hard case {hard!r}.", expected=f"one of {get_args(Hard)}", remedy="Choose one of these.")
    if hard is not None and severity is not None:
        raise UsageError(f"A severity for {hard!r}.", expected="one of the two", remedy="Leave the severity out.")
    drawn = float(np.exp(rng.uniform(np.log(0.02), np.log(0.4))))
    share = drawn if severity is None else severity
    scanner = draw_scanner(rng, noise_hu)
    margin = rng.uniform(-30, 24), rng.uniform(4, 30)
    build = draw_build(rng)
    trees = draw_trees(rng, build)
    disease = draw_disease(rng, build, share, hard, looks)
    asked = {"healthy": 0.0, "diffuse_haze": HAZE_SHARE}.get(hard) if hard else share
    return _Patient(build, trees, disease, scanner, asked, margin)


def _covering(patient: _Patient, shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """The spacing (z, y, x) at which a shape covers the lungs and nearly all of the body."""
    build = patient.build
    wide = 2 * (126 + build.muscle_mm + 10 + 0.9 * build.fat_mm) * build.scale[2] + patient.margin_mm[0]
    high = HEIGHT_MM * build.scale[0] + 12 + patient.margin_mm[1]
    pixel = wide / min(shape[1:])
    return high / shape[0], pixel, pixel


def _middle_mm(patient: _Patient) -> float:
    """Height of the scan's middle: a little lower than the lungs', for scans reach into the belly."""
    return -0.15 * patient.margin_mm[1]


def _scan(rng: np.random.Generator, patient: _Patient, grid: Grid) -> tuple[NDArray[np.int16], Painted]:
    """Slices of a patient, painted a few at a time."""
    step = max(1, _VOXELS_AT_ONCE // (grid.shape[1] * grid.shape[2]))
    parts = []
    exposed = np.empty(grid.shape, np.int16)
    for start in range(0, grid.shape[0], step):
        part = paint(patient.build, patient.trees, patient.disease, grid.planes(start, start + step))
        exposed[start : start + step] = expose(rng, patient.scanner, part.hu, part.inside)
        parts.append((part.codes, part.sides))
    codes, sides = (np.concatenate(maps) for maps in zip(*parts, strict=True))
    return exposed, Painted(np.empty(0, np.float32), codes, sides, np.empty(0, np.float32))

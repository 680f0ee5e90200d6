"""Ground glass by clustering grey values, slice by slice: the thesis's steps, and ours where they fail.

Balantrapu, DRSegUNet, MSc thesis, University of Birmingham, 2021, section 4.4.1, there in MATLAB.

| there | as published (`published_steps`) | ours (`our_steps`) |
|---|---|---|
| step 1, normalise by -1000 and 400 HU | the same | the same |
| step 1, threshold -170 HU | what is below: air and lung | none: the lung field is given |
| step 2, ``bwareafilt(bw, 2)``, two largest blobs | the same: mostly the air outside, and the lungs | the lung field |
| step 3, ``imfill(bw, 'holes')`` | the same | the field is filled already |
| step 4, the mask applied to the image | the same, -1000 HU outside | solid vessels and all rims left out too |
| step 5, k-means, k = 3 | the exact optimum | and the third centre is at least ``FLOOR_HU`` |
| step 6, ``imerode``, ``imdilate``, line of length 8 at 50 degrees | the same | the same, and specks dropped |
| step 6, ``imclose``, disk of radius 6 | a whole disk; MATLAB's is an octagon | the same, within the field |

Clusters are named by their centres, ascending: background, lung, ground glass. k-means in one dimension needs
no seeds and no iterations: its clusters are intervals, so the best two limits are looked up among all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

AIR_HU: Final = -1000
BONE_HU: Final = 400
THRESHOLD_HU: Final = -170.0
REGIONS: Final = 2
LINE: Final = (8, 50.0)  # length in pixels, degrees from the x axis, counter-clockwise
DISK: Final = 6  # radius in pixels
# Ours. Ground glass is -800 to -500 HU (section 5.2): a third cluster whose middle lies below the middle of that is
# lung that is a little denser than the rest, as the lower side of every lung is.
FLOOR_HU: Final = -650.0
SOLID_ABOVE_HU: Final = -300.0  # vessels; what is solid and diseased is not told from them by grey values
RIM_MM: Final = 3.0  # of vessels and of the pleura, blurred into haze
SMOOTHING_MM: Final = 1.0
SMALLEST_CM2: Final = 1.0


@dataclass(frozen=True)
class Centres:
    """Three clusters of grey values.

    Attributes:
        hu: their centres, ascending: background, lung, ground glass; NaN where a cluster is empty.
        above_hu: the limit between the second and the third.
    """

    hu: tuple[float, float, float]
    above_hu: float


@dataclass(frozen=True, eq=False)
class Step:
    """What a step made of a slice.

    Attributes:
        name: short, fit for a file.
        title: what it is, a phrase.
        image: (H, W): a mask, HU, or the clusters 0, 1, 2 (uint8).
    """

    name: str
    title: str
    image: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Steps:
    """All that was made of a slice on the way to its ground glass.

    Attributes:
        steps: in their order.
        lung: what was taken for lung, with all that is in it.
        ground_glass: what came out.
        solid: within the lung, vessels or solid lesions; none as published.
        rim: within the lung, blurred by what is solid or outside; none as published.
        centres: of the clusters.
    """

    steps: tuple[Step, ...]
    lung: Mask
    ground_glass: Mask
    solid: Mask
    rim: Mask
    centres: Centres


def published_steps(hu: NDArray[Any], *, without_border: bool = False) -> Steps:
    """The thesis's steps on a slice (H, W) in HU.

    Args:
        hu: the slice.
        without_border: what touches the border of the slice goes first (ours): else the air around the body is one
            of the two largest regions.
    """
    image = normalised(hu)
    air: Mask = image < THRESHOLD_HU
    inner = drop_border(air) if without_border else air
    regions = largest_regions(inner, REGIONS)
    filled: Mask = ndimage.binary_fill_holes(regions)
    masked = np.where(filled, image, np.float32(AIR_HU))
    centres = three_clusters(masked)
    third: Mask = masked > centres.above_hu
    opened, closed = refined(third)
    first = Step("border", "what touches the border removed", inner)
    steps = (
        Step("image", f"clipped to {AIR_HU} and {BONE_HU} HU", image),
        Step("threshold", f"below {THRESHOLD_HU:.0f} HU", air),
        *((first,) if without_border else ()),
        Step("regions", "the two largest regions", regions),
        Step("filled", "holes filled", filled),
        Step("masked", "the image in the mask", masked),
        Step("clusters", "three clusters", clusters_of(masked, centres)),
        Step("opened", "the third, eroded and dilated with a line", opened),
        Step("ground_glass", "closed with a disk", closed),
    )
    nothing = np.zeros_like(air)
    return Steps(steps, filled, closed, nothing, nothing, centres)


def our_steps(hu: NDArray[Any], lung: Mask, spacing_mm: tuple[float, float]) -> Steps:
    """Our steps on a slice.

    Args:
        hu: the slice, (H, W).
        lung: its lung field.
        spacing_mm: between rows, between columns.
    """
    image = normalised(hu)
    solid: Mask = lung & (image > SOLID_ABOVE_HU)
    rim = lung & ~solid & (_within(solid, spacing_mm) | _within(~lung, spacing_mm))
    smooth = np.where(lung & ~solid & ~rim, _smooth(image, lung, spacing_mm), np.float32(AIR_HU))
    centres = with_floor(three_clusters(smooth), FLOOR_HU)
    third: Mask = smooth > centres.above_hu
    opened, closed = refined(third)
    found = without_specks(closed & lung, SMALLEST_CM2 * 100 / (spacing_mm[0] * spacing_mm[1]))
    steps = (
        Step("image", f"clipped to {AIR_HU} and {BONE_HU} HU", image),
        Step("lung", "the lung field", lung),
        Step("masked", "smoothed, without vessels and rims", smooth),
        Step("clusters", "three clusters, the third with a floor", clusters_of(smooth, centres)),
        Step("opened", "the third, eroded and dilated with a line", opened),
        Step("closed", "closed with a disk, within the lung", closed & lung),
        Step("ground_glass", f"without what is under {SMALLEST_CM2:g} cm²", found),
    )
    return Steps(steps, lung, found, solid & ~found, rim & ~found, centres)


def normalised(hu: NDArray[Any]) -> Plane:
    """Clipped to air and bone; kept in HU, so that every number of the thesis can be read."""
    clipped: Plane = np.clip(hu, AIR_HU, BONE_HU).astype(np.float32)
    return clipped


def largest_regions(mask: Mask, count: int) -> Mask:
    """The ``count`` largest connected regions (8 neighbours) of a mask (H, W); all, where there are fewer."""
    labels, sizes = _regions(mask)
    chosen = np.argsort(-sizes, kind="stable")[:count]
    kept: Mask = np.isin(labels, chosen[sizes[chosen] > 0])
    return kept


def drop_border(mask: Mask) -> Mask:
    """The regions (8 neighbours) that do not touch the border of the slice."""
    labels, _ = _regions(mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    kept: Mask = mask & ~np.isin(labels, edge)
    return kept


def without_specks(mask: Mask, smallest: float) -> Mask:
    """The regions (8 neighbours) of at least ``smallest`` pixels."""
    labels, sizes = _regions(mask)
    kept: Mask = (sizes >= smallest)[labels] & mask
    return kept


def three_clusters(image: Plane) -> Centres:
    """The best three clusters of the pixels' values, rounded to whole HU: k-means' optimum, no local one.

    Of all pairs of limits, those for which the squared distances to the centres are least. With n, s the number and
    sum of a cluster's pixels that is where the sum of s^2 / n is largest.
    """
    values = np.rint(image).astype(np.int64) - AIR_HU
    counts = np.bincount(values.ravel(), minlength=BONE_HU - AIR_HU + 1).astype(np.float64)
    levels = np.flatnonzero(counts)  # ascending
    if len(levels) < 3:
        few = [float(level) + AIR_HU for level in levels] + [np.nan] * (3 - len(levels))
        return Centres((few[0], few[1], few[2]), float(BONE_HU))
    n = np.cumsum(counts[levels])
    s = np.cumsum(counts[levels] * levels)
    first = s[:-2] ** 2 / n[:-2]  # the first cluster ends at level a
    third = (s[-1] - s[1:-1]) ** 2 / (n[-1] - n[1:-1])  # the third begins after level b > a
    between_n, between_s = n[None, 1:-1] - n[:-2, None], s[None, 1:-1] - s[:-2, None]
    valid = between_n > 0
    second = np.divide(between_s**2, between_n, out=np.full(valid.shape, -np.inf), where=valid)
    a, b = np.unravel_index(np.argmax(first[:, None] + second + third[None]), valid.shape)
    middles = s[a] / n[a], between_s[a, b] / between_n[a, b], (s[-1] - s[b + 1]) / (n[-1] - n[b + 1])
    return _centres(*(float(middle) + AIR_HU for middle in middles))


def with_floor(centres: Centres, floor_hu: float) -> Centres:
    """Centres whose third is not below a floor: what is nearer to lung than to that is lung."""
    background, lung, third = centres.hu
    if np.isnan(third):
        return centres
    return _centres(background, lung, max(third, floor_hu))


def _centres(background: float, lung: float, third: float) -> Centres:
    """Each value belongs to the nearest centre."""
    return Centres((float(background), float(lung), float(third)), float(lung + third) / 2)


def clusters_of(image: Plane, centres: Centres) -> NDArray[np.uint8]:
    """The number of each pixel's cluster: 0, 1, 2."""
    background, lung, _ = centres.hu
    lower = -np.inf if np.isnan(lung) else (background + lung) / 2
    return ((image > lower).astype(np.uint8)) + (image > centres.above_hu)


def refined(mask: Mask) -> tuple[Mask, Mask]:
    """Step 6: eroded and dilated with a line; and that closed with a disk."""
    element = line(*LINE)
    opened: Mask = ndimage.binary_dilation(ndimage.binary_erosion(mask, element), element)
    if not opened.any():
        return opened, opened.copy()
    rows, columns = (np.flatnonzero(opened.any(axis=axis)) for axis in (1, 0))
    near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    padded = np.pad(opened[near], 2 * DISK)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(padded, disk(DISK)), disk(DISK))
    whole = opened.copy()
    whole[near] |= closed[2 * DISK : -2 * DISK, 2 * DISK : -2 * DISK]
    return opened, whole


def line(length: int, degrees: float) -> Mask:
    """A line of pixels through the middle, as MATLAB's ``strel('line', ...)`` draws it: odd in both directions."""
    angle = np.deg2rad(degrees)
    across = round((length - 1) / 2 * np.cos(angle))
    up = round((length - 1) / 2 * np.sin(angle))
    points = 2 * max(abs(across), abs(up)) + 1
    element = np.zeros((2 * abs(up) + 1, 2 * abs(across) + 1), bool)
    rows = np.rint(np.linspace(up, -up, points)).astype(int) + abs(up)
    columns = np.rint(np.linspace(-across, across, points)).astype(int) + abs(across)
    element[rows, columns] = True
    return element


def disk(radius: int) -> Mask:
    """All pixels within ``radius`` of the middle one."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside: Mask = x**2 + y**2 <= radius**2
    return inside


def _regions(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected regions (8 neighbours) and their sizes; size 0 is [0]'s."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def _within(mask: Mask, spacing_mm: tuple[float, float]) -> Mask:
    """Pixels within a rim's width of a mask, or in it."""
    if not mask.any():
        return mask
    near: Mask = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= RIM_MM
    return near


def _smooth(image: Plane, lung: Mask, spacing_mm: tuple[float, float]) -> Plane:
    """Gaussian mean over lung only, so that the chest wall does not blur into it."""
    sigma = [SMOOTHING_MM / step for step in spacing_mm]
    weight = ndimage.gaussian_filter(lung.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(lung, image, np.float32(0)), sigma)
    mean: Plane = total / np.maximum(weight, np.float32(1e-3))
    return mean

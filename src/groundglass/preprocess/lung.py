"""The lung field by classical means, and the two lungs told apart.

At half in-plane resolution: air inside the body; the component that holds the lungs (on real scans lungs
and airways are one component, and the next largest can be gut); the airways taken out; the lungs split;
each closed and filled alone, because closing both together swallows mediastinum. The rim is then decided
at full resolution.

The field is a lower bound: solid lung that touches the pleura looks like chest wall and is not in it.
`groundglass.inference.postprocess` adds the lesions that touch it.

Assumed: lung is on average lighter than `GAS_HU`, in severe emphysema too, and gas in the gut is darker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from groundglass.preprocess.airways import find_airways
from groundglass.preprocess.gaps import blank_slices, bridged, cut_ends, is_volume
from groundglass.preprocess.grid import box, double, halve
from groundglass.preprocess.morphology import (
    Mask,
    Spacing,
    close,
    dilate,
    distance_mm,
    erode,
    fill_slices,
    label,
    largest,
)
from groundglass.scan import Notice, Scan

AIR_BELOW_HU: Final = -400.0  # aerated lung from -1000 to about -500; haze to about -400
SMALLEST_LUNG_ML: Final = 100.0
SMALLEST_AREA_CM2: Final = 15.0  # for scans of a slice or a few
CLOSING_MM: Final = 10.0  # closes over vessels and pleural nodules, not over the heart
# Mean of a component that is gas, not lung, without its rim (with it gut is as light as lung): gut on the scans looked
# at has -966 to -978, lungs have -856 to -866.
GAS_HU: Final = -960.0
LARGE_SHARE: Final = 0.1  # of what is taken for lung: more air that may be lung; gut on the scans looked at has 0.02
THIN_MM: Final = 6.0  # half the width up to which a way from the lungs to the outside is cut; a trachea is wider
INSIDE_SHARE: Final = 0.9  # of a lung that was cut from the outside, in the body: a couch's foam is as light as lung
SPLITTING_MM: Final = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)
SMALLEST_SHARE: Final = 0.15  # of the smaller part against the larger when lungs are split
APART: Final = 0.3  # of the lungs' width, between the middles of the two
# Of a picture's border, air: in 1,650 crops around the lungs up to 0.34, in 175 whole slices of three scans from 0.60.
BORDER_AIR: Final = 0.45
IMPLAUSIBLE_RATIO: Final = 0.4  # the smaller lung is usually 0.75 to 0.95 of the larger
RIGHT, LEFT = 1, 2


@dataclass(frozen=True, eq=False)
class LungField:
    """The lungs of a scan, on its canonical grid ``[z, y, x]``.

    Attributes:
        sides: uint8, 0 outside, 1 the right lung, 2 the left.
        airways: bool, trachea and large bronchi with their walls; no part of the lungs.
        body: bool, what is inside the patient's skin, lungs included.
        notices: what makes percentages of the lung a guess.
        cropped: the slices are crops around the lungs.
    """

    sides: NDArray[np.uint8]
    airways: Mask
    body: Mask
    notices: tuple[Notice, ...] = ()
    cropped: bool = False

    @property
    def mask(self) -> Mask:
        """Both lungs."""
        lungs: Mask = self.sides > 0
        return lungs


def find_lungs(scan: Scan, *, cropped: bool = False) -> LungField:
    """The lung field of a scan; empty, with a notice, where no lung is found.

    Blank slices (of one value) between others have the lungs of their neighbours, those at an end have none. Where no
    lung is found, thin ways from the lungs to the outside are cut and it is tried once more.

    Args:
        scan: in Hounsfield units.
        cropped: its slices are crops around the lungs: air at their borders is lung, and all of it is body.
    """
    blank = blank_slices(scan.hu)
    if not blank.any():
        return _find(scan, cropped=cropped)
    shown = np.flatnonzero(~blank)
    first, stop = int(shown[0]), int(shown[-1]) + 1
    # the affine stays as it is: nothing depends on where the slices lie
    field = _find(replace(scan, hu=bridged(scan.hu, blank)[first:stop]), cropped=cropped)
    beyond = ((first, len(blank) - stop), (0, 0), (0, 0))
    return replace(
        field,
        sides=np.pad(field.sides, beyond),
        airways=np.pad(field.airways, beyond),
        body=np.pad(field.body, beyond),
        notices=(*_blank_notices(blank), *field.notices),
    )


def _find(scan: Scan, *, cropped: bool) -> LungField:
    """The lung field of a scan without blank slices."""
    half = halve(scan.hu)
    z, y, x = scan.spacing_mm
    spacing = (z, 2 * y, 2 * x)
    smallest_ml = min(SMALLEST_LUNG_ML, SMALLEST_AREA_CM2 * z * len(half) / 10)
    dark: Mask = half < AIR_BELOW_HU
    air = _air_inside(dark, np.zeros_like(dark), 4 * scan.voxel_ml, cropped=cropped)
    lungs = _lung_components(air, half, smallest_ml)
    again = not lungs.any() and not cropped and is_volume(scan)
    if again:
        cut = _air_cut_off(dark, 4 * scan.voxel_ml, spacing)
        lungs = _lung_components(cut, half, smallest_ml)
        air = cut if lungs.any() else air
    body = double(air.body, scan.hu.shape)
    if not lungs.any():
        nothing = np.zeros(scan.hu.shape, np.uint8)
        return LungField(nothing, nothing > 0, body, _notices(0, 0), cropped)
    airways = find_airways(half, lungs, spacing)
    sides = np.zeros(scan.hu.shape, np.uint8)
    for side, lung in zip((RIGHT, LEFT), _split(lungs & ~airways, spacing), strict=True):
        whole = _close_and_fill(lung, spacing) & ~airways
        sides[_decide_rim(whole, scan.hu) & (sides == 0)] = side
    right_ml, left_ml = (float((sides == side).sum()) * scan.voxel_ml for side in (RIGHT, LEFT))
    notices = _notices(right_ml, left_ml)
    more = _more_notices(cut_off=again, ends=cut_ends(scan, sides > 0), left_out_ml=_left_out_ml(air, lungs, half))
    return LungField(sides, double(airways, scan.hu.shape), body, (*notices, *more), cropped)


def lung_field(scan: Scan, *, cropped: bool = False) -> LungField:
    """The lung field by `find_lungs`; pictures that look like crops around the lungs are taken for such.

    Around a whole slice there is air outside the body, at most of its border. In a crop the lungs reach the border, and
    are taken for air outside.
    """
    if cropped or scan.source.format != "image" or not looks_cropped(scan):
        return find_lungs(scan, cropped=cropped)
    field = find_lungs(scan, cropped=True)
    taken = Notice("Little of the picture's border is air, so it is taken for a crop around the lungs.")
    return replace(field, notices=(taken, *field.notices))


def looks_cropped(scan: Scan) -> bool:
    """Whether the border of its slices is for the most part no air."""
    border = np.ones(scan.hu.shape[1:], bool)
    border[1:-1, 1:-1] = False
    return bool((scan.hu[:, border] < AIR_BELOW_HU).mean() < BORDER_AIR)


def _touching_the_sides(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Components that reach the border of a slice: the air around the body, the couch, what is cut off."""
    borders = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
    return np.setdiff1d(np.concatenate([np.unique(border) for border in borders]), 0)


@dataclass(frozen=True, eq=False)
class _Air:
    """Air inside the body.

    Attributes:
        labels: components of all air.
        sizes_ml: of each component; 0 for those outside of the body.
        body: bool, what is inside the patient's skin.
    """

    labels: NDArray[np.int32]
    sizes_ml: NDArray[np.floating]
    body: Mask


def _air_inside(air: Mask, outside: Mask, voxel_ml: float, *, cropped: bool = False) -> _Air:
    """What is not known to be outside, and reaches no border of a slice; in crops everything."""
    labels, sizes = label(air & ~outside)
    reaching = _touching_the_sides(labels) if not cropped else np.empty(0, np.int32)
    body = _body(~(outside | np.isin(labels, reaching))) if not cropped else np.ones(air.shape, bool)
    sizes[reaching] = 0
    return _Air(labels, sizes * voxel_ml, body)


def _air_cut_off(air: Mask, voxel_ml: float, spacing_mm: Spacing) -> _Air:
    """The same where a thin way leads from the lungs to the outside, as a tube in the trachea does: it is cut."""
    wide, _ = label(erode(air, THIN_MM, spacing_mm))
    parts, _ = label(air & ~dilate(np.isin(wide, _touching_the_sides(wide)), THIN_MM, spacing_mm))
    # what is thin all over, as between body and couch, is outside too
    inner = np.setdiff1d(parts[wide > 0], [0, *_touching_the_sides(parts)])
    cut = _air_inside(air, air & ~np.isin(parts, inner), voxel_ml)
    within_ml = np.bincount(cut.labels[cut.body], minlength=len(cut.sizes_ml)) * voxel_ml
    return replace(cut, sizes_ml=np.where(within_ml >= INSIDE_SHARE * cut.sizes_ml, cut.sizes_ml, 0))


def _body(inner: Mask) -> Mask:
    """The largest solid, without the couch (its thin contacts opened), enclosed air filled."""
    opened = ndimage.binary_opening(inner, structure=np.ones((1, 5, 5)))
    return fill_slices(largest(opened))


def _lung_components(air: _Air, half: NDArray[np.float32], smallest_ml: float) -> Mask:
    """The largest component of air, if it is large enough for lungs, and a second lung where the two are not connected.

    Neither is as dark as gas. A second lung is large against the first, and lies beside it (not below, as gut does)
    over most of its height.
    """
    order = [int(part) for part in np.argsort(-air.sizes_ml)]
    large = (part for part in order if air.sizes_ml[part] >= smallest_ml)
    first = next((part for part in large if not _is_gas(air.labels == part, half)), None)
    if first is None:
        return np.zeros(air.labels.shape, bool)
    places = ndimage.find_objects(air.labels)
    z1, _, x1 = places[first - 1]
    lungs: Mask = air.labels == first
    rank = order.index(first)
    for other in order[rank + 1 : rank + 4]:
        if air.sizes_ml[other] < LARGE_SHARE * air.sizes_ml[first]:
            break
        z2, _, x2 = places[other - 1]
        beside = min(x1.stop, x2.stop) - max(x1.start, x2.start) < 0.5 * min(x1.stop - x1.start, x2.stop - x2.start)
        shared = min(z1.stop, z2.stop) - max(z1.start, z2.start) >= 0.4 * (z1.stop - z1.start)
        if beside and shared and not _is_gas(air.labels == other, half):
            lungs |= air.labels == other
    return lungs


def _is_gas(part: Mask, half: NDArray[np.float32]) -> bool:
    """Whether a component is as dark as gas where it is deeper than a voxel; all of it, if it is nowhere."""
    near = box(part, (1, 1, 1))
    deep = ndimage.binary_erosion(part[near], border_value=1)
    return bool(half[near][deep if deep.any() else part[near]].mean() <= GAS_HU)


def _left_out_ml(air: _Air, lungs: Mask, half: NDArray[np.float32]) -> float:
    """Of large components above or below the lungs that are not as dark as gas, and so may be lung that was missed."""
    least = LARGE_SHARE * air.sizes_ml[np.unique(air.labels[lungs])].sum()
    below = lungs.any(axis=0)
    missed = 0.0
    for number in np.flatnonzero(air.sizes_ml >= least):
        part = air.labels == number
        own = part.any(axis=0)
        if not (part & lungs).any() and (own & below).sum() >= 0.5 * own.sum() and not _is_gas(part, half):
            missed += float(air.sizes_ml[number])
    return missed


def _split(lungs: Mask, spacing_mm: Spacing) -> tuple[Mask, Mask]:
    """The right lung (low x) and the left; one is empty where only one is found.

    Where the lungs touch (behind the sternum, in front of the aorta) the bridge is thin: the distance to the
    rim is cut deeper and deeper until two large parts lie beside each other; a watershed gives each the rest.
    """
    coarse = lungs[:, ::2, ::2]
    depth = distance_mm(coarse, (spacing_mm[0], 2 * spacing_mm[1], 2 * spacing_mm[2]))
    for cut_mm in SPLITTING_MM:
        seeds = _two_beside(depth > cut_mm)
        if seeds is not None:
            parts = watershed(-depth, seeds, mask=coarse)
            nearest = double(parts, lungs.shape)
            return lungs & (nearest == RIGHT), lungs & (nearest == LEFT)
    columns = np.arange(lungs.shape[2])
    middle = float((lungs.sum(axis=(0, 1)) * columns).sum() / lungs.sum())
    return (lungs, np.zeros_like(lungs)) if middle < lungs.shape[2] / 2 else (np.zeros_like(lungs), lungs)


def _two_beside(mask: Mask) -> NDArray[np.int32] | None:
    """The two largest components, the right one as 1 and the left one as 2, if they are two lungs."""
    labels, sizes = label(mask)
    if np.count_nonzero(sizes) < 2:
        return None
    first, second = np.argsort(-sizes)[:2]
    if sizes[second] < SMALLEST_SHARE * sizes[first]:
        return None
    width = np.ptp(np.flatnonzero(mask.any(axis=(0, 1)))) + 1
    middles = [float(np.flatnonzero((labels == part).any(axis=(0, 1))).mean()) for part in (first, second)]
    if abs(middles[0] - middles[1]) < APART * width:
        return None
    right, left = (first, second) if middles[0] < middles[1] else (second, first)
    return np.where(labels == right, RIGHT, np.where(labels == left, LEFT, 0)).astype(np.int32)


def _close_and_fill(lung: Mask, spacing_mm: Spacing) -> Mask:
    """One lung with its vessels, and the lesions that it encloses or that dent it."""
    return fill_slices(close(lung, CLOSING_MM, spacing_mm))


def _decide_rim(half: Mask, hu: NDArray[np.int16] | NDArray[np.float32]) -> Mask:
    """The mask at full resolution: within a pixel of its rim, what is air there."""
    cross = ndimage.generate_binary_structure(3, 1)
    cross[0] = cross[2] = False
    core = double(ndimage.binary_erosion(half, cross), hu.shape)
    near = double(ndimage.binary_dilation(half, cross), hu.shape)
    decided: Mask = core | (near & (hu < AIR_BELOW_HU))
    return decided


def _blank_notices(blank: Mask) -> Iterator[Notice]:
    """One for each run of blank slices."""
    runs, count = ndimage.label(blank)
    for number in range(1, count + 1):
        found = np.flatnonzero(runs == number)
        first, last = int(found[0]) + 1, int(found[-1]) + 1
        which, whose = (f"Slice {first} is", "its") if first == last else (f"Slices {first} to {last} are", "their")
        at_an_end = first == 1 or last == len(blank)
        then = "not looked at" if at_an_end else f"the lungs there are taken from {whose} neighbours"
        yield Notice(f"{which} blank (one grey value): {then}.")


def _notices(right_ml: float, left_ml: float) -> tuple[Notice, ...]:
    small, large = sorted((right_ml, left_ml))
    if large == 0:
        return (
            Notice(
                "No lung was found (there is none, or the field of view cuts it off, or an airway is open to the "
                "outside): nothing can be said of it, and percentages are left out."
            ),
        )
    if small < IMPLAUSIBLE_RATIO * large:
        side = "right" if right_ml < left_ml else "left"
        return (
            Notice(
                f"The {side} lung that was found is implausibly small ({small:.0f} mL against {large:.0f} mL): "
                "percentages of the lung are a guess."
            ),
        )
    return ()


def _more_notices(*, cut_off: bool, ends: tuple[bool, bool], left_out_ml: float) -> Iterator[Notice]:
    """Of how the lungs were found, and what is lacking."""
    if cut_off:
        yield Notice(
            "The lungs are open to the air around the body, by an airway or the edge of the field of view, and were "
            "told from it where the way is thin: percentages of the lung are a guess."
        )
    if left_out_ml > 0:
        yield Notice(
            f"Part of the lung may be missing: {left_out_ml:.0f} mL of air above or below what was found are left out, "
            "and percentages of the lung are a guess."
        )
    reached = [name for name, cut in zip(("first slice (feet)", "last slice (head)"), ends, strict=True) if cut]
    if reached:
        yield Notice(
            f"The lungs reach the {' and the '.join(reached)}: the scan does not hold all of them. Volumes are of what "
            "was scanned, and there is no six-zone score."
        )

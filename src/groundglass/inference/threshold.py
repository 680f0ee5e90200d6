"""Ground glass and consolidation by Hounsfield ranges: the floor that every learnt model must beat.

The ranges are those that users of 3D Slicer's Lung CT Analyzer get by default: -750 to -400 HU
"infiltrated", above -400 HU "collapsed" (R. Bumm et al., SlicerLungCTAnalyzer; there 0 HU and more is
"vessel", here vessels are told by their shape). Ranges alone call a tenth of a healthy lung infiltrated:
the blurred rims of vessels, of airways and of the pleura. So a lesion has to have a core of haze, away from
all of these and thicker than a vessel's rim, or a solid core thicker than a vessel and off the hilum; what
lies around a core and is dense enough belongs to it. All at half in-plane resolution, within the lung field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.inference.postprocess import complete
from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.preprocess.grid import box, double_smoothly, halve
from groundglass.preprocess.lung import lung_field
from groundglass.preprocess.morphology import Mask, Spacing, dilate, distance_mm, label, open_
from groundglass.scan import Scan

HAZE_ABOVE_HU: Final = -750.0  # Lung CT Analyzer: inflated | infiltrated
SOLID_ABOVE_HU: Final = -400.0  # Lung CT Analyzer: infiltrated | collapsed
# Ours, in millimetres and millilitres: chosen so that a healthy lung stays clean.
SMOOTHING_MM: Final = 1.0  # standard deviation
VESSEL_ABOVE_HU: Final = -300.0
VESSEL_RIM_MM: Final = 3.0
PLEURAL_RIM_MM: Final = 3.0
HAZE_RADIUS_MM: Final = 3.0  # a ball that a core of haze holds; as much as a slice, where slices are thicker
SOLID_RADIUS_MM: Final = 5.0  # a ball that a solid core holds; vessels off the hilum are thinner
HILUM_MM: Final = 20.0  # from the large airways: vessels there are as thick as lesions
GROWING_MM: Final = 6.0  # from a core to the lesion's rim
SMALLEST_CORE_ML: Final = 0.2
SMALLEST_LESION_ML: Final = 0.5
WHOLE_MM: Final = 8.0  # a scan lower than that shows a part of each lesion, so smaller ones count in proportion

CARD: Final = ModelCard(
    name="threshold",
    summary=(
        "Hounsfield ranges inside a classical lung field: ground-glass opacity from -750 to -400 HU, consolidation "
        "above -400 HU, vessels and airway walls suppressed by shape, specks under 0.5 mL removed."
    ),
    trained_on="Nothing: it is a classical method without training data.",
    lung_from=(
        "The classical lung field, a lower bound: solid lung that touches the pleura looks like chest wall "
        "and is not in it."
    ),
    sources=("Ranges: defaults of Lung CT Analyzer, an extension of 3D Slicer (R. Bumm et al.).",),
)


def segment_by_threshold(scan: Scan, on_phase: Callable[[str], object] = str, *, cropped: bool = False) -> Segmentation:
    """Lung, ground-glass opacity and consolidation of a scan, without a trained model.

    Args:
        scan: in Hounsfield units.
        on_phase: called with the name of each phase as it begins.
        cropped: the slices are crops around the lungs.
    """
    on_phase("lung field")
    field = lung_field(scan, cropped=cropped)
    on_phase("lesions")
    lesions = np.zeros(scan.hu.shape, np.uint8)
    if field.mask.any():
        along, down, across = box(field.mask, (0, 0, 0))
        near = (along, slice(down.start // 2 * 2, down.stop), slice(across.start // 2 * 2, across.stop))
        z, y, x = scan.spacing_mm
        infection, solid = _lesions(
            halve(scan.hu[near]),
            field.mask[near][:, ::2, ::2],
            field.airways[near][:, ::2, ::2],
            (z, 2 * y, 2 * x),
        )
        inside = field.mask[near]
        whole = double_smoothly(infection, inside.shape) & inside
        lesions[near] = np.where(whole, np.where(double_smoothly(solid, inside.shape), 3, 2), 0)
    return complete(lesions, field, scan, CARD)


def _lesions(half: NDArray[np.float32], lung: Mask, airways: Mask, spacing_mm: Spacing) -> tuple[Mask, Mask]:
    """Infection, and the consolidation in it, at half resolution."""
    smooth = _smooth_within(half, lung, spacing_mm)
    dense = lung & (half > VESSEL_ABOVE_HU)
    rims = dilate(dense, VESSEL_RIM_MM, spacing_mm) | (distance_mm(lung, spacing_mm) <= PLEURAL_RIM_MM)
    hazy = lung & (smooth > HAZE_ABOVE_HU)
    radius_mm = max(HAZE_RADIUS_MM, spacing_mm[0])  # a vessel is blurred into haze as wide as a slice is thick
    haze_core = _without_specks(open_(hazy & ~rims, radius_mm, spacing_mm), SMALLEST_CORE_ML, spacing_mm)
    off_hilum = dense & ~dilate(airways, HILUM_MM, spacing_mm)
    solid_core = _without_specks(open_(off_hilum, SOLID_RADIUS_MM, spacing_mm), SMALLEST_CORE_ML, spacing_mm)
    grown = hazy & dilate(haze_core | solid_core, GROWING_MM, spacing_mm)
    infection = _without_specks(grown, SMALLEST_LESION_ML, spacing_mm)
    solid = open_(infection & (smooth > SOLID_ABOVE_HU), SMOOTHING_MM, spacing_mm)
    return infection, solid


def _smooth_within(half: NDArray[np.float32], lung: Mask, spacing_mm: Spacing) -> NDArray[np.float32]:
    """Gaussian mean over lung only, so that the chest wall does not blur into it."""
    sigma = [SMOOTHING_MM / step for step in spacing_mm]
    weight = ndimage.gaussian_filter(lung.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(lung, half, np.float32(0)), sigma)
    mean: NDArray[np.float32] = total / np.maximum(weight, np.float32(1e-3))
    return mean


def _without_specks(mask: Mask, smallest_ml: float, spacing_mm: Spacing) -> Mask:
    shown = min(1.0, len(mask) * spacing_mm[0] / WHOLE_MM)
    labels, sizes = label(mask, corners=True)
    kept: Mask = (sizes * (float(np.prod(spacing_mm)) / 1000) >= smallest_ml * shown)[labels]
    return kept

"""Ground glass by clusters of grey values: the model that needs no label and no training, and labels for one that does.

The steps stand in `groundglass.preprocess.clusters`; here are the scan around them and what the clusters say: a
label map for ``segment``, label sets for a training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from groundglass.inference.postprocess import complete
from groundglass.inference.segmentation import ModelCard, Segmentation
from groundglass.labels import CODE_OF_TISSUE, Tissue
from groundglass.preprocess.clusters import Steps, our_steps
from groundglass.preprocess.lung import lung_field
from groundglass.scan import Scan

# The label sets that clusters can say.
SETS: Final = (
    int(Tissue.BACKGROUND),
    int(Tissue.LUNG),
    int(Tissue.GROUND_GLASS),
    int(Tissue.LUNG | Tissue.GROUND_GLASS),
    int(Tissue.LUNG | Tissue.CONSOLIDATION),
)

CARD: Final = ModelCard(
    name="kmeans",
    summary=(
        "The densest of three clusters of grey values in each slice of a classical lung field, its centre at least "
        "-650 HU, without vessels and rims, opened with a line and closed with a disk: ground-glass opacity only."
    ),
    trained_on="Nothing: it is a classical method without training data.",
    lung_from=(
        "The classical lung field, a lower bound: solid lung that touches the pleura looks like chest wall "
        "and is not in it."
    ),
    sources=(
        "Steps: V. L. Balantrapu, DRSegUNet, MSc thesis, University of Birmingham, 2021, section 4.4.1; lung, floor "
        "and specks are ours.",
    ),
)


def segment_by_kmeans(scan: Scan, on_phase: Callable[[str], object] = str, *, cropped: bool = False) -> Segmentation:
    """Lung and ground-glass opacity of a scan, without a trained model.

    Args:
        scan: in Hounsfield units.
        on_phase: called with the name of each phase as it begins.
        cropped: the slices are crops around the lungs.
    """
    on_phase("lung field")
    field = lung_field(scan, cropped=cropped)
    on_phase("clusters")
    lesions = np.zeros(scan.hu.shape, np.uint8)
    for z in np.flatnonzero(field.mask.any(axis=(1, 2))):
        found = our_steps(scan.hu[z], field.mask[z] & ~field.airways[z], scan.spacing_mm[1:])
        lesions[z][found.ground_glass] = CODE_OF_TISSUE[Tissue.GROUND_GLASS]
    return complete(lesions, field, scan, CARD)


def label_by_kmeans(scan: Scan) -> NDArray[np.uint8]:
    """Label sets ``[z, y, x]`` for a training, uint8.

    Grey values do not tell a vessel from a solid lesion, nor the rim of either from haze: these are "lung or
    consolidation" and "lung or ground glass".
    """
    field = lung_field(scan)
    sets = np.full(scan.hu.shape, int(Tissue.BACKGROUND), np.uint8)
    for plane, hu, lung in zip(sets, scan.hu, field.mask, strict=True):
        if lung.any():
            plane[:] = sets_of(our_steps(hu, lung, scan.spacing_mm[1:]))
    return sets


def sets_of(steps: Steps) -> NDArray[np.uint8]:
    """What the steps on a slice say of each pixel, as label sets (H, W)."""
    sets = np.full(steps.lung.shape, int(Tissue.BACKGROUND), np.uint8)
    for mask, tissues in (
        (steps.lung, Tissue.LUNG),
        (steps.solid, Tissue.LUNG | Tissue.CONSOLIDATION),
        (steps.rim, Tissue.LUNG | Tissue.GROUND_GLASS),
        (steps.ground_glass, Tissue.GROUND_GLASS),
    ):
        sets[mask] = int(tissues)
    return sets

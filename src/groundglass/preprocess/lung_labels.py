"""Lesion labels that also tell lung from the rest, where the classical lung field is to be trusted.

Labels of lesions alone leave "background or lung" open everywhere else. The field is right about most of it: what it
holds is lung, and what lies outside of it and is solid, or outside of the body, is not. What is air in the body outside
of it stays open: that may be an airway, gut, or lung that the field has missed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundglass.labels import NOT_LESION, Tissue
from groundglass.preprocess.lung import AIR_BELOW_HU
from groundglass.preprocess.morphology import Mask

RIM: Final = ndimage.generate_binary_structure(2, 2)  # a pixel around the field stays open


def narrow(
    sets: NDArray[np.uint8], hu: NDArray[np.int16] | NDArray[np.float32], lungs: Mask, body: Mask
) -> NDArray[np.uint8]:
    """Label sets in which "background or lung" is decided where the lung field decides it; others stay as they are.

    Args:
        sets: of a slice, uint8 (H, W).
        hu: of the slice.
        lungs: the classical field in it; where it is empty, nothing is decided.
        body: what is inside the patient's skin.
    """
    if not lungs.any():
        return sets
    narrowed = sets.copy()
    undecided = sets == int(NOT_LESION)
    narrowed[undecided & lungs] = int(Tissue.LUNG)
    away = ~ndimage.binary_dilation(lungs, RIM)
    narrowed[undecided & away & ((hu >= AIR_BELOW_HU) | ~body)] = int(Tissue.BACKGROUND)
    return narrowed

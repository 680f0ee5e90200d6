"""Strong augmentation of pictures whose grey values are Hounsfield units: it leaves them nearly what they are.

How dense a lesion is tells ground glass from consolidation, and gamma and wide contrast blur that. So far nothing has
been gained by it (docs/experiments.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from groundglass.augment.strong import Strong


@dataclass(frozen=True)
class Calibrated(Strong):
    """Strong augmentation, but brightness and contrast as `Weak` has them, what calibration errs by, and no gamma."""

    brightness: float = 0.04
    contrast: float = 0.1
    gamma: float = 0.0

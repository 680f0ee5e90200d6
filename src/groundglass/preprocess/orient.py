"""The eight ways a picture can lie, by name, and the way back.

Which one holds is said by the reader of a data set or by the user; nothing is guessed. A finder by symmetry and
spine was right on 63 to 77 % of real crops, which is worse than none: a picture that is left alone is met by
training that augments over all eight, a wrong guess is met by nothing. No left and right is measured on pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundglass.errors import UsageError
from groundglass.scan import Axes, GreyImage

Orientation = Literal[
    "as-is", "turn-90", "turn-180", "turn-270", "flip-left-right", "flip-up-down", "transpose", "anti-transpose"
]
ORIENTATIONS: Final[tuple[Orientation, ...]] = get_args(Orientation)
# (quarter turns counter-clockwise, flip left and right afterwards)
_STEPS: Final[Mapping[str, tuple[int, bool]]] = {
    "as-is": (0, False),
    "turn-90": (1, False),
    "turn-180": (2, False),
    "turn-270": (3, False),
    "flip-left-right": (0, True),
    "flip-up-down": (2, True),
    "transpose": (3, True),
    "anti-transpose": (1, True),
}
# The same as axes: rows and columns exchanged or not, rows and columns counted the other way or not.
_STRAIGHT: Final = (2, 1, 0)
_EXCHANGED: Final = (2, 0, 1)
_AXES: Final[Mapping[str, Axes]] = {
    "as-is": Axes(_STRAIGHT),
    "turn-90": Axes(_EXCHANGED, (False, True, False)),
    "turn-180": Axes(_STRAIGHT, (False, True, True)),
    "turn-270": Axes(_EXCHANGED, (False, False, True)),
    "flip-left-right": Axes(_STRAIGHT, (False, False, True)),
    "flip-up-down": Axes(_STRAIGHT, (False, True, False)),
    "transpose": Axes(_EXCHANGED),
    "anti-transpose": Axes(_EXCHANGED, (False, True, True)),
}
_INVERSES: Final[Mapping[str, Orientation]] = {"turn-90": "turn-270", "turn-270": "turn-90"}


def orient(planes: NDArray[Any], orientation: Orientation) -> NDArray[Any]:
    """Pictures turned or flipped in their last two axes, (..., H, W); turns are counter-clockwise. A copy.

    Raises:
        UsageError: no such orientation.
    """
    turns, flipped = _STEPS[check_orientation(orientation)]
    turned = np.rot90(planes, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flipped else turned)


def oriented(image: GreyImage, orientation: Orientation) -> GreyImage:
    """Pictures turned or flipped; label maps are written back the way the files lie."""
    axes = _AXES[check_orientation(orientation)]
    turned = np.ascontiguousarray(axes.to_canonical(image.source.axes.from_canonical(image.grey)))
    return GreyImage(turned, replace(image.source, axes=axes))


def inverse(orientation: Orientation) -> Orientation:
    """What undoes an orientation: the quarter turns undo each other, all others undo themselves."""
    return _INVERSES.get(check_orientation(orientation), orientation)


def check_orientation(name: str) -> Orientation:
    """The name, if it is one of the eight.

    Raises:
        UsageError: it is not.
    """
    for orientation in ORIENTATIONS:
        if name == orientation:
            return orientation
    raise UsageError(
        "There is no orientation of that name.",
        expected=f"one of {', '.join(ORIENTATIONS)}",
        remedy="Say how the pictures have to be turned or flipped until the front is up and the patient's right is "
        "on the left.",
    )

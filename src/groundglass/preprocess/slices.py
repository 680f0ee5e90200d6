"""A slice to the picture that a network sees, and the network's probabilities back to the slice.

Crop, resize, window: the same for training and for prediction, by one `Preparation`. Resizing keeps pixel centres
(no half-pixel shift) and averages where it shrinks (antialiased). Labels are resized as one plane for each set
that occurs, then the largest wins; never on the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from groundglass.labels import UNKNOWN, check_label_sets
from groundglass.preprocess.preparation import Preparation

Box = tuple[int, int, int, int]  # (top, left, bottom, right) in pixels, the last two exclusive
SMALLEST_LUNG_SHARE: Final = 0.01  # of the most lung that any slice of the scan has: below it is no slice of lung


@dataclass(frozen=True)
class Frame:
    """Where a slice's crop lies, and where in the prepared picture it was laid.

    Attributes:
        shape: (H, W) of the slice.
        box: of the crop, in the slice.
        inner: of the crop, in the prepared picture; the rest is padding.
        size: (height, width) of the prepared picture.
    """

    shape: tuple[int, int]
    box: Box
    inner: Box
    size: tuple[int, int]

    @property
    def padding(self) -> NDArray[np.bool_]:
        """Where the prepared picture shows nothing of the slice, (height, width)."""
        nothing = np.ones(self.size, bool)
        _part(nothing, self.inner)[:] = False
        return nothing


def lung_boxes(lungs: NDArray[np.bool_], preparation: Preparation) -> tuple[Box | None, ...]:
    """The crop of each slice of a scan: the box of its lungs and a margin; None where there is no lung.

    Args:
        lungs: both lungs, ``[z, y, x]``.
        preparation: its margin and its smallest crop; nothing else of it matters here.
    """
    areas = lungs.sum(axis=(1, 2))
    if not areas.any():
        return (None,) * len(lungs)
    anywhere: NDArray[np.bool_] = np.logical_or.reduce(lungs, axis=0)
    whole = _box(anywhere)
    least = tuple(preparation.smallest * (whole[axis + 2] - whole[axis]) for axis in (0, 1))
    return tuple(
        _widened(_box(plane), (least[0], least[1]), preparation.margin, (plane.shape[0], plane.shape[1]))
        if area > SMALLEST_LUNG_SHARE * areas.max()
        else None
        for plane, area in zip(lungs, areas, strict=True)
    )


def _box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box that holds a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _widened(box: Box, least: tuple[float, float], margin: float, shape: tuple[int, int]) -> Box:
    """The box around the same middle with a margin, at least so large, and inside the slice."""
    wide = margin * max(box[2] - box[0], box[3] - box[1])
    sides = []
    for axis in (0, 1):
        low, high = box[axis] - wide, box[axis + 2] + wide
        more = max(least[axis] - (high - low), 0) / 2
        sides.append((max(round(low - more), 0), min(round(high + more), shape[axis])))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def frame(shape: tuple[int, int], box: Box | None, preparation: Preparation) -> Frame:
    """The frame of a slice (H, W) for its crop; the whole slice where ``box`` is None."""
    top, left, bottom, right = crop = box or (0, 0, *shape)
    height, width = preparation.size
    if preparation.fit == "stretch":
        return Frame(shape, crop, (0, 0, height, width), preparation.size)
    scale = min(height / (bottom - top), width / (right - left))
    inner = max(round(scale * (bottom - top)), 1), max(round(scale * (right - left)), 1)
    up, aside = (height - inner[0]) // 2, (width - inner[1]) // 2
    return Frame(shape, crop, (up, aside, up + inner[0], aside + inner[1]), preparation.size)


def tiles(where: Frame) -> tuple[Frame, ...]:
    """Squares of the prepared size that cover a frame's crop at the slice's own resolution; the last ones are padded.

    StichNet (2020, section 4.4): a picture of which a network answers each square, trained on down-sized ones.
    """
    height, width = where.size
    top, left, bottom, right = where.box
    boxes = [
        (y, x, min(y + height, bottom), min(x + width, right))
        for y in range(top, bottom, height)
        for x in range(left, right, width)
    ]
    return tuple(Frame(where.shape, box, (0, 0, box[2] - box[0], box[3] - box[1]), where.size) for box in boxes)


def prepare_image(hu: NDArray[Any], where: Frame, window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """The picture that a network sees.

    Args:
        hu: the slice, (H, W).
        where: its frame.
        window_hu: HU of 0 and 1. What lies outside is cut off before resizing, as in pictures that were saved so.

    Returns:
        (height, width), [0, 1]; padding is 0 (air).
    """
    black, white = window_hu
    cropped = np.clip(_part(hu, where.box).astype(np.float32), black, white)
    picture = np.zeros(where.size, np.float32)
    _part(picture, where.inner)[:] = (_resized(cropped, where.inner) - np.float32(black)) / np.float32(white - black)
    return np.clip(picture, 0, 1, out=picture)


def prepare_labels(sets: NDArray[np.uint8], where: Frame) -> NDArray[np.uint8]:
    """Label sets of a slice (H, W) in the prepared picture; padding is unknown.

    Padding is not background: in a set whose labels say "background or lung" it would be all that tells the two
    apart, and a network would learn that what is not padding is lung.
    """
    cropped = _part(check_label_sets(sets), where.box)
    present = np.unique(cropped)
    planes = [_resized((cropped == value).astype(np.float32), where.inner) for value in present]
    picture = np.full(where.size, UNKNOWN, np.uint8)
    _part(picture, where.inner)[:] = present[np.argmax(planes, axis=0)]
    return picture


def restore(
    probabilities: NDArray[np.float32], where: Frame, outside: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Probabilities of a prepared picture on the slice that it came from.

    Args:
        probabilities: (K, height, width).
        where: the frame that the picture was prepared with.
        outside: of each of the K, beyond the crop; 0 by default.

    Returns:
        (K, H, W).
    """
    whole = np.zeros((len(probabilities), *where.shape), np.float32)
    if outside is not None:
        whole += np.asarray(outside, np.float32)[:, None, None]
    for plane, out in zip(probabilities, whole, strict=True):
        _part(out, where.box)[:] = _resized(_part(plane, where.inner), where.box)
    return whole


def _part(plane: NDArray[Any], box: Box) -> NDArray[Any]:
    """A view of a box of a plane."""
    return plane[box[0] : box[2], box[1] : box[3]]


def _resized(plane: NDArray[Any], like: Box) -> NDArray[np.float32]:
    """A plane at the size of a box, bilinear, averaged over its pixels where it shrinks."""
    size = like[3] - like[1], like[2] - like[0]
    if (plane.shape[1], plane.shape[0]) == size:
        return plane.astype(np.float32)
    picture = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))

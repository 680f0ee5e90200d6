"""Pictures that are nearly one, however they were turned, flipped, cropped or windowed.

A picture is cut to what it shows and made 64 x 64. Likeness is Pearson's correlation, which no linear change of grey
values alters. Two questions, two measures:

- `near_duplicates`: are two pictures the same slice, or the next? Candidates are the likest in all eight orientations.
  One of each two is cropped so that it suits the other best, and the score is the correlation of their **detail**,
  what is finer than 3 % of the picture: vessels differ between patients where outlines do not.
- `alike`: could two single slices be of one patient? The correlation as framed, outlines and all. A hint, no proof.

Measured on COVID-SemiSeg. Of its 50 labelled slices 19 pairs are of one patient; most of these lie at other levels of
the chest, which no picture tells. Its 20 unlabelled volumes give neighbouring slices and strangers:

| score | from | of the 19 pairs | of 1,206 other pairs | neighbouring slices | pairs of strangers |
|---|---|---|---|---|---|
| detail | 0.7 | 2 | 0 (at most 0.41) | 98 % | none (at most 0.64) |
| as framed | 0.8 | 9 | 0 (at most 0.79) | 99.6 % | 3 % (at most 0.90) |

So likeness as framed says nothing of slices of two volumes, for among hundreds of slices some are always alike.
Phantoms are liker than patients: detail of strangers reaches 0.86, and 20 of 7,000 pairs pass the threshold.

Hashes of the signs of cosine coefficients (perceptual hashes) were tried for the search. At the threshold that no pair
of strangers reaches, 64, 144 and 256 bits find 22, 85 and 94 % of the neighbouring slices, plain correlation 99 %, and
all correlations at once are a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, optimize
from skimage.filters import threshold_otsu

from groundglass.errors import UsageError
from groundglass.preprocess.orient import ORIENTATIONS, Orientation, orient

NEAR_DUPLICATE: Final = 0.7
ALIKE: Final = 0.8
_SIDE: Final = 64  # pixels of a view
_COARSE: Final = 32  # pixels of what candidates are sought with
_FINDING: Final = 128  # pixels of what boxes are found on
_CLOSEST: Final = 12  # candidates of a picture
_CROP: Final = 0.05  # of a side, that candidates are sought at besides the whole
_RIM: Final = 4  # pixels of a view on each side: two crops may differ by 6 %
_DETAIL: Final = 2.0  # pixels of a view, standard deviation of the blur that detail is the rest of
_SMALLEST_PART: Final = 0.01  # of a picture
_SMALLEST_LUNGS: Final = 0.05  # of a picture
_NEARLY_ALL: Final = 0.85  # of a picture: lungs that fill so much of it are no second view
_UNIFORM: Final = 0.05  # of a picture's spread of grey: rows and columns below it are padding

Views = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom; of `_boxes` in shares of the sides, else pixels


@dataclass(frozen=True)
class Match:
    """Two pictures that are likely one.

    Attributes:
        first: its place in the first sequence.
        second: its place in the second.
        score: a correlation, -1 to 1; of what, the function says.
        orientation: how the first is turned or flipped to lie as the second.
    """

    first: int
    second: int
    score: float
    orientation: Orientation


@dataclass(frozen=True, eq=False)
class _Shelf:
    """Views of many pictures, as columns for products."""

    views: Views
    starts: NDArray[np.intp]  # the first view of each picture
    whole: NDArray[np.float32]
    inner: NDArray[np.float32]


def views(picture: NDArray[Any]) -> Views:
    """What is compared of a picture: float32 (1 or 2, 64, 64), each of mean 0 and length 1; 0 if all is one grey.

    The first is cut to the lungs where air lies around the body, else to all that is no padding. The second, where
    there are lungs that do not reach the border, is the other of the two.

    Args:
        picture: (H, W), any scale of grey, bright bodies and dark lungs; HU cut to a window.

    Raises:
        UsageError: no plane, or a value that is no finite number.
    """
    grey = np.asarray(picture, np.float32)
    if grey.ndim != 2 or not grey.size or not np.isfinite(grey).all():
        raise UsageError(
            f"A picture of shape {grey.shape}, or one whose values are no finite numbers.",
            expected="(H, W), finite",
            remedy="Give single slices, in a window.",
        )
    height, width = grey.shape
    boxes = _boxes(_resized(grey, _FINDING))
    return np.stack(
        [_normal(_resized(grey, _SIDE, (x * width, y * height, r * width, b * height))) for x, y, r, b in boxes]
    )


def near_duplicates(
    first: Sequence[Views], second: Sequence[Views], *, least: float = NEAR_DUPLICATE, closest: int = _CLOSEST
) -> list[Match]:
    """Pairs of a first and a second picture that are one slice, or neighbours; the likest first.

    Args:
        first: views of each picture of one side.
        second: of the other.
        least: score, the correlation of detail at the best crop, from which a pair is told.
        closest: how many candidates of each first picture are looked at.
    """
    if not second:
        return []
    shelf = _shelved(second)
    found = (
        Match(place, partner, score, orientation)
        for place, seen in enumerate(first)
        for partner, score, orientation in _compared(seen, shelf, closest)
        if score >= least
    )
    return _likest_first(found)


def alike(first: Sequence[Views], second: Sequence[Views], *, least: float = ALIKE) -> list[Match]:
    """Pairs whose correlation as framed (the score) is ``least`` or more in some orientation; the likest first."""
    if not second:
        return []
    columns = np.stack([seen[0] for seen in second]).reshape(len(second), -1).T
    found = []
    for place, seen in enumerate(first):
        scores = np.stack([orient(seen[0], orientation).ravel() for orientation in ORIENTATIONS]) @ columns
        best, how = scores.max(axis=0), scores.argmax(axis=0)
        found += [
            Match(place, int(partner), min(float(best[partner]), 1.0), ORIENTATIONS[how[partner]])
            for partner in np.flatnonzero(best >= least)
        ]
    return _likest_first(found)


def _likest_first(found: Iterator[Match] | list[Match]) -> list[Match]:
    return sorted(found, key=lambda match: (-match.score, match.first, match.second))


def _shelved(pictures: Sequence[Views]) -> _Shelf:
    every = np.concatenate(pictures)
    starts = np.cumsum([0, *(len(seen) for seen in pictures[:-1])])
    return _Shelf(every, starts, _coarse(every, 0).T, _coarse(every, _CROP).T)


def _compared(seen: Views, shelf: _Shelf, closest: int) -> Iterator[tuple[int, float, Orientation]]:
    """The candidates of a picture, each with its score and orientation."""
    turned = np.concatenate([orient(seen, orientation) for orientation in ORIENTATIONS])
    whole, inner = _coarse(turned, 0), _coarse(turned, _CROP)
    scores = np.concatenate([whole @ shelf.whole, inner @ shelf.whole, whole @ shelf.inner])
    best, how = scores.max(axis=0), scores.argmax(axis=0)
    of_picture = np.maximum.reduceat(best, shelf.starts)
    for partner in np.argsort(-of_picture, kind="stable")[:closest]:
        start = shelf.starts[partner]
        end = shelf.starts[partner + 1] if partner + 1 < len(shelf.starts) else len(best)
        view = start + int(best[start:end].argmax())
        crop, place = divmod(int(how[view]), len(turned))
        score = _detail_at_best_crop(turned[place], shelf.views[view], crop)
        yield int(partner), score, ORIENTATIONS[place // len(seen)]


def _detail_at_best_crop(one: NDArray[np.float32], other: NDArray[np.float32], crop: int) -> float:
    """Correlation of the detail of the middle of ``other`` with the part of ``one`` that suits it best.

    Args:
        one: (64, 64).
        other: (64, 64).
        crop: where to begin: 0 the two have one frame, 1 ``other`` is the narrower, 2 ``one`` is.
    """
    middle = other[_RIM:-_RIM, _RIM:-_RIM]
    target, picture = _normal(middle), Image.fromarray(np.ascontiguousarray(one))

    def part(corners: NDArray[np.float64]) -> NDArray[np.float32]:
        left, top, right, bottom = corners
        return np.asarray(picture.resize(middle.shape, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))

    wide = _CROP * _SIDE
    low = (_RIM, wide + _RIM * (1 - 2 * _CROP), (_RIM - wide) / (1 - 2 * _CROP))[crop]
    start = np.array([low, low, _SIDE - low, _SIDE - low])
    steps = 1.5 * np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, -1, 0], [0, 1, 0, -1]])  # moves and zooms
    limits = np.array([[0, 2 * _RIM]] * 2 + [[_SIDE - 2 * _RIM, _SIDE]] * 2, np.float64)
    found = optimize.minimize(
        lambda corners: -float(np.vdot(_normal(part(corners)), target)),
        start,
        method="Nelder-Mead",
        bounds=limits,
        options={
            "initial_simplex": np.clip(np.vstack([start, start + steps]), limits[:, 0], limits[:, 1]),
            "xatol": 0.1,
            "fatol": 1e-3,
            "maxfev": 120,
        },
    )
    return min(float(np.vdot(_detail(part(found.x)), _detail(middle))), 1.0)


def _detail(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return _normal(picture - ndimage.gaussian_filter(picture, _DETAIL))


def _coarse(pictures: Views, crop: float) -> NDArray[np.float32]:
    """Views, small, less a share of each side: (V, 1024)."""
    box = (crop * _SIDE, crop * _SIDE, (1 - crop) * _SIDE, (1 - crop) * _SIDE)
    return np.stack([_normal(_resized(picture, _COARSE, box)).ravel() for picture in pictures])


def _boxes(small: NDArray[np.float32]) -> list[Box]:
    """What is not padding, and the lungs, in shares of the sides; the one to frame by first."""
    spread = _UNIFORM * np.ptp(small)
    rows, columns = np.ptp(small, axis=1) > spread, np.ptp(small, axis=0) > spread
    if not rows.any() or not columns.any():
        return [(0, 0, 1, 1)]
    shown = _box(rows[:, None] & columns[None])
    left, top, right, bottom = shown
    inner = small[top:bottom, left:right]
    dark = inner < threshold_otsu(inner)
    lungs = _enclosed(dark)
    if not lungs.any():
        return [_shares(shown)]
    x, y, r, b = _box(lungs)
    if (r - x) * (b - y) > _NEARLY_ALL * dark.size:
        return [_shares(shown)]
    both = [_shares(shown), _shares((left + x, top + y, left + r, top + b))]
    return both[::-1] if dark[[0, 0, -1, -1], [0, -1, 0, -1]].all() else both  # air in all corners: a whole slice


def _enclosed(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The dark parts that do not reach the border; nothing if they are too small for lungs."""
    labels, _ = ndimage.label(dark)
    sizes = np.bincount(labels.ravel())
    sizes[np.concatenate([[0], labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    parts: NDArray[np.bool_] = (sizes > _SMALLEST_PART * dark.size)[labels]
    return parts if parts.sum() > _SMALLEST_LUNGS * dark.size else np.zeros_like(dark)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _shares(box: tuple[int, int, int, int]) -> Box:
    left, top, right, bottom = (place / _FINDING for place in box)
    return left, top, right, bottom


def _resized(picture: NDArray[np.float32], side: int, box: Box | None = None) -> NDArray[np.float32]:
    """A part of a picture as (side, side), averaged where it shrinks."""
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), Image.Resampling.BILINEAR, box=box)
    )


def _normal(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of mean 0 and length 1; 0 where all is one grey."""
    centred = picture - picture.mean()
    length = float(np.linalg.norm(centred))
    return centred / np.float32(length) if length > 1e-4 else np.zeros_like(centred)

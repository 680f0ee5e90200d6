"""Masks and maps that other implementations were asked about; seeded, so that only answers are kept."""

import numpy as np
from scipy import ndimage


def blobs(seed, shape, share=0.3):
    """Smooth random spots on about ``share`` of the pixels, also at the border."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5, mode="wrap")
    return field > np.quantile(field, 1 - share)


def noise(seed, shape, share=0.3):
    return np.random.default_rng(seed).random(shape) < share


def point(shape, *index):
    mask = np.zeros(shape, bool)
    mask[index] = True
    return mask


def box(shape, *sides):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


FLAT, SOLID = (24, 31), (7, 12, 10)

# name -> found, true, spacing in mm; none is empty
PAIRS = {
    "blobs": (blobs(1, FLAT), blobs(2, FLAT), (1.0, 1.0)),
    "anisotropic": (blobs(3, FLAT), blobs(4, FLAT), (0.7, 2.3)),
    "noise": (noise(5, FLAT), noise(6, FLAT), (0.7, 0.7)),
    "same": (blobs(7, FLAT), blobs(7, FLAT), (0.7, 0.7)),
    "points": (point(FLAT, 2, 3), point(FLAT, 5, 7), (1.0, 1.0)),
    "point in a blob": (point(FLAT, 12, 12), blobs(8, FLAT), (1.5, 0.5)),
    "full": (np.ones(FLAT, bool), blobs(9, FLAT), (1.0, 1.0)),
    "corners": (box(FLAT, (0, 6), (0, 5)), box(FLAT, (16, 24), (20, 31)), (0.8, 0.8)),
    "far speck": (box(FLAT, (4, 20), (4, 20)) | point(FLAT, 0, 30), box(FLAT, (5, 20), (4, 21)), (1.0, 1.0)),
    "solid blobs": (blobs(10, SOLID), blobs(11, SOLID), (1.0, 1.0, 1.0)),
    "thick slices": (blobs(12, SOLID), blobs(13, SOLID), (5.0, 0.7, 0.9)),
    "solid noise": (noise(14, SOLID), noise(15, SOLID), (2.0, 0.7, 0.7)),
    "solid point": (point(SOLID, 0, 0, 0), point(SOLID, 6, 11, 9), (2.0, 0.7, 0.7)),
    "solid full": (np.ones(SOLID, bool), box(SOLID, (2, 5), (3, 9), (3, 7)), (1.5, 1.0, 1.0)),
}
TOLERANCES_MM = (0.0, 1.0, 2.1)


def _map(seed, truth, weight=0.5):
    """A map that knows something of the truth."""
    field = np.random.default_rng(seed).random(truth.shape)
    return ((1 - weight) * field + weight * ndimage.uniform_filter(truth.astype(float), 3)).clip(0, 1)


BLOB = blobs(21, FLAT, 0.15)
NEVER, ALWAYS = np.zeros(FLAT, bool), np.ones(FLAT, bool)

# name -> map, truth
MAPS = {
    "good": (_map(22, BLOB, 0.8), BLOB),
    "vague": (_map(23, BLOB, 0.1), BLOB),
    "wrong": (1 - _map(24, BLOB, 0.8), BLOB),
    "binary": (blobs(25, FLAT).astype(float), BLOB),
    "right": (BLOB.astype(float), BLOB),
    "zeros": (np.zeros(FLAT), BLOB),
    "ones": (np.ones(FLAT), BLOB),
    "empty truth": (_map(26, NEVER), NEVER),
    "full truth": (_map(27, ALWAYS), ALWAYS),
    "zeros, empty truth": (np.zeros(FLAT), NEVER),
    "one pixel": (_map(28, point(FLAT, 9, 13)), point(FLAT, 9, 13)),
    "top left": (_map(29, box(FLAT, (0, 3), (0, 4))), box(FLAT, (0, 3), (0, 4))),
    "8 bit": (np.floor(256 * _map(30, BLOB, 0.6)).clip(0, 255) / 255, BLOB),
    "noisy truth": (_map(31, noise(32, FLAT)), noise(32, FLAT)),
}
SAMPLED = slice(None, None, 15)  # of 256 thresholds, which golden numbers there are

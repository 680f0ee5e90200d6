"""Shapes as functions: how far a point is from a surface in mm, negative inside, and how they combine."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundglass.phantom.fields import Array


def coverage(distance_mm: Array, width_mm: float) -> Array:
    """Share of a voxel of this width that is inside, in [0, 1]: 0.5 on the surface."""
    share: Array = np.clip(0.5 - distance_mm * np.float32(1 / width_mm), 0, 1)
    return share


def ramp(value: Any, start: float, stop: float) -> Any:
    """0 up to ``start``, 1 from ``stop``, smooth between."""
    t = np.clip((value - start) * (1 / (stop - start)), 0, 1)
    return t * t * (3 - 2 * t)


def soft_max(a: Array, b: Array, round_mm: float) -> Array:
    """The intersection of two shapes, its edge rounded over ``round_mm`` (quadratic polynomial smooth maximum)."""
    h = np.maximum(round_mm - np.abs(a - b), 0)
    rounded: Array = np.maximum(a, b) + h * h * np.float32(0.25 / round_mm)
    return rounded


def soft_min(a: Array, b: Array, round_mm: float) -> Array:
    """The union of two shapes, their joint rounded over ``round_mm``."""
    return -soft_max(-a, -b, round_mm)


def ellipse(u: Any, v: Any, a: Any, b: Any) -> Array:
    """Distance from an ellipse with half axes ``a``, ``b``, along the ray from its centre."""
    u, v = np.asarray(u, np.float32), np.asarray(v, np.float32)
    level = np.sqrt((u / a) ** 2 + (v / b) ** 2) + np.float32(1e-3)
    distance: Array = np.hypot(u, v) * (1 - 1 / level)
    # At the very centre the ray has no length.
    return np.where(level < 0.05, -np.minimum(a, b), distance).astype(np.float32)


def ellipsoid(u: Any, v: Any, w: Any, half: tuple[float, float, float]) -> Array:
    """Distance, roughly, from an ellipsoid with half axes ``half``: exact on the surface and in order elsewhere."""
    level = np.sqrt((u / half[0]) ** 2 + (v / half[1]) ** 2 + (w / half[2]) ** 2)
    distance: Array = ((level - 1) * min(half)).astype(np.float32)
    return distance


def squircle(u: Array, v: Array, a: Any, b: Any, square: float) -> Array:
    """Distance from an ellipse blown up towards its bounding box, along the ray from its centre.

    Args:
        u: across.
        v: along.
        a: half axis across.
        b: half axis along.
        square: 0 an ellipse, 1 a box (Fong's FG-squircle).
    """
    p, q = (u / a) ** 2, (v / b) ** 2
    total = p + q
    level = np.sqrt(0.5 * (total + np.sqrt(np.maximum(total * total - (4 * square) * p * q, 0)))) + np.float32(1e-3)
    distance: Array = np.hypot(u, v) * (1 - 1 / level)
    return np.where(level < 0.05, -np.minimum(a, b), distance).astype(np.float32)

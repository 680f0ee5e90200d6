import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from groundglass.preprocess.morphology import close, dilate, erode, fill_slices, label, largest, open_

SPACING = (3.0, 1.0, 2.0)


def ball_by_hand(radius_mm):
    """Offsets whose length is at most the radius."""
    reach = [int(radius_mm // step) for step in SPACING]
    grids = np.meshgrid(*[np.arange(-n, n + 1) * step for n, step in zip(reach, SPACING, strict=True)], indexing="ij")
    return sum(g**2 for g in grids) <= radius_mm**2 + 1e-9


masks = arrays(bool, (5, 9, 7))


@settings(max_examples=60, deadline=None)
@example(mask=np.ones((5, 9, 7), bool), radius=3.0)
@example(mask=np.zeros((5, 9, 7), bool), radius=3.0)
@given(mask=masks, radius=st.sampled_from([1.0, 2.0, 3.0, 4.5]))
def test_dilation_and_erosion_equal_those_by_a_ball_of_offsets(mask, radius):
    ball = ball_by_hand(radius)
    np.testing.assert_array_equal(dilate(mask, radius, SPACING), ndimage.binary_dilation(mask, ball))
    np.testing.assert_array_equal(erode(mask, radius, SPACING), ndimage.binary_erosion(mask, ball, border_value=1))


def test_a_point_grows_by_its_spacing():
    point = np.zeros((3, 7, 7), bool)
    point[1, 3, 3] = True
    grown = dilate(point, 2.0, SPACING)
    # 2 mm: two voxels up and down (1 mm each), one across (2 mm), none to the next slice (3 mm)
    assert grown.sum() == 7
    assert grown[1, 1, 3]
    assert grown[1, 3, 2]
    assert not grown[0].any()


@settings(max_examples=40, deadline=None)
@given(mask=masks)
def test_closing_only_adds_and_opening_only_removes(mask):
    assert (close(mask, 2.0, SPACING) | ~mask).all()
    assert (mask | ~open_(mask, 2.0, SPACING)).all()


def test_closing_fills_a_cleft_that_the_ball_does_not_fit_into_and_leaves_a_wide_one():
    block = np.ones((1, 15, 15), bool)
    block[0, 5:, 7:10] = False  # a cleft of 3 mm, open below
    closed = close(block, 2.5, (1, 1, 1))
    assert closed[0, 5:12, 7:10].all()
    assert not close(block, 1.0, (1, 1, 1))[0, 8:12, 8].any()


@settings(max_examples=40, deadline=None)
@given(plane=arrays(bool, (1, 9, 7)), radius=st.sampled_from([1.0, 2.0, 4.5]))
def test_a_single_slice_is_closed_as_one_of_many_that_are_alike(plane, radius):
    many = close(np.repeat(plane, 7, axis=0), radius, SPACING)
    np.testing.assert_array_equal(np.repeat(close(plane, radius, SPACING), 7, axis=0), many)


@pytest.mark.parametrize("step", [close, dilate, erode, open_])
def test_an_empty_mask_stays_empty(step):
    assert not step(np.zeros((2, 3, 4), bool), 5.0, SPACING).any()


def test_holes_are_filled_slice_by_slice():
    ring = np.ones((3, 5, 5), bool)
    ring[:, 2, 2] = False  # a tunnel: open in 3-D, a hole in every slice
    assert fill_slices(ring).all()


def test_components_and_the_largest_of_them():
    mask = np.zeros((1, 2, 6), bool)
    mask[0, 0, [0, 1, 2]] = True
    mask[0, 1, 3] = True  # touches by a corner only
    mask[0, 0, 5] = True
    assert sorted(label(mask)[1].tolist()) == [0, 1, 1, 3]
    assert sorted(label(mask, corners=True)[1].tolist()) == [0, 1, 4]
    assert largest(mask).sum() == 3
    assert not largest(np.zeros_like(mask)).any()

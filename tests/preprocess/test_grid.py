import numpy as np

from groundglass.preprocess.grid import box, double, double_smoothly, halve


def test_a_half_is_the_mean_of_four_and_an_odd_edge_is_repeated():
    hu = np.array([[[0, 4, 10], [8, 12, 20], [2, 6, 30]]], np.int16)
    np.testing.assert_array_equal(halve(hu), [[[6, 15], [4, 30]]])


def test_large_values_do_not_overflow():
    assert halve(np.full((1, 2, 2), 32767, np.int16))[0, 0, 0] == 32767


def test_doubling_gives_back_the_shape_that_was_halved():
    half = np.array([[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(double(half, (1, 3, 4))[0], [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]])


def test_smooth_doubling_stays_where_the_mask_is():
    half = np.zeros((1, 8, 8), bool)
    half[0, 2:6, 2:6] = True
    whole = double_smoothly(half, (1, 16, 16))
    rows, columns = np.nonzero(whole[0])
    assert (rows.mean(), columns.mean()) == (7.5, 7.5)
    assert 52 <= whole.sum() <= 64
    assert double_smoothly(half, (1, 15, 15)).shape == (1, 15, 15)


def test_a_box_holds_the_mask_and_a_margin_inside_the_array():
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2, 3:5] = True
    assert box(mask, (0, 0, 0)) == (slice(1, 2), slice(2, 3), slice(3, 5))
    assert box(mask, (9, 1, 1)) == (slice(0, 4), slice(1, 4), slice(2, 6))
    assert mask[box(np.zeros_like(mask), (1, 1, 1))].size == 0

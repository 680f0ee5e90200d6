from math import log2

import numpy as np
import pytest

from groundglass.evaluation.collapse import (
    Distance,
    closest,
    error_of_mean_picture,
    information_of_grey_values,
    information_of_pictures,
    shares,
)


def constant(*values):
    """(1, K, 2, 2): a value for each class."""
    return np.stack([np.full((2, 2), value, np.float32) for value in values])[None]


def test_the_closest_styles_by_hand():
    """-900, -600 and 0 HU of three tissues; the second wavers by 200 against the rest, the third by 10.

    First and second 300 / 200, second and third 600 / 210, first and third 900 / 10.
    """
    styles, samples = constant(-900, -600, 0), (constant(-900, -600, 0), constant(-900, -400, -10))
    assert closest(styles, samples, (3, 4, 8)) == Distance(300, 200)
    assert closest(constant(-700, -700), (constant(1, 2), constant(1, 2)), (4, 8)) == Distance(0, 0)
    assert closest(constant(-700), (constant(0), constant(0)), (15,)) is None


def test_two_styles_of_one_tissue_may_be_alike():
    styles = constant(-900, -900, 0)
    assert closest(styles, (styles, styles), (3, 3, 4)) == Distance(900, 0)


def test_what_moves_all_styles_together_is_no_noise_of_their_distance():
    styles = constant(-900, -600)
    assert closest(styles, (styles + 100, styles - 100), (3, 4)) == Distance(300, 0)


def test_styles_that_cross_are_apart():
    """One is darker on the left, the other on the right: their means are the same, they are not."""
    ramp = np.array([[0.0, 100.0]])
    crossed = np.stack([ramp, ramp[:, ::-1]])[None]
    assert closest(crossed, (crossed, crossed), (3, 4)).apart == pytest.approx(100)


def test_the_mean_picture_is_off_by_hand():
    """0 and 1: half. Of the second one pixel is hidden: there the first is the mean."""
    pictures = np.stack([np.zeros((1, 2)), np.ones((1, 2))])
    shown = np.array([[[True, True]], [[True, False]]])
    assert error_of_mean_picture(pictures) == 0.5
    assert error_of_mean_picture(pictures, shown) == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_padding_counts_for_nothing():
    """What is hidden may say anything."""
    rng = np.random.default_rng(0)
    pictures, p = rng.random((3, 4, 6)), rng.dirichlet(np.ones(3), (3, 4, 6)).transpose(0, 3, 1, 2)
    shown = np.zeros((3, 4, 6), bool)
    shown[:, :, :4] = True
    cut, part = pictures[..., :4], p[..., :4]
    assert shares(p, shown) == pytest.approx(shares(part))
    assert information_of_pictures(p, shown) == pytest.approx(information_of_pictures(part))
    hidden = information_of_grey_values(pictures, p, shown=shown)
    assert hidden == pytest.approx(information_of_grey_values(cut, part))
    assert error_of_mean_picture(pictures, shown) == pytest.approx(error_of_mean_picture(cut))
    whole, less = closest(p, (p, p[::-1]), (1, 2, 4), shown), closest(part, (part, part[::-1]), (1, 2, 4))
    assert (whole.apart, whole.noise) == pytest.approx((less.apart, less.noise))


def test_shares_by_hand():
    p = np.concatenate([constant(0.5, 0.5), constant(1.0, 0.0)])
    assert shares(p) == pytest.approx([0.75, 0.25])


def test_segmentations_that_are_the_same_for_every_picture_have_no_information():
    p = np.random.default_rng(0).dirichlet(np.ones(4), (1, 5, 5)).transpose(0, 3, 1, 2)
    assert information_of_pictures(np.concatenate([p, p, p])) == pytest.approx(0, abs=1e-12)
    assert information_of_pictures(p) == pytest.approx(0, abs=1e-12)


def test_information_of_pictures_by_hand():
    """Two pictures: certain of one class and of the other is 1 bit; certain of one, undecided in the other 0.311."""
    assert information_of_pictures(np.concatenate([constant(1, 0), constant(0, 1)])) == pytest.approx(1)
    mixed = information_of_pictures(np.concatenate([constant(1, 0), constant(0.5, 0.5)]))
    assert mixed == pytest.approx(-(0.75 * log2(0.75) + 0.25 * log2(0.25)) - 0.5)


def test_information_of_grey_values_by_hand():
    """Dark is one class and bright the other: 1 bit. As often one as the other, whatever the grey: none."""
    pictures = np.array([[[0.1, 0.9], [0.1, 0.9]]])
    told = np.where(pictures > 0.5, 1.0, 0.0)
    assert information_of_grey_values(pictures, np.stack([1 - told, told], axis=1)) == pytest.approx(1)
    assert information_of_grey_values(pictures, constant(0.5, 0.5)) == pytest.approx(0, abs=1e-12)
    assert information_of_grey_values(pictures, constant(1, 0)) == pytest.approx(0, abs=1e-12)


def test_information_of_grey_values_of_a_noisy_answer():
    """Right in three of four pixels of either grey: 1 - H(1/4)."""
    pictures = np.array([[[0.0, 1.0]]])
    p = np.array([[[0.75, 0.25]], [[0.25, 0.75]]])[None]
    assert information_of_grey_values(pictures, p) == pytest.approx(1 + 0.75 * log2(0.75) + 0.25 * log2(0.25))


def test_a_collapsed_segmentation_of_real_looking_pictures_is_told_from_one_that_is_not():
    """Every picture the same annulus against each its own: grey values may correlate, pictures do not."""
    rng = np.random.default_rng(0)
    pictures = rng.random((6, 16, 16))
    same = np.zeros((6, 2, 16, 16))
    same[:, 0, :8], same[:, 1, 8:] = 1, 1
    own = np.stack([pictures < 0.5, pictures >= 0.5], axis=1).astype(float)
    assert information_of_pictures(same) == 0
    assert information_of_pictures(own) > 0.5
    assert information_of_grey_values(pictures, same) < 0.05
    assert information_of_grey_values(pictures, own) > 0.95

import numpy as np
import pytest
from skimage import measure

from groundglass.evaluation.detection import Lesions, match_lesions
from tests.evaluation.golden.inputs import PAIRS


def row(*values):
    return np.array([values], bool)


def test_lesions_found_missed_and_made_up_by_hand():
    true = row(1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0)
    found = row(0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1)
    # of three lesions the first and the last are touched; of four found ones the last touches none
    lesions = match_lesions(found, true)
    assert lesions == Lesions(true=3, true_found=2, found=4, found_false=1)
    assert lesions.sensitivity == pytest.approx(2 / 3)
    assert lesions.precision == pytest.approx(3 / 4)


def test_a_share_asks_for_more_than_a_voxel():
    true, found = row(1, 1, 1, 1, 0, 1), row(1, 1, 0, 0, 0, 1)
    assert match_lesions(found, true, share=0.5).true_found == 2
    assert match_lesions(found, true, share=0.51).true_found == 1
    # the piece on the lesion that counts as missed is no false positive
    assert match_lesions(found, true, share=0.51).found_false == 0


def test_small_lesions_are_not_asked_for_and_small_pieces_not_believed():
    true = row(1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0)
    found = row(1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1)
    # of the truth the single voxel is not asked for; found on it is a pair, which is not false;
    # the single voxel on the second lesion and the one on nothing are taken as not found
    assert match_lesions(found, true, smallest=2) == Lesions(true=2, true_found=1, found=2, found_false=0)


def test_lesions_that_touch_by_a_corner_are_one_in_2_and_3_dimensions():
    flat = np.eye(3, dtype=bool)
    assert match_lesions(flat, flat).true == 1
    solid = np.zeros((3, 3, 3), bool)
    solid[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    assert match_lesions(solid, solid) == Lesions(1, 1, 1, 0)


def test_unknown_voxels_hold_nothing():
    true, found = row(1, 1, 0, 0, 1), row(0, 1, 0, 1, 0)
    known = row(1, 0, 1, 0, 1)
    assert match_lesions(found, true, known) == Lesions(true=2, true_found=0, found=0, found_false=0)


def test_nothing_to_find_and_nothing_found_is_no_number():
    empty, some = row(0, 0), row(0, 1)
    assert match_lesions(empty, empty).sensitivity is None
    assert match_lesions(empty, empty).precision is None
    assert match_lesions(some, empty) == Lesions(0, 0, 1, 1)
    assert match_lesions(some, empty).sensitivity is None
    assert match_lesions(some, empty).precision == 0
    assert match_lesions(empty, some).sensitivity == 0


def test_counts_add_over_images():
    assert Lesions(3, 2, 4, 1) + Lesions(1, 0, 2, 2) == Lesions(4, 2, 6, 3)


@pytest.mark.parametrize("name", PAIRS)
def test_as_counted_one_by_one(name):
    found, true, _ = PAIRS[name]
    lesions, pieces = (measure.label(mask, connectivity=mask.ndim) for mask in (true, found))
    shares = [found[lesions == number].mean() for number in range(1, lesions.max() + 1)]
    false = sum(not true[pieces == number].any() for number in range(1, pieces.max() + 1))
    expected = Lesions(len(shares), sum(share > 0 for share in shares), pieces.max(), false)
    assert match_lesions(found, true) == expected
    assert match_lesions(found, true, share=0.4).true_found == sum(share >= 0.4 for share in shares)

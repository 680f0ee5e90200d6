import numpy as np
import pytest

from groundglass.evaluation.failure import Failure, worst_slice


def volume(*planes):
    return np.array(planes, np.uint8)[:, None, :]


def test_each_kind_of_error_is_counted_in_the_worst_slice():
    truth = volume([1, 1, 1, 1, 1, 1, 1, 1], [0, 1, 2, 2, 2, 2, 3, 3])
    codes = volume([2, 2, 1, 1, 1, 1, 1, 1], [0, 2, 0, 1, 1, 3, 2, 3])
    # slice 1, in voxels of 0.5 mL: 6 are infected, 3 missed, 1 overcalled, 1 haze as solid, 1 solid as haze
    assert worst_slice(codes, truth, 0.5) == Failure(1, 3.0, 1.5, 0.5, 0.5, 0.5)


def test_the_worst_slice_has_the_most_wrong_infection_of_any_kind():
    truth = volume([2, 2, 1, 1], [2, 2, 2, 1])
    codes = volume([3, 3, 2, 1], [1, 1, 2, 1])  # three are wrong below, two above
    assert worst_slice(codes, truth, 1.0).index == 0


@pytest.mark.parametrize("codes", [[0, 1, 2, 3], [1, 0, 2, 3]])
def test_lung_for_background_is_no_failure(codes):
    assert worst_slice(volume(codes), volume([0, 1, 2, 3]), 1.0) is None

import numpy as np
import pytest

from groundglass.evaluation.failure import Failure, Poor, poorest, worst_slice
from groundglass.evaluation.overlap import Counts
from groundglass.evaluation.trials import Row, Trial
from groundglass.report.study import failures


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


def rows_of(name, seed=0, **counts):
    trial = Trial("plain", "a" * 16, "d" * 16, seed, 0, "all")
    return [Row(trial, 1.0, name, f"of {name}", region, Counts(*told)) for region, told in counts.items()]


def test_a_poor_slice_says_which_pixels_were_wrong_over_all_seeds():
    rows = [
        *rows_of("a", infection=(3, 1, 2, 14), ground_glass=(2, 1, 1, 16), consolidation=(0, 1, 2, 17)),
        *rows_of("a", 1, infection=(5, 0, 0, 15), ground_glass=(2, 2, 1, 15), consolidation=(1, 0, 1, 18)),
    ]
    # both seeds: infection 8, 1, 2, 29; ground glass 4, 3, 2; consolidation 1, 1, 3; 8 - 4 - 1 found as the other kind
    (one,) = poorest(rows, 10)
    assert one == Poor(
        slice="a",
        group="of a",
        infected=10 / 40,
        dice={"infection": 16 / 19, "ground_glass": 8 / 13, "consolidation": 2 / 6},
        missed=2 / 10,
        overcalled=1 / 10,
        of_other_kind=3 / 10,
    )
    text = failures({("all", "plain"): [one]}, "toy")
    assert "| a | of a | 25% | 0.842 | 0.615 | 0.333 | 20% | 10% | 30% |" in text


def test_the_poorest_come_first_and_slices_without_infection_do_not_come():
    rows = [
        *rows_of("half", infection=(1, 1, 1, 1)),
        *rows_of("healthy", infection=(0, 4, 0, 0)),
        *rows_of("missed", infection=(0, 0, 1, 3)),
        *rows_of("right", infection=(2, 0, 0, 2)),
    ]
    assert [one.slice for one in poorest(rows, 2)] == ["missed", "half"]
    assert poorest(rows, 1)[0].of_other_kind is None  # kinds were not scored
    assert poorest(rows_of("healthy", infection=(0, 4, 0, 0)), 2) == []

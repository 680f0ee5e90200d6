import math

import numpy as np
import pytest
from scipy import stats

from groundglass.errors import UsageError
from groundglass.evaluation.statistics import compare, holm, summarise


def test_mean_and_deviations_by_hand():
    summary = summarise([0.0, 0.2, 0.4, 0.6], ["a", "b", "c", "d"])
    assert summary.mean == pytest.approx(0.3)
    assert summary.sd == pytest.approx(math.sqrt(0.2 / 4))  # squares .09 + .01 + .01 + .09, by n
    assert summary.standard_error == pytest.approx(math.sqrt(0.2 / 3 / 4))  # by n - 1, then by the root of n
    assert summary.margin == pytest.approx(1.96 * math.sqrt(0.2 / 12))
    assert (summary.n, summary.units) == (4, 4)


def test_the_mean_is_over_images_and_the_interval_over_groups():
    values, groups = [1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]
    summary = summarise(values, groups)
    assert (summary.mean, summary.n, summary.units) == (0.75, 4, 2)
    # drawn are aa, ab, bb: means 1, 3/4, 0. As independent images they would never give 0 and 1 as limits:
    assert (summary.ci_low, summary.ci_high) == (0, 1)
    assert "Fewer than 10 groups" in summary.note


def test_without_groups_the_interval_is_scipys_of_one_sample():
    values = np.random.default_rng(0).beta(5, 2, 30)
    expected = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=9999, random_state=np.random.default_rng(1)
    )
    summary = summarise(list(values))
    assert summary.ci_low == pytest.approx(expected.confidence_interval.low, abs=0.003)
    assert summary.ci_high == pytest.approx(expected.confidence_interval.high, abs=0.003)
    assert summary.note.startswith("No groups given")


def test_the_interval_is_of_the_mean_over_the_images_of_drawn_groups():
    rng = np.random.default_rng(7)
    many, single = rng.normal(0.9, 0.02, (15, 9)), rng.normal(0.3, 0.02, 15)  # images 0.84 on average, groups 0.6
    drawn = rng.integers(0, 30, (4000, 30))
    sums, counts = np.concatenate([many.sum(axis=1), single]), np.repeat([9, 1], 15)
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    summary = summarise([*many.ravel(), *single], [*np.repeat(np.arange(15), 9), *range(15, 30)])
    assert summary.ci_low == pytest.approx(low, abs=0.02)  # BCa moves the percentiles a little
    assert summary.ci_high == pytest.approx(high, abs=0.02)


def test_slices_of_a_patient_do_not_narrow_the_interval():
    values = np.random.default_rng(2).beta(5, 2, 20)
    patients = [f"p{number}" for number in range(20)]
    once, often = summarise(list(values), patients), summarise(list(np.repeat(values, 6)), list(np.repeat(patients, 6)))
    assert (often.ci_low, often.ci_high) == pytest.approx((once.ci_low, once.ci_high))
    assert often.standard_error < once.standard_error / 2  # which is why 1.96 of these are no interval


def test_the_interval_covers_as_often_as_it_says():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(200):
        patient = rng.normal(0.7, 0.1, 40)
        values, groups = rng.normal(np.repeat(patient, 4), 0.05), np.repeat(np.arange(40), 4)
        summary = summarise(values, groups, resamples=499)
        hits += summary.ci_low <= 0.7 <= summary.ci_high
    assert 0.90 <= hits / 200 <= 0.98  # by images it is 0.67


def test_one_group_or_image_has_no_interval_and_equal_values_have_a_point():
    one = summarise([0.5])
    assert (one.standard_error, one.margin, one.ci_low, one.ci_high, one.sd) == (None, None, None, None, 0)
    assert "One group only" in one.note
    assert summarise([0.1, 0.9], ["a", "a"]).ci_low is None
    same = summarise([0.1] * 3, ["a", "b", "c"])
    assert (same.ci_low, same.ci_high) == pytest.approx((0.1, 0.1))
    level = summarise([0.4, 0.6, 0.5], ["a", "a", "b"])  # images differ, groups do not
    assert (level.ci_low, level.ci_high) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("values", [[0, 1], [0, 0, 1], [0.0, 0.0, 0.0, 0.0, 1.0], [0.2, 0.2, 0.2000001]])
def test_few_and_nearly_equal_values_have_a_finite_interval(values):
    summary = summarise(values, [str(place) for place in range(len(values))])
    assert min(values) <= summary.ci_low <= summary.ci_high <= max(values)


def test_pairs_by_hand():
    found = compare([0.5, 0.7, 0.9], [0.4, 0.5, 0.6], ["a", "b", "c"])
    # differences .1 .2 .3: mean .2, sd .1, t = .2 / (.1 / sqrt 3) = 2 sqrt 3; t(.975, 2) = 4.3027
    assert found.mean_difference == pytest.approx(0.2)
    assert found.effect_size == pytest.approx(2)
    assert found.t_statistic == pytest.approx(2 * math.sqrt(3))
    # p of t with 2 degrees of freedom: 1 - t / sqrt(2 + t^2)
    assert found.t_p == pytest.approx(1 - math.sqrt(12 / 14))
    assert found.ci_low == pytest.approx(0.2 - 4.3026527 * 0.1 / math.sqrt(3))
    assert found.ci_high == pytest.approx(0.2 + 4.3026527 * 0.1 / math.sqrt(3))
    assert found.wilcoxon_p == pytest.approx(2 / 2**3)  # all three positive: 1 of 8 sign patterns, two-sided
    assert (found.pairs, found.note) == (3, "")


def test_pairs_against_scipy():
    rng = np.random.default_rng(4)
    a, b = rng.beta(5, 2, 30), rng.beta(4, 2, 30)
    found = compare(list(a), list(b), [str(place) for place in range(30)])
    assert found.t_p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.t_statistic == pytest.approx(stats.ttest_rel(a, b).statistic)
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_items_then_seeds_are_averaged_within_a_group():
    # group a: seed 0 has differences 1 and 3 (mean 2), seed 1 has 6, so 4 (3.33 if all counted alike); group b: 0
    found = compare([1, 3, 6, 0], [0, 0, 0, 0], ["a", "a", "a", "b"], seeds=[0, 0, 1, 0])
    assert found.mean_difference == pytest.approx((4 + 0) / 2)
    assert found.pairs == 2


def test_more_slices_and_seeds_are_no_more_pairs():
    rng = np.random.default_rng(5)
    a, b, groups = rng.random(8), rng.random(8), list("abcdefgh")
    once = compare(list(a), list(b), groups)
    often = compare(list(np.tile(a, 6)), list(np.tile(b, 6)), groups * 6, seeds=list(np.repeat([1, 2, 3], 16)))
    assert (often.pairs, often.t_p) == (8, pytest.approx(once.t_p))


def test_swapping_the_methods_swaps_signs_and_nothing_else():
    rng = np.random.default_rng(6)
    a, b, groups = list(rng.random(12)), list(rng.random(12)), list("aabbccddeeff")
    one, other = compare(a, b, groups), compare(b, a, groups)
    assert one.mean_difference == pytest.approx(-other.mean_difference)
    assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low))
    assert (one.t_statistic, one.effect_size) == pytest.approx((-other.t_statistic, -other.effect_size))
    assert (one.t_p, one.wilcoxon_p) == pytest.approx((other.t_p, other.wilcoxon_p))


def test_a_method_against_itself():
    found = compare([0.1, 0.5, 0.9], [0.1, 0.5, 0.9], ["a", "b", "c"])
    assert (found.mean_difference, found.ci_low, found.ci_high, found.effect_size, found.t_statistic) == (0,) * 5
    assert (found.t_p, found.wilcoxon_p) == (1, 1)


def test_pairs_that_all_differ_alike_have_no_t_test():
    found = compare([0.3, 0.2, 0.6], [0.2, 0.1, 0.5], ["a", "b", "c"])  # 0.3 - 0.2 is not 0.6 - 0.5 to a computer
    assert (found.t_statistic, found.t_p, found.effect_size) == (None, None, None)
    assert found.mean_difference == found.ci_low == found.ci_high == pytest.approx(0.1)
    assert found.wilcoxon_p == pytest.approx(0.25)
    assert "same amount" in found.note


def test_pairs_without_difference_are_left_out_of_the_ranks():
    found = compare([0.5, 0.7, 0.9, 0.3], [0.4, 0.5, 0.6, 0.3], list("abcd"))
    assert found.wilcoxon_p == pytest.approx(2 / 2**3)


def test_one_pair_is_not_tested_and_no_groups_are_told():
    found = compare([0.5, 0.7], [0.4, 0.4], ["a", "a"])
    assert (found.mean_difference, found.pairs, found.t_p, found.ci_low) == (pytest.approx(0.2), 1, None, None)
    assert "One pair only" in found.note
    assert "images count as independent" in compare([0.5, 0.7], [0.4, 0.4], None).note


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 by 4 3 2 1: .04 .06 .06 .04, and none below a smaller one's
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([None, 0.01, None, 0.2]) == [None, pytest.approx(0.02), None, pytest.approx(0.2)]
    assert holm([]) == []


def test_holm_as_statsmodels_has_it():
    p_values = [0.003, 0.2, 0.0471, 0.003, 0.04, 0.9, 0.011]
    reference = [0.021, 0.4, 0.16, 0.021, 0.16, 0.9, 0.055]  # statsmodels 0.15.0, multipletests(method="holm")
    assert holm(p_values) == pytest.approx(reference)


@pytest.mark.parametrize(
    "call",
    [
        lambda: summarise([]),
        lambda: summarise([0.1, math.nan]),
        lambda: summarise([0.1, 0.2], ["a"]),
        lambda: compare([0.1, 0.2], [0.1], ["a", "b"]),
        lambda: compare([0.1, 0.2], [0.1, 0.3], None, seeds=[0, 1]),
        lambda: compare([0.1, None], [0.1, 0.3], ["a", "b"]),
        lambda: holm([0.1, 1.2]),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(UsageError):
        call()

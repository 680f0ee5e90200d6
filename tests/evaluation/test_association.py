import numpy as np
import pytest
from scipy import stats

from groundglass.errors import UsageError
from groundglass.evaluation.association import Covariate, associate, rank_correlation, slopes


def known(name, values, step=""):
    return Covariate(name, step, np.asarray(values, float))


def test_a_rank_correlation_by_hand():
    """Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 (1 + 1 + 1 + 1) / (5 24) = 0.8; t = 0.8 sqrt(3 / 0.36)."""
    found = rank_correlation(np.array([20.0, 10, 40, 30, 500]), known("age", [1, 2, 3, 4, 5]))
    assert found.estimate == pytest.approx(0.8)
    assert found.p == pytest.approx(2 * stats.t.sf(0.8 * np.sqrt(3 / 0.36), 3))
    margin = 1.959964 * np.sqrt((1 + 0.32) / 2)
    assert (found.low, found.high) == pytest.approx(
        (np.tanh(np.arctanh(0.8) - margin), np.tanh(np.arctanh(0.8) + margin))
    )


def test_it_is_scipys_where_there_are_ties():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    found, theirs = rank_correlation(y, known("x", x)), stats.spearmanr(x, y)
    assert found.estimate == pytest.approx(theirs.statistic)
    assert found.p == pytest.approx(theirs.pvalue)


def test_patients_of_whom_it_is_not_known_are_left_out():
    found = rank_correlation(np.array([1.0, 2, 3, 99, 4]), known("age", [1, 2, 3, np.nan, 4]))
    assert (found.n, found.estimate, found.low, found.high, found.p) == (4, 1, 1, 1, 0)


def test_slopes_of_an_exact_line_by_hand():
    """Burden = 3 + 2 age - 5 sex, and so within a millionth of it."""
    age, sex = np.array([30.0, 40, 50, 60, 70, 80]), np.array([0.0, 1, 1, 0, 1, 0])
    noise = 1e-7 * np.array([1, -1, 1, 1, -1, -1])
    found = slopes(3 + 2 * age - 5 * sex + noise, [known("age", age), known("sex", sex)])
    assert [one.estimate for one in found] == pytest.approx([2, -5], rel=1e-6)
    assert all(one.low < one.estimate < one.high and one.high - one.low < 1e-5 and one.p < 0.001 for one in found)


def test_hc3_is_the_spread_of_fits_that_leave_out_one_patient_each():
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(20), 1000 + 50 * rng.normal(size=20), rng.integers(0, 2, 20)])
    y = x @ [1.0, 0.5, 3.0] + rng.normal(size=20) * (1 + x[:, 2])
    whole = np.linalg.lstsq(x, y, rcond=None)[0]
    apart = [np.linalg.lstsq(np.delete(x, i, 0), np.delete(y, i), rcond=None)[0] - whole for i in range(len(y))]
    error = np.sqrt(np.square(apart).sum(axis=0))
    margin = stats.t.ppf(0.975, 17) * error
    for place, one in enumerate(slopes(y, [known("a", x[:, 1]), known("b", x[:, 2])]), 1):
        assert one.estimate == pytest.approx(whole[place])
        assert one.high - one.estimate == pytest.approx(margin[place])


def test_intervals_hold_a_known_effect_as_often_as_they_say_where_the_scatter_differs():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        age, ill = rng.normal(60, 12, 60), rng.integers(0, 2, 60)
        burden = 5 + 0.3 * age + 8 * ill + rng.normal(size=60) * (1 + 4 * ill) * (age / 30)
        _, one = slopes(burden, [known("age", age), known("ill", ill)])
        held += one.low <= 8 <= one.high
    assert 0.92 <= held / 400 <= 0.98


def test_holm_corrects_each_table_for_itself():
    rng = np.random.default_rng(3)
    age, other = rng.normal(60, 12, 40), rng.normal(size=40)
    found = associate(0.5 * age + rng.normal(size=40), [known("age", age), known("other", other)])
    for table in (found.correlations, found.slopes):
        by_p = sorted(table, key=lambda one: one.p)
        assert by_p[0].covariate == "age"
        assert by_p[0].p_holm == pytest.approx(2 * by_p[0].p)
        assert by_p[1].p_holm == pytest.approx(max(by_p[1].p, by_p[0].p_holm))


def test_without_an_effect_few_are_found():
    rng = np.random.default_rng(4)
    found = [rank_correlation(rng.normal(size=30), known("x", rng.normal(size=30))).p < 0.05 for _ in range(400)]
    assert 0.02 <= np.mean(found) <= 0.08


BURDEN = np.array([1.0, 5, 2, 7, 3, 9, 4, 8])


@pytest.mark.parametrize(
    ("burden", "columns", "told"),
    [
        (BURDEN, {"age": [50] * 8}, "age is the same for all 8 patients"),
        ([3.0] * 8, {"age": range(8)}, "The burden is the same for all 8"),
        (BURDEN, {"age": [1, 2, 3, *[np.nan] * 5]}, "age: known of 3 patients"),
        (BURDEN[:1], {"age": [1]}, "known of 1 patient with"),
        (BURDEN, {"age": range(8), "months": [12 * x for x in range(8)]}, "months follows from the other covariates"),
        (BURDEN, {"ill": [0] * 7 + [1], "age": [3, 1, 4, 1, 5, 9, 2, 6]}, "One patient alone decides a slope"),
        (
            BURDEN[:5],
            {name: np.random.default_rng(i).normal(size=5) for i, name in enumerate("abcd")},
            "of 4 covariates",
        ),
        (BURDEN, {}, "No covariate"),
    ],
)
def test_what_cannot_be_answered_is_refused(burden, columns, told):
    with pytest.raises(UsageError, match=told):
        associate(burden, [known(name, list(values)) for name, values in columns.items()])

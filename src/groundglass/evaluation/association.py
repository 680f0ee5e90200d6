"""How lesion burden goes together with what is known of patients: rank correlations, and a regression on all at once.

Association, not cause: who is older may be sicker for other reasons, and who was scanned was chosen.

1. C. Spearman, "The proof and measurement of association between two things", Am. J. Psychol. 15, 1904.
2. D. G. Bonett, T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
   Psychometrika 65, 2000: the interval of a rank correlation, standard error sqrt((1 + r^2 / 2) / (n - 3)) of atanh r.
3. J. S. Long, L. H. Ervin, "Using heteroscedasticity consistent standard errors in the linear regression model", Am.
   Stat. 54, 2000: HC3, right where the scatter differs between patients, as burdens' does.
4. S. Holm, 1979 (`groundglass.evaluation.statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from groundglass.errors import UsageError
from groundglass.evaluation.statistics import CONFIDENCE, holm

FEWEST: Final = 4  # patients, below which no correlation has an interval
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covariate:
    """What is known of each patient.

    Attributes:
        name: for readers.
        step: what an increase of 1 means, such as ``male against female``, or empty for a number.
        values: one a patient, NaN where it is not known.
    """

    name: str
    step: str
    values: Floats


@dataclass(frozen=True)
class Association:
    """A correlation or a slope.

    Attributes:
        covariate: its name.
        step: what an increase of 1 means.
        n: patients that it is of.
        estimate: Spearman's rho, or the burden's change with an increase of 1, the other covariates held.
        low, high: of its 95 % interval.
        p: two-sided.
        p_holm: corrected over all correlations, or all slopes.
    """

    covariate: str
    step: str
    n: int
    estimate: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Associations:
    """Both tables; slopes are of the patients of whom all covariates are known."""

    correlations: tuple[Association, ...]
    slopes: tuple[Association, ...]


def associate(burden: Sequence[float], covariates: Sequence[Covariate]) -> Associations:
    """Correlate a burden with each covariate, and regress it on all of them.

    Args:
        burden: one a patient, finite.
        covariates: in the order of the tables.

    Raises:
        UsageError: too few patients, a burden or covariate that is the same for all, covariates of which one follows
            from the others, or a patient who alone decides a slope.
    """
    y = np.asarray(burden, np.float64)
    if not covariates:
        raise UsageError("No covariate.", expected="at least one", remedy="Add a column to the clinical table.")
    correlations = [rank_correlation(y, covariate) for covariate in covariates]
    return Associations(_corrected(correlations), _corrected(slopes(y, covariates)))


def rank_correlation(burden: Floats, covariate: Covariate) -> Association:
    """Spearman's rho over the patients of whom the covariate is known.

    Raises:
        UsageError: fewer than four of them, or no two different values.
    """
    known = np.isfinite(covariate.values)
    x, y, n = covariate.values[known], burden[known], int(known.sum())
    if n < FEWEST:
        raise UsageError(
            f"{covariate.name}: known of {n} patient{'s' * (n != 1)} with a burden.",
            expected=f"at least {FEWEST}",
            remedy="Leave it out, or give more patients.",
        )
    for what, values in ((covariate.name, x), ("The burden", y)):
        if not np.ptp(values):
            raise UsageError(
                f"{what} is the same for all {n} patients.",
                expected="values that differ",
                remedy="Leave it out: nothing goes together with what does not vary.",
            )
    rho = float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
    rho = min(max(rho, -1.0), 1.0)
    low, high, p = rho, rho, 0.0
    if abs(rho) < 1:
        p = float(2 * stats.t.sf(abs(rho) * math.sqrt((n - 2) / (1 - rho**2)), n - 2))
        margin = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
        low, high = math.tanh(math.atanh(rho) - margin), math.tanh(math.atanh(rho) + margin)
    return Association(covariate.name, covariate.step, n, rho, low, high, p, p)


def slopes(burden: Floats, covariates: Sequence[Covariate]) -> list[Association]:
    """Least squares of the burden on all covariates, with HC3 intervals by t of n - k degrees of freedom.

    Raises:
        UsageError: as `associate`.
    """
    matrix = np.column_stack([covariate.values for covariate in covariates])
    whole = np.isfinite(matrix).all(axis=1)
    x, y = np.column_stack([np.ones(int(whole.sum())), matrix[whole]]), burden[whole]
    n, k = x.shape
    if n < k + 2:
        raise UsageError(
            f"All of {k - 1} covariates are known of {n} patients.",
            expected=f"at least {k + 2} of them",
            remedy="Name fewer covariates with --covariate.",
        )
    _check(x, covariates)
    scale = np.abs(x).max(axis=0)  # so that a covariate in thousands is no trouble
    inverse = np.linalg.pinv(x / scale)
    weights = inverse @ y
    leverage = np.einsum("ij,ji->i", x / scale, inverse)
    if (leverage > 1 - 1e-9).any():
        raise UsageError(
            "One patient alone decides a slope: nobody else has that value.",
            expected="at least two patients of each kind",
            remedy="Leave the covariate out, or give more patients.",
        )
    residual = (y - (x / scale) @ weights) / (1 - leverage)
    covariance = (inverse * residual**2) @ inverse.T
    error = np.sqrt(np.diag(covariance)) / scale
    estimate = weights / scale
    found = []
    for place, covariate in enumerate(covariates, 1):
        slope, spread = float(estimate[place]), float(error[place])
        margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - k)) * spread
        p = float(2 * stats.t.sf(abs(slope) / spread, n - k)) if spread else float(slope == 0)
        found.append(Association(covariate.name, covariate.step, n, slope, slope - margin, slope + margin, p, p))
    return found


def _check(x: Floats, covariates: Sequence[Covariate]) -> None:
    """Refuse columns that the ones before them already tell, the constant being the first.

    Raises:
        UsageError: there is one.
    """
    unit = x / np.linalg.norm(x, axis=0).clip(1e-300)
    for place, covariate in enumerate(covariates, 1):
        if np.linalg.matrix_rank(unit[:, : place + 1], tol=1e-8) <= place:
            raise UsageError(
                f"{covariate.name} follows from the other covariates, or is the same for all {len(x)} patients of whom "
                "all are known.",
                expected="covariates none of which follows from the others",
                remedy="Leave it out: name the others with --covariate.",
            )


def _corrected(found: Sequence[Association]) -> tuple[Association, ...]:
    corrected = holm([one.p for one in found])
    return tuple(replace(one, p_holm=float(p or 0.0)) for one, p in zip(found, corrected, strict=True))

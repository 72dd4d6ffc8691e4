"""Means with confidence intervals, and paired differences against a baseline with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from simcore.analysis.tables import AnalysisError, groups, numbers

__all__ = ["Interval", "batch_means_interval", "holm", "mean_interval", "paired_differences", "summarise"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: average of the sample.
        half_width: half of the interval's length; NaN when one value cannot tell.
        n: size of the sample.
        std: standard deviation of the sample (n - 1).
        confidence: e.g. 0.95.
    """

    mean: float
    half_width: float
    n: int
    std: float
    confidence: float = 0.95

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half_width

    @property
    def rel_half_width(self) -> float:
        """Half width over |mean|: 0 when all values are alike, infinite for a mean of 0 with spread."""
        if self.half_width == 0:
            return 0.0
        return float(self.half_width / abs(self.mean)) if self.mean else float("inf")


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the mean of independent values and Student's t interval around it.

    Args:
        values: one value per replication; NaN (failed runs) are left out.
        confidence: coverage, between 0 and 1.

    Returns:
        The interval; `half_width` is NaN for fewer than two values, all is NaN for none.

    Raises:
        AnalysisError: `confidence` is not between 0 and 1.
    """
    _check_confidence(confidence)
    sample = np.asarray(values, dtype=np.float64).ravel()
    sample = sample[~np.isnan(sample)]
    n = sample.size
    if n == 0:
        return Interval(float("nan"), float("nan"), 0, float("nan"), confidence)
    mean = float(sample.mean())
    if n == 1:
        return Interval(mean, float("nan"), 1, float("nan"), confidence)
    std = float(sample.std(ddof=1))
    if np.all(sample == sample[0]):  # rounding of the mean must not make equal values differ
        mean, std = float(sample[0]), 0.0
    quantile = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    return Interval(mean, quantile * std / n**0.5, n, std, confidence)


def batch_means_interval(series: npt.ArrayLike, batches: int = 20, confidence: float = 0.95) -> Interval:
    """Return an interval for the mean of one long autocorrelated series by the method of batch means.

    Args:
        series: equally spaced observations of a stationary series (cut the warm-up first).
        batches: number of equal batches; observations that do not fill one are left out at the beginning.
        confidence: coverage.

    Raises:
        AnalysisError: fewer than two batches, or fewer observations than batches.
    """
    sample = np.asarray(series, dtype=np.float64).ravel()
    if batches < 2 or sample.size < batches:
        raise AnalysisError(f"{batches} batches of {sample.size} observations: needs two batches or more")
    size = sample.size // batches
    return mean_interval(
        sample[sample.size - size * batches :].reshape(batches, size).mean(axis=1), confidence
    )


def summarise(
    table: Any, by: Sequence[str], metrics: Sequence[str], confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Return one row per combination of `by` and metric: mean, interval, standard deviation, extrema.

    Args:
        table: any table, see `simcore.analysis.tables`; one row per run.
        by: columns that make a design point.
        metrics: numeric columns.
        confidence: coverage of the intervals.

    Returns:
        Rows with the columns `by`, and `metric, n, mean, low, high, half_width, std, min, max`, in the
        table's order.

    Raises:
        AnalysisError: a column is missing or not numeric.
    """
    members = groups(table, by)
    columns = {metric: numbers(table, metric) for metric in metrics}
    rows: list[dict[str, Any]] = []
    for key, chosen in members.items():
        for metric, values in columns.items():
            sample = values[chosen]
            sample = sample[~np.isnan(sample)]
            interval = mean_interval(sample, confidence)
            rows.append(
                dict(zip(by, key, strict=True))
                | {
                    "metric": metric,
                    "n": interval.n,
                    "mean": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "half_width": interval.half_width,
                    "std": interval.std,
                    "min": float(sample.min()) if sample.size else float("nan"),
                    "max": float(sample.max()) if sample.size else float("nan"),
                }
            )
    return rows


def holm(p_values: npt.ArrayLike) -> Floats:
    """Return p-values corrected for their number by Holm's step-down method (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, made monotone and cut at 1. NaN stays NaN and does
    not count.
    """
    given = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(given.shape, np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0) if order.size else []
    return corrected


def paired_differences(
    table: Any,
    metric: str,
    by: Sequence[str],
    baseline: Mapping[str, Any],
    *,
    pair: Sequence[str] = ("replication",),
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Compare every design point with a baseline, run by run on common random numbers.

    The columns named in `baseline` are those compared; the other columns of `by` must be equal for two runs
    to be compared, as must the columns of `pair`. So with `by=[policy, limit]` and `baseline={policy:
    page}` each policy is
    compared with `page` at the same limit.

    Args:
        table: any table, one row per run.
        metric: numeric column.
        by: columns that make a design point.
        baseline: value of one or more of the columns `by` at the baseline.
        pair: columns that tell which runs share their random numbers.
        confidence: coverage of the intervals, each on its own.

    Returns:
        One row per point other than the baseline: the columns `by`, and `metric, n, baseline_mean, mean,
        difference, low, high, half_width, p_value, p_holm`. `p_holm` is corrected over all rows.

    Raises:
        AnalysisError: an unknown column, or no run at the baseline.
    """
    _check_confidence(confidence)
    unknown = [name for name in baseline if name not in by]
    if unknown or not baseline:
        raise AnalysisError(f"the baseline names {unknown or 'no column'}; the design varies {', '.join(by)}")
    values = numbers(table, metric)
    fixed = [name for name in by if name not in baseline]
    pairs = [name for name in pair if name not in by]
    base_key = tuple(baseline.values())
    base_values: dict[tuple[Any, ...], float] = {}
    for key, members in groups(table, [*baseline, *fixed, *pairs]).items():
        if key[: len(base_key)] == base_key:
            base_values[key[len(base_key) :]] = float(values[members].mean())
    if not base_values:
        shown = ", ".join(f"{name} = {value}" for name, value in baseline.items())
        raise AnalysisError(f"no run at the baseline {shown}")
    runs = groups(table, [*fixed, *pairs])
    partner = np.full(values.size, np.nan)
    for key, members in runs.items():
        partner[members] = base_values.get(key, np.nan)
    rows: list[dict[str, Any]] = []
    for key, members in groups(table, by).items():
        point = dict(zip(by, key, strict=True))
        if all(point[name] == value for name, value in baseline.items()):
            continue
        differences = values[members] - partner[members]
        paired = ~np.isnan(differences)
        interval = mean_interval(differences[paired], confidence)
        rows.append(
            point
            | {
                "metric": metric,
                "n": interval.n,
                "baseline_mean": float(partner[members][paired].mean()) if interval.n else float("nan"),
                "mean": float(values[members][paired].mean()) if interval.n else float("nan"),
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "half_width": interval.half_width,
                "p_value": _p_value(interval),
            }
        )
    for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = float(corrected)
    return rows


def _p_value(interval: Interval) -> float:
    """Return the two-sided p-value of "the mean is 0" under Student's t."""
    if interval.n < 2:
        return float("nan")
    if interval.std == 0:
        return 1.0 if interval.mean == 0 else 0.0
    statistic = interval.mean / (interval.std / interval.n**0.5)
    return float(2 * stats.t.sf(abs(statistic), interval.n - 1))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence {confidence} is not between 0 and 1")

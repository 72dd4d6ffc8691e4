"""Where the warm-up of a series ends: MSER-5, and Welch's averages over replications."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simcore.analysis.tables import AnalysisError

__all__ = ["Truncation", "mser5", "resample", "welch", "welch_warmup"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truncation:
    """Where to cut a series.

    Attributes:
        index: first observation to keep.
        statistic: the marginal standard error squared at that cut.
        settled: False when the best cut lies in the last half, which means that the series is too short to
            tell.
    """

    index: int
    statistic: float
    settled: bool


def mser5(series: npt.ArrayLike, batch: int = 5) -> Truncation:
    """Return the cut that minimises the marginal standard error of the mean (White, Cobb and Spratt 2000).

    The series is averaged over batches of five; over the k batches left after a cut at d the statistic is
    sum((z - mean)^2) / k^2. Cuts in the first half only are considered reliable.

    Args:
        series: equally spaced observations; use `resample` for a series of changes.
        batch: observations per batch; 1 gives plain MSER.

    Raises:
        AnalysisError: fewer than four batches of observations.
    """
    sample = np.asarray(series, dtype=np.float64).ravel()
    count = sample.size // batch if batch > 0 else 0
    if count < 4:
        raise AnalysisError(
            f"{sample.size} observations make {count} batches of {batch}; MSER needs four or more"
        )
    batches = sample[: count * batch].reshape(count, batch).mean(axis=1)
    batches = batches - batches[-1]  # sums of squares lose nothing to a large common offset
    left = np.arange(count, 0, -1)
    total = np.cumsum(batches[::-1])[::-1]
    squares = np.cumsum((batches**2)[::-1])[::-1]
    statistic = np.maximum(squares - total**2 / left, 0.0) / left.astype(np.float64) ** 2
    candidates = statistic[: count - 2]  # the last batches are alike by chance alone
    best = int(np.argmin(candidates))
    return Truncation(best * batch, float(candidates[best]), best <= count // 2)


def welch(runs: npt.ArrayLike, window: int = 5) -> Floats:
    """Return Welch's curve: the average over replications, smoothed by a centred moving average (Welch 1983).

    Args:
        runs: shape (replications, observations).
        window: observations on either side; fewer near the beginning, as Welch has it.

    Returns:
        Shape (observations - window,).

    Raises:
        AnalysisError: not two-dimensional, or a window that is negative or longer than half of a run.
    """
    sample = np.asarray(runs, dtype=np.float64)
    if sample.ndim != 2 or sample.shape[0] < 1:
        raise AnalysisError(f"Welch's curve needs runs x observations, not shape {sample.shape}")
    average = sample.mean(axis=0)
    count = average.size
    if not 0 <= window <= count // 2:
        raise AnalysisError(f"a window of {window} does not fit {count} observations")
    sums = np.concatenate([[0.0], np.cumsum(average)])
    centre = np.arange(count - window)
    side = np.minimum(window, centre)
    curve: Floats = (sums[centre + side + 1] - sums[centre - side]) / (2 * side + 1)
    return curve


def welch_warmup(runs: npt.ArrayLike, window: int = 5, tolerance: float = 0.02) -> int:
    """Return the first observation from which Welch's curve stays near its level over the last half.

    Args:
        runs: shape (replications, observations).
        window: as in `welch`.
        tolerance: nearness, as a share of the curve's whole range.

    Returns:
        The index; the length of the curve when it never settles.
    """
    curve = welch(runs, window)
    level = curve[curve.size // 2 :].mean()
    away = np.abs(curve - level) > tolerance * np.ptp(curve)
    outside = np.flatnonzero(away)
    return int(outside[-1]) + 1 if outside.size else 0


def resample(
    time_ns: npt.ArrayLike, values: npt.ArrayLike, count: int, until_ns: int | None = None
) -> Floats:
    """Return `count` equally spaced values of a series of changes; each holds until the next change.

    Args:
        time_ns: times of the changes, rising.
        values: value from each of these times on.
        count: number of samples, from the first change to `until_ns` (the last change by default).
        until_ns: end of the span.

    Raises:
        AnalysisError: no changes, or lengths that differ.
    """
    times, series = np.asarray(time_ns, dtype=np.int64), np.asarray(values, dtype=np.float64)
    if times.size == 0 or times.size != series.size:
        raise AnalysisError(f"{times.size} times and {series.size} values are no series")
    grid = np.linspace(times[0], times[-1] if until_ns is None else until_ns, count)
    sampled: Floats = series[np.maximum(np.searchsorted(times, grid, side="right") - 1, 0)]
    return sampled

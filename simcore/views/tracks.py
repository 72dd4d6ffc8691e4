"""Tracks: the series of runs chosen by name, and thinned to what a panel can show without losing peaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.errors import SimcoreError, nearest_name
from simcore.result import Result

__all__ = ["BINS", "Track", "any_number", "choose", "track_of"]

#: More points than a panel has dots are merged into bins of time, with their extremes.
BINS = 500


@dataclass(frozen=True)
class Track:
    """One series ready to draw as steps: each value holds from its time to the next.

    Attributes:
        time_ns: Moments, the end of the run last, shape (n,).
        values: Value from each moment on, shape (n,).
        low: Smallest value since the moment before, shape (n,).
        high: Largest value since the moment before, shape (n,).
    """

    time_ns: NDArray[np.int64]
    values: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def track_of(result: Result, name: str, at_most: int = BINS) -> Track:
    """Return a series ready to draw; a long one merged into ``at_most`` bins of time without losing its peaks."""
    series = result.series
    end_ns = int(result.summary["simulated_ns"])
    time_ns, values = series.time_ns, series[name]
    low, high = series.low(name), series.high(name)
    if len(time_ns) > 2 * at_most:
        bins = (time_ns - time_ns[0]) * at_most // max(int(time_ns[-1] - time_ns[0]), 1)
        starts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
        ends = np.append(starts[1:], len(bins)) - 1
        low, high = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
        time_ns, values = time_ns[ends], values[ends]
    if len(time_ns) and time_ns[-1] < end_ns:
        time_ns = np.append(time_ns, end_ns)
        values, low, high = (np.append(cells, cells[-1]) for cells in (values, low, high))
        low[-1] = high[-1] = values[-1]
    return Track(time_ns, values, low, high)


def choose(runs: Sequence[Result], names: Sequence[str] | None) -> list[str]:
    """Return names of series that runs have.

    Args:
        runs: The runs.
        names: Names or shell patterns; None: those that ever change.

    Raises:
        SimcoreError: A name or pattern that no series has.
    """
    known = sorted({name for run in runs for name in run.series})
    if names is None:
        changing = [name for name in known if any(_changes(run, name) for run in runs if name in run.series)]
        return changing or known
    chosen: list[str] = []
    for pattern in names:
        found = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            nearest = nearest_name(pattern, known)
            raise SimcoreError(f"no series {pattern!r}" + (f"; did you mean {nearest!r}?" if nearest else ""))
        chosen += [name for name in found if name not in chosen]
    return chosen


def _changes(run: Result, name: str) -> bool:
    low, high = run.series.low(name), run.series.high(name)
    return any_number(high) and bool(np.nanmin(low) < np.nanmax(high))


def any_number(values: NDArray[Any]) -> bool:
    """Return whether any value is more than NaN."""
    return bool(np.any(~np.isnan(values)))

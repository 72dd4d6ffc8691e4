"""How fast a counter grows: its increase per bin of time, over the bin's length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simcore.result import Result

__all__ = ["rate_of"]


def rate_of(result: Result, name: str, bins: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rate of a counter over time.

    Args:
        result: A run.
        name: A series that counts.
        bins: Into how many equal parts the run is cut.

    Returns:
        Where each bin begins, in ns, and the increase per second in it; the end of the run with the last rate comes
        last. Both have shape (bins + 1,).
    """
    end_ns = max(int(result.summary["simulated_ns"]), 1)
    edges = np.linspace(0, end_ns, bins + 1)
    times, values = result.series.time_ns, result.series[name].astype(np.float64)
    if len(times) == 0:
        return edges, np.zeros(bins + 1)
    # What is counted at the very start is not an increase.
    held = np.searchsorted(times, edges, side="right") - 1
    counted = np.where(held < 0, values[0], values[np.maximum(held, 0)])
    rate = np.diff(counted) / (end_ns / bins) * 1e9
    return edges, np.append(rate, rate[-1])

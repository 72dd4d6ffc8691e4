"""Mean and spread of observations, taken one by one in compiled code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simcore.compiled import jit

__all__ = ["take"]


@jit
def take(seen: int, mean: float, deviation: float, values: NDArray[np.float64]) -> tuple[int, float, float]:
    """Go on with Welford's recurrence (Technometrics 4, 1962, 419), one observation at a time.

    The result does not depend on how a sequence is cut into chunks, to the bit.

    Args:
        seen: Number of observations so far.
        mean: Their mean.
        deviation: Sum of their squared deviations from it.
        values: The observations that follow.

    Returns:
        The three, brought up to date.
    """
    for value in values:
        seen += 1
        delta = value - mean
        mean += delta / seen
        deviation += delta * (value - mean)
    return seen, mean, deviation

"""How entries that share a set push each other out: the spread, over an array's sets, of how long an entry stays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import compiled

__all__ = ["full_sets", "gamma_above", "random_sets"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@compiled
def full_sets(
    n: Floats, rate: Floats, kind: Ints, weight: Floats, sets: int, ways: int, time: float, even: bool,
    times: Floats, chance: Floats,
) -> None:  # fmt: skip
    """Fill ``times`` and the increments ``chance`` of the chance that a set is full by then.

    Full means that it has seen as many other entries as it has ways. It sees ``mean`` entries. When each
    falls on a set at random their number is Poisson. When page numbers spread ``even``-ly, each set has its
    fixed share of the candidates of each size, and which of them are popular is random: the variance is
    ``sum n*p*(1-p)`` per size with that size's mean p, and a binomial is given that variance.
    """
    before = 0.0
    lowest, highest = time / 6.0, time * 8.0
    ratio = (highest / lowest) ** (1.0 / (times.size - 1))
    point = lowest
    there = np.zeros(4)
    reached = np.empty(4)
    for i in range(n.size):
        if weight[i] > 0.0:
            # Half of a size that sits in two arrays comes to this one, by a hash: all are its candidates.
            there[kind[i]] += n[i]
    for k in range(times.size):
        reached[:] = 0.0
        for i in range(n.size):
            if weight[i] > 0.0:
                reached[kind[i]] += weight[i] * n[i] * (1.0 - math.exp(-rate[i] * point))
        seen = 0.0
        square = 0.0
        for size in range(4):
            if there[size] > 0.0:
                seen += reached[size]
                square += reached[size] * reached[size] / there[size]
        mean = seen / sets
        q = min(square / seen, 0.999999) if even and seen > 0.0 else 0.0
        below = 0.0
        if q < 1e-6:
            term = math.exp(-mean)
            for j in range(ways):
                below += term
                term *= mean / (j + 1)
        else:
            # One candidate is the entry itself, which does not push itself out.
            trials = max(mean / q - 1.0, 0.0)
            term = math.exp(trials * math.log1p(-q))
            for j in range(ways):
                if j >= trials:
                    below = 1.0
                    break
                below += term
                term *= (trials - j) / (j + 1) * q / (1.0 - q)
        now = max(1.0 - below, before)
        chance[k] = now - before
        times[k] = point / math.sqrt(ratio)
        before = now
        point *= ratio


@compiled
def gamma_above(shape: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function (Numerical Recipes 6.2).

    For a whole ``shape`` it is the chance that a Poisson number of mean ``x`` is smaller than ``shape``.
    """
    if x <= 0.0:
        return 1.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        for j in range(1, 500):
            term *= x / (shape + j)
            total += term
            if term < 1e-9 * total:
                break
        return max(1.0 - scale * total, 0.0)
    b = x + 1.0 - shape
    c = 1e300
    d = 1.0 / b
    h = d
    for j in range(1, 500):
        a = -j * (j - shape)
        b += 2.0
        d = 1.0 / (a * d + b)
        c = b + a / c
        h *= d * c
        if abs(d * c - 1.0) < 1e-9:
            break
    return scale * h


@compiled
def random_sets(
    n: Floats, rate: Floats, kind: Ints, weight: Floats, sets: int, ways: int, time: float, even: bool,
    times: Floats, chance: Floats,
) -> None:  # fmt: skip
    """Fill ``times`` with the T of sets with random replacement and ``chance`` with the parts of sets that have it.

    A set's T makes its occupancy ``sum h``, h = l*T/(1+l*T), the number of its ways; so T is larger than t in
    sets whose ``sum h(t)`` is less. Over sets that sum has the mean ``sum n*h/sets``; its variance is that of a
    Poisson number of candidates (hash), or of a fixed number of each size of random popularity (``even``). It
    is taken as Poisson in units of variance over mean. What remains has room for all and never misses.
    """
    before = 1.0
    lowest, highest = time / 12.0, time * 300.0
    ratio = (highest / lowest) ** (1.0 / (times.size - 1))
    point = lowest
    there = np.zeros(4)
    reached = np.empty(4)
    for k in range(times.size):
        there[:] = 0.0
        reached[:] = 0.0
        square = 0.0
        for i in range(n.size):
            if weight[i] > 0.0:
                h = rate[i] * point / (1.0 + rate[i] * point)
                there[kind[i]] += n[i]
                reached[kind[i]] += weight[i] * n[i] * h
                square += weight[i] * n[i] * h * h
        seen = 0.0
        for size in range(4):
            seen += reached[size]
            if even and there[size] > 0.0:
                square -= reached[size] * reached[size] / there[size]
        unit = max(square / seen, 0.01)
        now = min(gamma_above(ways / unit, seen / sets / unit), before)
        chance[k] = before - now
        times[k] = point / math.sqrt(ratio)
        before = now
        point *= ratio

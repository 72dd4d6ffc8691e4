"""The arithmetic of the analytic model, compiled: fill times of arrays, misses per level, refill after flushes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import compiled
from models.tlb.conflicts import full_sets, random_sets
from models.tlb.population import RATE_UNIT

__all__ = ["characteristic_time", "write_misses"]

Floats = npt.NDArray[np.float64]

Ints = npt.NDArray[np.int64]

# Points of time on which the conflict correction weighs the chance that a set is full.
_STEPS = 40


@compiled
def characteristic_time(n: Floats, rate: Floats, weight: Floats, capacity: float, fifo: bool) -> float:
    """Return T with ``sum weight*n*held(rate*T) = capacity``; infinity when everything fits."""
    total = 0.0
    flow = 0.0
    for i in range(n.size):
        total += weight[i] * n[i]
        flow += weight[i] * n[i] * rate[i]
    if total <= capacity:
        return np.inf
    # Held entries are a concave function of T: Newton from a lower bound rises to the root and never passes
    # it.
    time = capacity / flow
    for _ in range(100):
        held = 0.0
        slope = 0.0
        for i in range(n.size):
            if weight[i] > 0.0:
                x = rate[i] * time
                if fifo:
                    share = 1.0 / (1.0 + x)
                    slope += weight[i] * n[i] * rate[i] * share * share
                else:
                    share = math.exp(-x)
                    slope += weight[i] * n[i] * rate[i] * share
                held += weight[i] * n[i] * (1.0 - share)
        step = (capacity - held) / slope
        time += step
        if step <= 1e-7 * time:
            break
    return time


@compiled
def _level(
    n: Floats,
    rate: Floats,
    kind: Ints,
    arrays: Ints,
    route: Ints,
    conflicts: int,
    miss: Floats,
    fill: Floats,
) -> None:
    """Write each bin's miss probability and its array's fill time at one level."""
    size = n.size
    weight = np.empty(size)
    times = np.empty(_STEPS)
    chance = np.empty(_STEPS)
    miss[:] = 0.0
    fill[:] = 0.0
    for i in range(size):
        if route[kind[i], 0] < 0:
            miss[i] = 1.0
    for array in range(arrays.shape[0]):
        flow = 0.0
        for i in range(size):
            weight[i] = 0.5 * ((route[kind[i], 0] == array) + (route[kind[i], 1] == array))
            flow += weight[i] * n[i] * rate[i]
        if flow <= 0.0:
            continue
        sets, ways = arrays[array, 0], arrays[array, 1]
        fifo = arrays[array, 2] == 1
        time = characteristic_time(n, rate, weight, float(sets * ways), False)
        late = characteristic_time(n, rate, weight, float(sets * ways), True) if fifo else time
        spread = conflicts > 0 and sets > 1
        even = conflicts == 1 and arrays[array, 3] == 0
        if spread:
            top = late
            if not np.isfinite(late):
                total = 0.0
                for i in range(size):
                    total += weight[i] * n[i]
                top = 2.0 * total / flow
            if fifo:
                random_sets(n, rate, kind, weight, sets, ways, top, even, times, chance)
            else:
                full_sets(n, rate, kind, weight, sets, ways, top, even, times, chance)
        for i in range(size):
            if weight[i] <= 0.0:
                continue
            if spread:
                share = 0.0
                for k in range(_STEPS):
                    if chance[k] > 1e-12 and fifo:
                        share += chance[k] / (1.0 + rate[i] * times[k])
                    elif chance[k] > 1e-12:
                        share += chance[k] * math.exp(-rate[i] * times[k])
            elif not np.isfinite(late):
                share = 0.0
            elif fifo:
                share = 1.0 / (1.0 + rate[i] * late)
            else:
                share = math.exp(-rate[i] * late)
            miss[i] += weight[i] * share
            fill[i] += weight[i] * time if np.isfinite(time) else np.inf


@compiled
def write_misses(
    count: Ints,
    mass: Ints,
    arrays: Ints,
    route: Ints,
    pieces: bool,
    flush: float,
    conflicts: int,
    out: Floats,
) -> None:
    """Write the misses per visit of a population.

    Args:
        count: Entries by class (4K, 2M, 1G, 2M pieces of 1G) and popularity bin, shape (4, bins).
        mass: Their summed rates in `RATE_UNIT`, shape (4, bins).
        arrays: Sets, ways, whether replacement is random, whether a hash picks the set; one row per array.
        route: Arrays that hold a class, by level.
        pieces: Whether level 2 holds 1G pages as 2M pieces.
        flush: Page visits between two full flushes.
        conflicts: Position in `CONFLICTS`.
        out: Level 1 misses by size (0 to 2), walks by size (3 to 5), both in the steady state (6, 7), and what one
            flush adds to both (8, 9).
    """
    present = 0
    for c in range(4):
        for g in range(count.shape[1]):
            present += count[c, g] > 0
    n = np.empty(present)
    rate = np.empty(present)
    kind = np.empty(present, np.int64)
    i = 0
    for c in range(4):
        for g in range(count.shape[1]):
            if count[c, g] > 0:
                n[i] = count[c, g]
                rate[i] = mass[c, g] * RATE_UNIT / count[c, g]
                kind[i] = c
                i += 1
    # Level 1 holds 1G pages whole; their 2M pieces (class 3) exist at level 2 only.
    first = np.full((4, 2), -1, np.int64)
    second = np.full((4, 2), -1, np.int64)
    for c in range(3):
        for bit in range(2):
            first[c, bit] = route[0, c, bit]
            second[c, bit] = route[1, c, bit]
    if pieces:
        second[3] = second[2]
        second[2] = -1
    whole = 0
    for i in range(present):
        whole += kind[i] < 3
    # Classes are in order, so that the pieces are the tail.
    miss1 = np.empty(present)
    fill1 = np.empty(present)
    _level(n[:whole], rate[:whole], kind[:whole], arrays, first, conflicts, miss1[:whole], fill1[:whole])
    gig_rate = 0.0
    gig_miss = 0.0
    for i in range(whole):
        if kind[i] == 2:
            gig_rate += n[i] * rate[i]
            gig_miss += n[i] * rate[i] * miss1[i]
    for i in range(whole, present):
        miss1[i] = gig_miss / gig_rate if gig_rate > 0.0 else 1.0
        fill1[i] = 0.0
    rate2 = rate * miss1
    miss2 = np.empty(present)
    fill2 = np.empty(present)
    skip = 2 if pieces else 3
    for i in range(present):
        if kind[i] == skip:
            rate2[i] = 0.0
    seen = n.copy()
    for i in range(present):
        if kind[i] == skip:
            seen[i] = 0.0
    _level(seen, rate2, kind, arrays, second, conflicts, miss2, fill2)
    out[:] = 0.0
    for i in range(present):
        size = min(kind[i], 2)
        if kind[i] < 3:
            steady = n[i] * rate2[i] if kind[i] != skip else n[i] * rate[i] * miss1[i]
            cold = _cold(n[i], rate[i], steady, fill1[i], flush)
            out[size] += cold
            out[6] += steady
            out[8] += _first(n[i], rate[i], fill1[i]) - steady * min(fill1[i], 1e300)
        if kind[i] != skip:
            steady = n[i] * rate2[i] * miss2[i]
            held = second[kind[i], 0] >= 0
            reach = max(fill1[i], fill2[i]) if held else fill1[i]
            cold = _cold(n[i], rate[i], steady, reach, flush)
            out[3 + size] += cold
            out[7] += steady
            out[9] += _first(n[i], rate[i], reach) - steady * min(reach, 1e300)


@compiled
def _first(n: float, rate: float, time: float) -> float:
    """Return how many of ``n`` entries are visited at least once in ``time``."""
    return n * (1.0 - math.exp(-rate * time)) if np.isfinite(time) else n


@compiled
def _cold(n: float, rate: float, steady: float, fill: float, flush: float) -> float:
    """Return misses per visit when everything is flushed each ``flush`` visits.

    Until the array has filled up again (``fill`` visits) each first visit misses; from then on the steady
    rate holds.
    """
    if not np.isfinite(flush):
        return steady
    cold = _first(n, rate, min(fill, flush))
    rest = flush - fill
    return (cold + (steady * rest if rest > 0.0 else 0.0)) / flush

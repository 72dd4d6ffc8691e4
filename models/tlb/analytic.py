"""The analytic model: Che's approximation per array on popularity bins, with the refill after flushes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import compiled
from models.tlb.conflicts import full_sets, random_sets
from models.tlb.hierarchy import Hierarchy
from models.tlb.population import RATE_UNIT, Population

__all__ = ["CONFLICTS", "Translation", "characteristic_time", "cold_misses", "evaluate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Conflicts = Literal["none", "even", "random"]
CONFLICTS: tuple[Conflicts, ...] = ("none", "even", "random")

# Points of time on which the conflict correction weighs the chance that a set is full.
_STEPS = 40


@dataclass(frozen=True)
class Translation:
    """Expected translations per page visit.

    Attributes:
        miss_l1: Visits that miss level 1 (they look into level 2).
        walks: Visits that miss both levels and walk the tables.
        walks_by_size: The same by size of the entry (4K, 2M, 1G).
        misses_l1_by_size: ``miss_l1`` by size.
        steady_miss_l1: ``miss_l1`` as it would be without flushes.
        steady_walks: ``walks`` without flushes.
        refill_l1: Additional level 1 misses that one flush causes.
        refill_walks: Additional walks that one flush causes.
    """

    miss_l1: float
    walks: float
    walks_by_size: tuple[float, float, float]
    misses_l1_by_size: tuple[float, float, float]
    steady_miss_l1: float
    steady_walks: float
    refill_l1: float
    refill_walks: float

    @property
    def hit_l2(self) -> float:
        """Visits that miss level 1 and hit level 2."""
        return self.miss_l1 - self.walks

    @property
    def miss_l2(self) -> float:
        """Share of level 2 look-ups that miss (0 when there are none)."""
        return self.walks / self.miss_l1 if self.miss_l1 else 0.0


def evaluate(
    hierarchy: Hierarchy,
    population: Population,
    flush_interval: float = math.inf,
    *,
    conflicts: Conflicts = "even",
) -> Translation:
    """Return the expected hits and walks of a population under its present tiling.

    Che, Tung and Wang (2002): an LRU array of C entries holds an entry that is visited with rate l with
    probability ``1 - exp(-l*T)``, where T solves ``sum n*(1 - exp(-l*T)) = C``; with FIFO or random
    replacement ``l*T / (1 + l*T)`` (Fricker, Robert and Roberts 2012). Level 2 sees what level 1 misses.
    Tree-PLRU is taken as LRU.

    Args:
        hierarchy: The TLBs.
        population: Pages, popularity and tiling (placed with `Population.on` of the same hierarchy).
        flush_interval: Page visits between two full flushes.
        conflicts: How entries share sets. ``none`` takes each array as fully associative, which bounds misses
            from below; ``random`` lets entries fall on sets at random (Poisson), which bounds them from
            above; ``even`` lies between: page numbers fill all sets alike, as they do in a contiguous
            footprint. Where a hash picks the set, ``even`` is ``random``.

    Raises:
        ValueError: A flush interval that is not positive.
    """
    if not flush_interval > 0:
        raise ValueError(f"flush_interval must be positive, not {flush_interval}")
    arrays, route = _description(hierarchy)
    out = np.empty(10)
    _evaluate(population.count, population.mass, arrays, route, hierarchy.one_gig_as_2m, flush_interval,
              CONFLICTS.index(conflicts), out)  # fmt: skip
    l1, walks = (out[0], out[1], out[2]), (out[3], out[4], out[5])
    steady_l1, steady_walks = float(out[6]), float(out[7])
    miss_l1, all_walks = float(sum(l1)), float(sum(walks))
    finite = math.isfinite(flush_interval)
    return Translation(
        miss_l1=miss_l1,
        walks=all_walks,
        walks_by_size=(float(out[3]), float(out[4]), float(out[5])),
        misses_l1_by_size=(float(out[0]), float(out[1]), float(out[2])),
        steady_miss_l1=steady_l1,
        steady_walks=steady_walks,
        refill_l1=(miss_l1 - steady_l1) * flush_interval if finite else float(out[8]),
        refill_walks=(all_walks - steady_walks) * flush_interval if finite else float(out[9]),
    )


def cold_misses(population: Population, visits: float) -> float:
    """Return ``s(F)``: the distinct entries that ``visits`` visits touch, all missed after a full flush."""
    count = population.count[:3]
    rate = population.mass[:3] * RATE_UNIT / np.maximum(count, 1)
    return float((count * -np.expm1(-rate * visits)).sum())


@lru_cache(maxsize=64)
def _description(hierarchy: Hierarchy) -> tuple[Ints, Ints]:
    shapes = [
        (array.sets, array.ways, int(array.replacement == "random"), int(array.hashed)) for array in hierarchy.arrays
    ]
    return np.array(shapes, np.int64).reshape(len(shapes), 4), hierarchy.compile().route


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
def _evaluate(
    count: Ints,
    mass: Ints,
    arrays: Ints,
    route: Ints,
    pieces: bool,
    flush: float,
    conflicts: int,
    out: Floats,
) -> None:
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

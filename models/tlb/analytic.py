"""The analytic model: Che's approximation per array on popularity bins, with the refill after flushes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.tlb.analytic_compiled import write_misses
from models.tlb.hierarchy import Hierarchy
from models.tlb.population import RATE_UNIT, Population

__all__ = ["CONFLICTS", "Translation", "cold_misses", "evaluate"]

Ints = npt.NDArray[np.int64]

Conflicts = Literal["none", "even", "random"]

CONFLICTS: tuple[Conflicts, ...] = ("none", "even", "random")


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
    write_misses(population.count, population.mass, arrays, route, hierarchy.one_gig_as_2m, flush_interval,
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

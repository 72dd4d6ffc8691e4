"""The analytic model against the exact one, and its limits that are known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import gammaincc

from models.tlb.analytic import CONFLICTS, Translation, cold_misses, evaluate
from models.tlb.conflicts import gamma_above
from models.tlb.counts import Counts, Tiling
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import SIZE_1G, SIZE_4K, Array, Hierarchy
from models.tlb.popularity import Popularity
from models.tlb.population import Population

N_PAGES = 1 << 20
WARM, COUNTED = 500_000, 2_500_000


@lru_cache(maxsize=2)
def _law_and_trace(exponent: float) -> tuple[Popularity, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(11)
    law = Popularity.zipf(N_PAGES, exponent).scattered(rng)
    return law, law.sample(WARM + COUNTED, rng)


def _both(
    hierarchy: Hierarchy, exponent: float, share_4k: float, *, flush: int = 0
) -> tuple[Translation, Counts, Population]:
    law, trace = _law_and_trace(exponent)
    tiling = Tiling.random(N_PAGES, share_4k, np.random.default_rng(5))
    population = Population.on(hierarchy, law)
    population.set_tiling(tiling.region_size)
    tlb = ExactTlb(hierarchy, seed=1)
    tlb.run(trace[:WARM], tiling=tiling)
    before = tlb.counters.copy()
    step = flush or COUNTED
    for start in range(WARM, WARM + COUNTED, step):
        if flush:
            tlb.flush()
        tlb.run(trace[start : start + step], tiling=tiling)
    return evaluate(hierarchy, population, flush or math.inf), Counts.of(tlb.counters - before), population


@pytest.mark.parametrize("share_4k", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("name", ["zen5", "skylake_sp", "zen5_hashed"])
@pytest.mark.parametrize("exponent", [0.0, 0.6, 0.99, 1.2])
def test_walk_rate_is_within_four_percent_of_the_exact_model(
    exponent: float, name: str, share_4k: float
) -> None:
    """The accuracy on which every slowdown rests: laws from uniform to steep, 5 % to all at 4K."""
    told, counted, _ = _both(Hierarchy.from_preset(name, coalesce=False), exponent, share_4k)
    assert told.walks == pytest.approx(counted.walk_rate, rel=0.04)
    assert told.miss_l1 == pytest.approx(counted.l1_miss_rate, rel=0.04)


@pytest.mark.parametrize("name", ["zen2", "ice_lake_sp", "neoverse_n1"])
@pytest.mark.parametrize("share_4k", [0.1, 1.0])
def test_shared_arrays_and_coalescing_follow_the_exact_model(name: str, share_4k: float) -> None:
    """Sizes in two arrays (Ice Lake), coalesced groups (Zen, Neoverse) and odd ways."""
    told, counted, _ = _both(Hierarchy.from_preset(name), 0.99, share_4k)
    assert told.walks == pytest.approx(counted.walk_rate, rel=0.05)
    assert sum(told.walks_by_size) == pytest.approx(told.walks)


@pytest.mark.parametrize("share_4k", [0.3, 1.0])
def test_random_replacement_follows_the_exact_model(share_4k: float) -> None:
    """The FIFO/random form holds for fully associative arrays with random replacement."""
    arrays = (
        (Array(("4K", "2M", "1G"), 64, 64, "random"),),
        (Array(("4K", "2M"), 2048, 2048, "random"),),
    )
    told, counted, _ = _both(Hierarchy(arrays), 0.99, share_4k)
    assert told.walks == pytest.approx(counted.walk_rate, rel=0.04)
    assert told.miss_l1 == pytest.approx(counted.l1_miss_rate, rel=0.04)


@pytest.mark.parametrize(("policy", "hashed"), [("lru", True), ("random", False)])
def test_index_and_replacement_are_taken_apart(policy: Literal["lru", "random"], hashed: bool) -> None:
    """Sets picked by a hash alone, and random replacement alone, where 5 % of the regions are at 4K."""
    first, second = (
        tuple(replace(array, replacement=policy, hashed=hashed) for array in level)
        for level in Hierarchy.from_preset("skylake_sp", coalesce=False).levels
    )
    told, counted, _ = _both(Hierarchy((first, second)), 1.2, 0.05)
    assert told.walks == pytest.approx(counted.walk_rate, rel=0.04)


def test_the_upper_gamma_function_is_scipys() -> None:
    """Both branches, shapes that are no whole numbers, and the chance of a Poisson number below a whole one."""
    for shape in (0.7, 5.0, 16.0, 53.3, 1600.0):
        for x in (0.0, 0.5 * shape, shape, 1.7 * shape):
            assert gamma_above(shape, x) == pytest.approx(float(gammaincc(shape, x)), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("flush", [5_000, 50_000])
@pytest.mark.parametrize("share_4k", [0.05, 1.0])
def test_flushes_cost_what_the_exact_model_refills(flush: int, share_4k: float) -> None:
    """Periodic full flushes: walk rate within 4 %; refill per flush is what lies above the steady rate."""
    told, counted, _ = _both(Hierarchy.from_preset("zen5", coalesce=False), 0.99, share_4k, flush=flush)
    assert told.walks == pytest.approx(counted.walk_rate, rel=0.04)
    assert told.walks * flush == pytest.approx(told.steady_walks * flush + told.refill_walks)
    assert told.refill_walks > 0


def test_refill_of_a_rare_flush_is_the_refill_without_interval() -> None:
    """What one flush costs does not depend on the interval once everything is full again before the next."""
    hierarchy = Hierarchy.from_preset("skylake_sp")
    population = Population.on(hierarchy, Popularity.zipf(N_PAGES, 0.99))
    rare, never = evaluate(hierarchy, population, 1e9), evaluate(hierarchy, population)
    assert rare.refill_walks == pytest.approx(never.refill_walks, rel=1e-3)
    assert rare.walks == pytest.approx(never.walks, rel=1e-3)


def test_flush_after_each_visit_misses_always() -> None:
    """The shortest interval: nothing is ever held."""
    hierarchy = Hierarchy.from_preset("zen5")
    told = evaluate(hierarchy, Population.on(hierarchy, Popularity.uniform(100_000)), 1e-6)
    assert told.walks == pytest.approx(1.0)
    assert told.miss_l1 == pytest.approx(1.0)


def test_footprint_within_reach_never_walks() -> None:
    """What fits has no steady misses; a flush then costs one walk an entry."""
    hierarchy = Hierarchy.from_preset("zen5", coalesce=False)
    population = Population.on(hierarchy, Popularity.uniform(80), size=SIZE_4K)
    told = evaluate(hierarchy, population)
    assert (told.miss_l1, told.walks, told.miss_l2) == (0.0, 0.0, 0.0)
    assert told.refill_walks == pytest.approx(80.0)


def test_uniform_law_has_the_closed_form() -> None:
    """Equal entries in one LRU array of C of n: the hit rate is C/n."""
    hierarchy = Hierarchy(((Array(("4K", "2M", "1G"), 64, 64),), ()))
    told = evaluate(hierarchy, Population.on(hierarchy, Popularity.uniform(640), size=SIZE_4K))
    assert told.miss_l1 == pytest.approx(0.9, rel=1e-6)
    assert told.walks == pytest.approx(told.miss_l1)


@pytest.mark.parametrize("share_4k", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("name", ["zen5", "skylake_sp"])
def test_conflict_bounds_enclose_the_estimate(name: str, share_4k: float) -> None:
    """Fully associative arrays miss least, sets filled at random most."""
    _, counted, population = _both(Hierarchy.from_preset(name, coalesce=False), 1.2, share_4k)
    hierarchy = Hierarchy.from_preset(name, coalesce=False)
    low, middle, high = (evaluate(hierarchy, population, conflicts=kind).walks for kind in CONFLICTS)
    assert low <= middle <= high
    assert low * 0.99 <= counted.walk_rate <= high * 1.01


def test_gigantic_pages_are_kept_in_pieces_where_the_cpu_does_so() -> None:
    """1G mappings: held by level 1 only on Zen 5, as 2M pieces on Zen 2, so that Zen 2 walks far less."""
    rates = {}
    for name in ("zen5", "zen2"):
        hierarchy = Hierarchy.from_preset(name)
        law = Popularity.uniform(1536)
        frames = np.arange(1536) * (129 << 9)  # about four pages in each of 387 gigantic pages, over all sets
        pages = frames[law.sample(200_000, np.random.default_rng(3))]
        population = Population.on(hierarchy, law, frames, size=SIZE_1G)
        told = evaluate(hierarchy, population)
        tlb = ExactTlb(hierarchy)
        sizes = np.full(pages.size, SIZE_1G, np.uint8)
        tlb.run(pages, sizes=sizes)
        counted = tlb.run(pages, sizes=sizes)
        assert told.miss_l1 == pytest.approx(counted.l1_miss_rate, rel=0.02)
        assert told.walks == pytest.approx(counted.walk_rate, rel=0.02, abs=0.01)
        rates[name] = told.walks
    assert rates["zen2"] < 0.1 * rates["zen5"]


def test_cold_misses_count_distinct_entries() -> None:
    """The cold-miss curve of equal pages is the coupon collector's."""
    population = Population(Popularity.uniform(1000), size=SIZE_4K)
    assert cold_misses(population, 500) == pytest.approx(1000 * -math.expm1(-0.5), rel=1e-6)


def test_bad_flush_interval_is_shown() -> None:
    """A flush interval of zero visits is refused with its value."""
    hierarchy = Hierarchy.from_preset("zen5")
    with pytest.raises(ValueError, match="not 0"):
        evaluate(hierarchy, Population.on(hierarchy, Popularity.uniform(10)), 0)


def test_plru_is_taken_as_lru() -> None:
    """Tree-PLRU is evaluated by the LRU form, as the docstring says."""
    hierarchy = Hierarchy.from_preset("skylake_sp")
    first, second = (
        tuple(replace(array, replacement="plru") for array in level) for level in hierarchy.levels
    )
    other = replace(hierarchy, levels=(first, second))
    population = Population.on(hierarchy, Popularity.zipf(100_000, 0.9))
    assert evaluate(hierarchy, population) == evaluate(other, population)

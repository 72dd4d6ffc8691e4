"""What walks cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.machine.tlb import load_tlb
from models.tlb.analytic import evaluate
from models.tlb.hierarchy import SIZE_4K, Hierarchy
from models.tlb.popularity import Popularity
from models.tlb.population import Population
from models.tlb.walk import WalkCost, translation_cycles, walk_cost


def _cost(n_pages: int, *, host: bool = False, preset: str = "skylake_sp", **lines: float) -> WalkCost:
    hierarchy = Hierarchy.from_preset(preset)
    law = Popularity.zipf(n_pages, 0.4).scattered(np.random.default_rng(1))
    population = Population.on(hierarchy, law, size=SIZE_4K)
    told = evaluate(hierarchy, population)
    return walk_cost(load_tlb(preset), population, told, host_page="4K" if host else None, **lines)


def test_cost_rises_with_the_footprint() -> None:
    """Leaf lines spill from cache to cache as the footprint grows."""
    costs = [_cost(n).cycles for n in (4096, 32_768, 262_144, 2_097_152)]
    assert costs == sorted(costs)
    assert costs[-1] > 2 * costs[0]


def test_a_small_footprint_reads_its_lines_from_the_first_cache() -> None:
    """All lines in the L1D: start and one L1D latency, as the PDE cache covers the rest."""
    skylake = load_tlb("skylake_sp")
    cost = _cost(4096, lines_per_page=0.01, lines_per_visit=0.01)
    assert cost.cycles == pytest.approx(skylake.walk_start_cycles + skylake.caches.l1d_cycles, rel=0.05)


def test_data_lines_push_table_lines_out() -> None:
    """The same pages with more lines used per page make walks dearer."""
    for n_pages in (65_536, 1_048_576):
        assert _cost(n_pages, lines_per_page=64).cycles > 1.01 * _cost(n_pages, lines_per_page=1).cycles


def test_a_virtual_machine_walks_longer() -> None:
    """Host tables are read too."""
    assert _cost(262_144, host=True).cycles > 1.2 * _cost(262_144).cycles


def test_large_entries_walk_cheaper() -> None:
    """Leaf lines of 2M entries cover 16 MiB each and stay near."""
    hierarchy = Hierarchy.from_preset("skylake_sp")
    population = Population.on(hierarchy, Popularity.uniform(1 << 20))
    population.set_tiling(np.arange(2048) % 2)
    cost = walk_cost(load_tlb("skylake_sp"), population, evaluate(hierarchy, population))
    assert cost.cycles_by_size[1] < 0.5 * cost.cycles_by_size[0]


def test_arithmetic_of_a_visit() -> None:
    """``m1*l2_latency + m2*W/mlp``, and overlap ends at the number of walkers."""
    skylake = load_tlb("skylake_sp")
    hierarchy = Hierarchy.from_preset(skylake)
    told = evaluate(hierarchy, Population.on(hierarchy, Popularity.uniform(1 << 18), size=SIZE_4K))
    walk = WalkCost((100.0, 50.0, 50.0), 100.0, (1.0, 1.0, 1.0))
    base = told.miss_l1 * skylake.l2_latency_cycles
    assert translation_cycles(skylake, told, walk) == pytest.approx(base + told.walks * 100)
    assert translation_cycles(skylake, told, walk, mlp=10) == pytest.approx(base + told.walks * 100 / 2)
    with pytest.raises(ValueError, match="not 0"):
        translation_cycles(skylake, told, walk, mlp=0)


def test_nothing_to_walk_costs_nothing() -> None:
    """Without walks the mean is zero and finite."""
    hierarchy = Hierarchy.from_preset("zen5")
    population = Population.on(hierarchy, Popularity.uniform(10))
    cost = walk_cost(load_tlb("zen5"), population, evaluate(hierarchy, population))
    assert cost.cycles == 0.0
    assert all(math.isfinite(cycles) for cycles in cost.cycles_by_size)

"""What a page walk costs: where its table lines lie, what the paging-structure caches spare."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.machine.tlb import Caches, PageSize, TlbPreset
from models.tlb.analytic import Translation
from models.tlb.analytic_compiled import characteristic_time
from models.tlb.hierarchy import SIZE_CODE
from models.tlb.population import RATE_UNIT, Population

__all__ = ["LINE_BYTES", "PTES_PER_LINE", "WalkCost", "translation_cycles", "walk_cost"]

LINE_BYTES = 64
PTES_PER_LINE = 8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WalkCost:
    """Cycles of one walk.

    Attributes:
        cycles_by_size: For a walk that ends in a 4K, 2M or 1G entry.
        cycles: Mean over the walks of a translation.
        leaf_cycles_by_size: The part spent on reading the last table entry.
    """

    cycles_by_size: tuple[float, float, float]
    cycles: float
    leaf_cycles_by_size: tuple[float, float, float]


def translation_cycles(
    preset: TlbPreset, translation: Translation, walk: WalkCost, *, mlp: float = 1.0
) -> float:
    """Return cycles of translation per page visit: ``m1*l2_latency + m2*W/mlp``.

    Args:
        preset: The CPU.
        translation: Miss rates per visit.
        walk: Cycles per walk.
        mlp: Walks that overlap: 1 for a chain of dependent accesses, up to about 10, and no more than the CPU
            has walkers.

    Raises:
        ValueError: ``mlp`` below 1.
    """
    if mlp < 1:
        raise ValueError(f"memory-level parallelism is at least 1, not {mlp}")
    overlap = min(mlp, preset.walkers) if mlp > 1 else 1.0
    return translation.miss_l1 * preset.l2_latency_cycles + translation.walks * walk.cycles / overlap


def walk_cost(
    preset: TlbPreset,
    population: Population,
    translation: Translation,
    *,
    host_page: PageSize | None = None,
    lines_per_visit: float = 1.0,
    lines_per_page: float = 64.0,
) -> WalkCost:
    """Return the cost of walks of a population under its present tiling.

    ``W = start + sum over the entries read of the latency of the cache where their line lies``. Data lines
    and table lines compete for the data caches, each level an LRU of its size (Che's approximation on the one
    stream of both). A 64-byte line holds 8 entries. The lines of one kind are taken as equally popular: a
    line sums the walks of eight pages, and pages that are popular do not walk. What a walk that misses the PDPTE
    cache reads, of whose lines there is one for 8 GiB, is taken to lie in L2.

    Args:
        preset: Cache sizes, latencies, paging-structure caches.
        population: Pages and tiling.
        translation: Its miss rates.
        host_page: In a virtual machine, how the host maps it: each walk then also reads host entries.
        lines_per_visit: Data lines that a page visit touches.
        lines_per_page: Different data lines that visits of a page touch over time, at most 64.
    """
    lines = _Lines(preset.caches, preset.ghz)
    page_count = population.page_count
    used = page_count > 0
    rate = (population.page_mass[used] * RATE_UNIT / page_count[used]).astype(np.float64)
    lines.add((page_count[used] * lines_per_page).astype(np.float64), rate * lines_per_visit / lines_per_page)
    walks = translation.walks_by_size
    all_walks = translation.walks
    regions = population.regions.size
    small = float(np.count_nonzero(population.region_size == 0))
    gigantic = float(max(1, len(set((population.regions >> 9).tolist()))))
    leaves = (
        max(1.0, float(population.leaf_lines_4k)),
        max(1.0, (regions - small) / PTES_PER_LINE),
        max(1.0, gigantic / PTES_PER_LINE),
    )
    leaf = [lines.add_equal(leaves[size], walks[size]) for size in range(3)]
    caches = preset.paging_structure_caches
    # Upper entries: those of a 4K walk's page directories that the PDE cache does not hold, and so on.
    pde_read = walks[0] * _missing(small, caches.pde)
    upper = lines.add_equal(max(1.0, small / PTES_PER_LINE), pde_read)
    pdpte_missing = _missing(gigantic, caches.pdpte)
    host_leaf = host_upper = None
    host_missing = 0.0
    if host_page is not None:
        code = SIZE_CODE[host_page]
        units = (float(page_count.sum()), float(regions), gigantic)[code]
        host_leaf = lines.add_equal(max(1.0, units / PTES_PER_LINE), all_walks)
        if code == 0:
            host_missing = _missing(float(regions), caches.pde)
            host_upper = lines.add_equal(max(1.0, regions / PTES_PER_LINE), all_walks * host_missing)
    latency = lines.latencies()
    host = 0.0
    if host_leaf is not None:
        host = (
            preset.nested_walk_cycles
            + latency[host_leaf]
            + (host_missing * latency[host_upper] if host_upper is not None else 0.0)
        )
    leaf_cycles = [latency[number] for number in leaf]
    pdpte = preset.caches.l2_cycles * pdpte_missing
    above = (_missing(small, caches.pde) * (latency[upper] + pdpte), pdpte, 0.0)
    cycles = [preset.walk_start_cycles + above[size] + leaf_cycles[size] + host for size in range(3)]
    mean = sum(w * c for w, c in zip(walks, cycles, strict=True)) / all_walks if all_walks > 0 else 0.0
    return WalkCost((cycles[0], cycles[1], cycles[2]), mean, (leaf_cycles[0], leaf_cycles[1], leaf_cycles[2]))


def _missing(entries: float, cache: int) -> float:
    """Return the miss share of a cache of equally popular entries."""
    return max(0.0, 1.0 - cache / entries) if entries > 0 else 0.0


class _Lines:
    """Kinds of lines that compete for the data caches."""

    def __init__(self, caches: Caches, ghz: float) -> None:
        self._levels = (
            (caches.l1d_kib, float(caches.l1d_cycles)),
            (caches.l2_kib, float(caches.l2_cycles)),
            (caches.l3_kib, float(caches.l3_cycles)),
        )
        self._memory_cycles = caches.memory_ns * ghz
        self._count: list[Floats] = []
        self._rate: list[Floats] = []
        self._kinds: list[float] = []

    def add(self, count: Floats, rate: Floats) -> None:
        """Add lines that only compete: their numbers and rates."""
        self._count.append(count)
        self._rate.append(rate)

    def add_equal(self, count: float, total_rate: float) -> int:
        """Add ``count`` lines that share ``total_rate`` references, and return the number of their kind."""
        rate = total_rate / count
        if rate > 0:
            self.add(np.array([count]), np.array([rate]))
        self._kinds.append(rate)
        return len(self._kinds) - 1

    def latencies(self) -> list[float]:
        """Return the mean latency of each kind, in cycles."""
        count, rate = np.concatenate(self._count), np.concatenate(self._rate)
        weight = np.ones_like(count)
        cycles = [0.0] * len(self._kinds)
        outside = [1.0] * len(self._kinds)
        for size_kib, latency in self._levels:
            time = characteristic_time(count, rate, weight, size_kib * 1024 / LINE_BYTES, False)
            for kind, kind_rate in enumerate(self._kinds):
                missing = 0.0 if math.isinf(time) else math.exp(-kind_rate * time)
                cycles[kind] += (outside[kind] - min(missing, outside[kind])) * latency
                outside[kind] = min(missing, outside[kind])
        return [cycle + out * self._memory_cycles for cycle, out in zip(cycles, outside, strict=True)]

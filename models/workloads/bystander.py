"""A bystander: what the tiling of the direct map and the flushes cost somebody who has nothing to do with either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.machine.tlb import PageSize, TlbPreset
from models.tlb.analytic import Translation, evaluate
from models.tlb.hierarchy import SIZES, Hierarchy
from models.tlb.popularity import Popularity
from models.tlb.population import Population
from models.tlb.walk import WalkCost, walk_cost
from models.workloads.bystander_memory import Footprint
from models.workloads.bystander_preset import BystanderPreset

__all__ = ["Bystander", "Visit", "place"]

_NS_PER_S: Final = 1e9


@dataclass(frozen=True)
class Visit:
    """What a page visit costs under one tiling.

    Attributes:
        translation: hits and walks per visit.
        walk: cycles per walk.
        overlap: walks that overlap.
        lookup_ns, walk_ns: level 2 look-ups, and walks, without flushes.
        refill_ns: what one full flush adds on one CPU, in all visits after it.
    """

    translation: Translation
    walk: WalkCost
    overlap: float
    lookup_ns: float
    walk_ns: float
    refill_ns: float

    @property
    def cost_ns(self) -> float:
        """Translation, without flushes."""
        return self.lookup_ns + self.walk_ns


def place(
    preset: BystanderPreset, footprint: Footprint, hierarchy: Hierarchy, random: np.random.Generator
) -> Population:
    """Lay a bystander's popularity over its page frames: each stream's law, the ranks shuffled within its part."""
    parts = {"page_cache": footprint.page_cache, "slab": footprint.slab}
    pfns = np.concatenate([footprint.page_cache, footprint.slab])
    first = {"page_cache": 0, "slab": len(footprint.page_cache)}
    # One order per part: what is hot for one stream is hot for the others.
    orders = {name: random.permutation(len(frames)) for name, frames in parts.items()}
    rates = np.zeros(len(pfns))
    for stream in preset.streams.values():
        frames = parts[stream.over]
        law = Popularity.zipf(len(frames), stream.law_exponent).rates if len(frames) else np.empty(0)
        rates[first[stream.over] + orders[stream.over]] += stream.share.value * law
    return Population.on(hierarchy, Popularity(rates), pfns)


class Bystander:
    """One bystander's accounts.

    Attributes:
        name: its key under ``bystanders``.
        preset: what it is.
        population: its pages and the entries that map them now.
        boot: what a visit costs under the boot's tiling; ``boot_sizes``: that tiling.
        reach_ns: CPU time that the tiling cost it beyond that of the boot, so far; less than 0 where smaller entries
            suit the TLB better.
        refill_ns: CPU time that filling the TLBs again after flushes cost it, so far.
    """

    def __init__(
        self, name: str, preset: BystanderPreset, population: Population, tlb: TlbPreset, host_page: PageSize | None,
        hierarchy: Hierarchy, boot_sizes: NDArray[np.uint8], sizes: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Begin the accounts.

        Args:
            name: its key.
            preset: what it is.
            population: its popularity on its frames.
            tlb: the CPU's TLBs; host_page: of a virtual machine's host.
            hierarchy: the same, as arrays.
            boot_sizes: size code of each of its 2M regions as the boot left them; sizes: the same, now.
        """
        self.name, self.preset, self.population = name, preset, population
        self._tlb, self._host_page, self._hierarchy = tlb, host_page, hierarchy
        self.cpus = round(preset.cpus.value)
        self.visits_per_ns = preset.visits_per_s.value / _NS_PER_S
        shares = np.array([stream.share.value for stream in preset.streams.values()])
        shares /= shares.sum()
        overlaps = [min(stream.overlap, tlb.walkers) for stream in preset.streams.values()]
        self._overlap = 1 / float((shares / overlaps).sum())
        self._lines = float((shares * [stream.lines.value for stream in preset.streams.values()]).sum())
        self.reach_ns = self.refill_ns = 0.0
        self._flush_visits = math.inf
        self.boot_sizes = boot_sizes
        population.set_tiling(boot_sizes)
        self.boot = self._evaluate(math.inf)
        population.set_tiling(sizes)
        self._now: Visit | None = None

    def changes(self, sizes: Sequence[tuple[int, bool, int]]) -> bool:
        """Whether `set_tiling` with these would change anything."""
        regions, now = self.population.regions, self.population.region_size
        for number, gigantic, size in sizes:
            if gigantic:
                first, last = np.searchsorted(regions, (number << 9, (number + 1) << 9))
                if (now[first:last] != size).any():
                    return True
            elif self.population.size_of(number) not in {None, size}:
                return True
        return False

    def set_tiling(self, sizes: Sequence[tuple[int, bool, int]]) -> None:
        """Take over what regions became: (number, whether it is a 1G region, size code)."""
        for number, gigantic, size in sizes:
            if gigantic:
                self.population.set_gigantic(number, size)
            else:
                self.population.set_region(number, size)
        self._now = None

    def break_groups(self, pfns: NDArray[np.int64]) -> None:
        """Say that 4K entries differ from their neighbours, so that their groups no longer share one TLB entry."""
        before = int(self.population.count[0].sum())
        for pfn in pfns.tolist():
            self.population.set_group_broken(pfn)
        if int(self.population.count[0].sum()) != before:
            self._now = None

    def visit(self, flushes_per_ns: float = 0.0) -> Visit:
        """What a visit costs now, with so many full flushes; evaluated when either has changed."""
        visits = self.visits_per_ns / flushes_per_ns if flushes_per_ns > 0 else math.inf
        if self._now is None or visits != self._flush_visits:
            self._now = self._evaluate(visits)
            self._flush_visits = visits
        return self._now

    def present(self) -> Visit:
        """What a visit costs now, with as many flushes as there were lately."""
        return self.visit(self._flushes())

    def spend(self, elapsed_ns: int, flushes_per_ns: float) -> None:
        """Account for time with the tiling as it is."""
        if elapsed_ns > 0:
            visit = self.visit(flushes_per_ns)
            per_visit_ns = visit.cost_ns - self.boot.cost_ns
            self.reach_ns += elapsed_ns * self.cpus * self.visits_per_ns * per_visit_ns
            self.refill_ns += elapsed_ns * flushes_per_ns * self.cpus * visit.refill_ns

    @property
    def slowdown(self) -> float:
        """Part by which the tiling makes it slower than that of the boot, flushes left out."""
        return self.visits_per_ns * (self.present().cost_ns - self.boot.cost_ns)

    def _flushes(self) -> float:
        return self.visits_per_ns / self._flush_visits if math.isfinite(self._flush_visits) else 0.0

    def at_size(self, size: int) -> Visit:
        """What a visit would cost if entries of one size mapped everything."""
        kept = self.population.region_size.copy()
        self.population.set_tiling(np.full(kept.shape, size, np.uint8))
        visit = self._evaluate(math.inf)
        self.population.set_tiling(kept)
        return visit

    def relative_time(self, visit: Visit) -> float:
        """Time of a visit, the work itself included, as a multiple of that with the boot's tiling."""
        return 1 + self.visits_per_ns * (visit.cost_ns - self.boot.cost_ns)

    def walk_share(self, visit: Visit) -> float:
        """Part of the time that goes into walks."""
        return self.visits_per_ns * visit.walk_ns / self.relative_time(visit)

    def uniform(self) -> dict[str, Visit]:
        """A visit under each uniform tiling, by size."""
        return {name.lower(): self.at_size(code) for code, name in enumerate(SIZES)}

    def _evaluate(self, flush_visits: float) -> Visit:
        translation = evaluate(self._hierarchy, self.population, flush_visits)
        walk = walk_cost(
            self._tlb, self.population, translation, host_page=self._host_page, lines_per_visit=self._lines
        )
        look_up, walking = self._tlb.l2_latency_cycles, walk.cycles / self._overlap
        ghz = self._tlb.ghz
        return Visit(
            translation, walk, self._overlap,
            lookup_ns=translation.steady_miss_l1 * look_up / ghz,
            walk_ns=translation.steady_walks * walking / ghz,
            refill_ns=max(0.0, translation.refill_l1 * look_up + translation.refill_walks * walking) / ghz,
        )  # fmt: skip

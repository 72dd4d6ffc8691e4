"""What a worker is asked to scatter free kernel memory, see `models.host.worker_scatter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.host.kernel_memory.free_lists import BuddyList
from models.host.procfs import ProcError, parse_meminfo, parse_pagetypeinfo, parse_zoneinfo
from models.host.sources import Sources, Unreadable

__all__ = ["free_split_regions", "scatter_request"]


_MOST_LEFTOVERS = 1 << 18
_REGION_SHIFT = 9


def scatter_request(
    regions: int, given_back: int, seed: int, *, cpus: Sequence[int], split_regions: int = 0
) -> dict[str, Any]:
    """Return the request to take page tables over fresh 2M regions and give some of each back.

    Args:
        regions: how many.
        given_back: pages given back on each CPU.
        seed: of their choice.
        cpus: CPUs that the run will use: each has lists of its own.
        split_regions: free regions that are at 4K already: what was given back last is handed out first, so they would
            be taken again.
    """
    leftovers = _leftovers() + _listed(cpus) + (split_regions << _REGION_SHIFT)
    return {
        "do": "scatter",
        "leftovers": min(leftovers, _MOST_LEFTOVERS, _available_pages() // 4),
        "regions": regions,
        "given_back": given_back,
        "seed": seed,
        "cpus": list(cpus),
    }


def _available_pages() -> int:
    try:
        return parse_meminfo(Sources().text("meminfo")).get("MemAvailable", 0) // 4
    except (Unreadable, ProcError):
        return 0


def free_split_regions(lists: Sequence[BuddyList], tiles: Sequence[tuple[int, int, int]]) -> int:
    """Return how many regions at 4K are free as a whole, and movable: others are among the leftovers."""
    free = [
        (listed.pfns >> _REGION_SHIFT)[:, None] + np.arange(1 << listed.order >> _REGION_SHIFT)
        for listed in lists
        if listed.order >= _REGION_SHIFT and listed.migratetype == "Movable"
    ]
    split = [
        np.arange(start >> _REGION_SHIFT, -(-(start + pages) >> _REGION_SHIFT))
        for start, pages, level in tiles
        if level == 1
    ]
    none = np.zeros(0, np.int64)
    whole = np.concatenate([none, *(regions.ravel() for regions in free)])
    return int(np.isin(whole, np.concatenate([none, *split])).sum())


def _leftovers() -> int:
    """Free pages of the types that page tables are taken from; 0 where the kernel does not say."""
    try:
        free = parse_pagetypeinfo(Sources().text("pagetypeinfo")).free
    except (Unreadable, ProcError):
        return 0
    # Page tables come from the highest zone first; RECLAIMABLE is the first that UNMOVABLE falls back to.
    return sum(
        count << order
        for (_, zone, kind), blocks in free.items()
        if zone == "Normal" and kind in {"Unmovable", "Reclaimable"}
        for order, count in enumerate(blocks)
    )


def _listed(cpus: Sequence[int]) -> int:
    """Pages on the CPUs' own lists, of any type: at most so many more come from regions that are in use already."""
    try:
        zones = parse_zoneinfo(Sources().text("zoneinfo"))
    except (Unreadable, ProcError):
        return 0
    return sum(zone.pagesets.get(cpu, {}).get("count", 0) for zone in zones if zone.name == "Normal" for cpu in cpus)

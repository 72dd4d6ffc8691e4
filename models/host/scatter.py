"""What a worker is asked to scatter free kernel memory, see `models.host.worker_scatter`."""

from __future__ import annotations

import os
from typing import Any

from models.host.procfs import ProcError, parse_pagetypeinfo
from models.host.sources import Sources, Unreadable

__all__ = ["scatter_request"]


_MOST_LEFTOVERS = 1 << 17


def scatter_request(regions: int, given_back: int, seed: int) -> dict[str, Any]:
    """Return the request to take page tables over fresh 2M regions and give some of each back, on this run's CPU."""
    cpu = min(os.sched_getaffinity(0))
    return {
        "do": "scatter",
        "leftovers": min(_leftovers(), _MOST_LEFTOVERS),
        "regions": regions,
        "given_back": given_back,
        "seed": seed,
        "cpu": cpu,
    }


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

"""The recorded state of allocator and direct map at one instant, its lists unrolled into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.host.recording_raw_state import RawDirectMapCounters

__all__ = ["ANY_TYPE", "DirectMapState", "Pageblocks", "Pcp", "PcpList", "State", "ZoneState"]

#: Type of the per-CPU list of order 9 that holds every type but movable.
ANY_TYPE = -1

#: Page frame numbers, or rows of them.
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class PcpList:
    """One per-CPU list.

    Attributes:
        index: 3 * order + type up to order 3; 12 (not movable) and 13 (movable) hold order 9.
        order: Order of its blocks.
        migratetype: Type of the list, `ANY_TYPE` for list 12.
        pfns: First page frames in list order, head first.
        remembered_types: The type each block will go back as, aligned with ``pfns``.
    """

    index: int
    order: int
    migratetype: int
    pfns: Int64s
    remembered_types: Int64s


@dataclass(frozen=True)
class Pcp:
    """The per-CPU lists of one zone and CPU; ``count`` and ``high`` in pages, ``lists`` by index."""

    zone: int
    cpu: int
    count: int
    high: int
    batch: int
    free_factor: int
    nr_lists: int
    vm_stat_diff: int
    stat_threshold: int
    lists: Mapping[int, PcpList]
    type_overrides: Int64s


@dataclass(frozen=True)
class Pageblocks:
    """Types of the pageblocks of a zone, the first at ``first_pfn``; 255 where there is no memory."""

    zone: int
    first_pfn: int
    types: NDArray[np.uint8]


@dataclass(frozen=True)
class ZoneState:
    """What a zone counts; ``nr_free_pages`` lacks the ``vm_stat_diff`` of the CPUs."""

    zone: int
    nr_free_pages: int
    watermark_boost: int
    nr_reserved_highatomic: int
    flags: int


@dataclass(frozen=True)
class DirectMapState:
    """The direct map.

    Attributes:
        counters: What the kernel reports.
        runs: int64[n, 5]: start pfn, pages, level (1: 4K, 2: 2M, 3: 1G, 0: not mapped), present, writable.
        tables: int64[n, 3]: first pfn covered, level of the entry that it replaced, pfn of the table.
    """

    counters: RawDirectMapCounters
    runs: Int64s
    tables: Int64s


@dataclass(frozen=True)
class State:
    """Allocator and direct map at one instant; zones by index.

    Attributes:
        free_lists: (zone, order, type) to first page frames, head first; an empty list is not there.
        pcp: (zone, cpu) to its per-CPU lists.
        pageblocks: Zone to the types of its pageblocks.
        zones: Zone to what it counts.
        direct_map: Entries, tables and counters.
    """

    free_lists: Mapping[tuple[int, int, int], Int64s]
    pcp: Mapping[tuple[int, int], Pcp]
    pageblocks: Mapping[int, Pageblocks]
    zones: Mapping[int, ZoneState]
    direct_map: DirectMapState

    def blocks(self) -> tuple[Int64s, Int64s]:
        """Return first page frame and order of every block on any list, in the order of the lists."""
        pairs = [(pfns, order) for (_, order, _), pfns in self.free_lists.items()]
        pairs += [(held.pfns, held.order) for pcp in self.pcp.values() for held in pcp.lists.values()]
        if not pairs:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        firsts = np.concatenate([pfns for pfns, _ in pairs])
        return firsts, np.repeat(np.array([order for _, order in pairs]), [len(pfns) for pfns, _ in pairs])

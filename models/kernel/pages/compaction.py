"""Compaction's two scanners: movable pages from a zone's start, free pages from its end, until they meet [6.1].

The scanners work by pageblocks, keep their places between runs, and start anew once they have met. What moves a
page, which is to fix the links of whoever holds it, lies above (`models.kernel.migration`). Memory that nobody uses
is all that free memory grows by here: there is no reclaim.
"""

from typing import Any, Final

import numpy as np

from simcore.compiled import jit

from .allocator import free_pages
from .blocks import block_around, block_pages
from .buddy import block_type, isolate
from .fallback import LRU
from .layout import (
    FREE,
    ISOLATED,
    MAX_ORDER,
    MOVABLE,
    NONE,
    PCP_TYPES,
    PER_CPU,
    USED,
    config,
    lists,
    pages,
    per_cpu,
    zones,
)  # fmt: skip
from .lists import buddy_list
from .percpu import drain
from .watermark import watermark_ok

__all__ = [
    "COMPACTION", "ZoneCompaction", "count_block", "drain_zone", "fragmentation_index", "give_back", "has_block",
    "isolate_free_pages", "suitable",
]  # fmt: skip

COMPACTION: Final = np.dtype(
    [
        ("migrate_pfn", "<i8"), ("free_pfn", "<i8"),  # where the scanners stand; free_pfn 0: at the zone's end
        ("considered", "<i8"), ("defer_shift", "<i8"),  # attempts skipped after a failure, log2 of how many will be
        ("free_head", "<i8"), ("free_tail", "<i8"), ("free_count", "<i8"),  # pages isolated as targets
    ]
)  # fmt: skip
ZoneCompaction = Any
"""A `COMPACTION` record."""
_WMARK_LOW: Final = 1
_EXTFRAG_THRESHOLD: Final = 500
"""At or below this fragmentation index an allocation fails for lack of memory, not for lack of order."""


@jit
def has_block(handle: int, zone: int, order: int) -> bool:
    """Whether a zone has a free block of an order, of any type that an ordinary request may take."""
    listed = lists(handle)
    for current in range(order, MAX_ORDER):
        for migratetype in range(PCP_TYPES):
            if listed[buddy_list(zone, current, migratetype)].head != NONE:
                return True
    return False


@jit
def fragmentation_index(handle: int, zone: int, order: int) -> int:
    """Why a request fails, in thousandths: towards 0 for lack of memory, towards 1,000 for fragmentation.

    -1,000 when it would not fail (`__fragmentation_index`).
    """
    listed, blocks, free, suitable_blocks = lists(handle), 0, 0, 0
    for current in range(MAX_ORDER):
        for migratetype in range(PCP_TYPES + 1):
            count = listed[buddy_list(zone, current, migratetype)].blocks
            blocks += count
            free += count << current
            if current >= order:
                suitable_blocks += count
    if blocks == 0:
        return 0
    if suitable_blocks > 0:
        return -1000
    return 1000 - (1000 + free * 1000 // (1 << order)) // blocks


@jit
def suitable(handle: int, zone: int, order: int, highest_kind: int) -> bool:
    """Whether compacting a zone can make sense: enough free memory to move pages into, and no block yet."""
    if not watermark_ok(handle, zone, 0, _WMARK_LOW, highest_kind, 2 << order):
        return False
    index = fragmentation_index(handle, zone, order)
    return not 0 <= index <= _EXTFRAG_THRESHOLD


@jit
def drain_zone(handle: int, zone: int, by_cpu: int) -> None:
    """Give back all pages on the per-CPU lists of a zone, on behalf of one CPU (`drain_all_pages`)."""
    for cpu in range(config(handle).cpus):
        local = per_cpu(handle, zone, cpu)
        if local.count > 0:
            drain(handle, zone, cpu, local.count, 0, by_cpu)


@jit
def count_block(handle: int, first: int, end: int) -> tuple[int, int, int]:
    """Sort the pages of a pageblock.

    Returns:
        Pages that can move, pages that are free (on per-CPU lists too), and pages that are neither.
    """
    page, movable, free, pinned = pages(handle), 0, 0, 0
    pfn = block_around(handle, first)
    if pfn == NONE:
        pfn = first
    while pfn < end:
        size = block_pages(handle, pfn)
        inside = min(pfn + size, end) - max(pfn, first)
        state = page[pfn].state
        if state in (FREE, PER_CPU):
            free += inside
        elif state == USED and page[pfn].flags & LRU:
            movable += inside
        else:
            pinned += inside
        pfn += size
    return movable, free, pinned


@jit
def isolate_free_pages(handle: int, zone: int, cpu: int, record: ZoneCompaction, wanted: int) -> None:
    """Take free pages from the zone's end downwards until enough are isolated or the scanners meet.

    Targets lie in movable pageblocks that are not free as a whole: those are what is to be made, not to be used up.
    """
    page, zone_record, settings = pages(handle), zones(handle)[zone], config(handle)
    size = 1 << settings.pageblock_order
    if record.free_pfn == 0:
        record.free_pfn = (zone_record.end_pfn - 1) // size * size
    while record.free_count < wanted and record.free_pfn > record.migrate_pfn:
        first = record.free_pfn
        pfn = max(first, zone_record.start_pfn)
        around = block_around(handle, pfn)
        # A block that begins before the pageblock is larger than it, and no target either.
        whole = around != NONE and (
            around < first or (page[around].state == FREE and block_pages(handle, around) >= size)
        )
        if not whole and block_type(handle, pfn) == MOVABLE:
            end = min(first + size, zone_record.end_pfn)
            while pfn < end and record.free_count < wanted:
                step = block_pages(handle, pfn)
                if page[pfn].state == FREE:
                    isolate(handle, zone, cpu, pfn, page[pfn].order)
                    for k in range(pfn, pfn + step):
                        _keep(handle, record, k)
                pfn += step
            if record.free_count >= wanted:
                return
        record.free_pfn = first - size


@jit
def _keep(handle: int, record: ZoneCompaction, pfn: int) -> None:
    page = pages(handle)
    page[pfn].state, page[pfn].order, page[pfn].next = ISOLATED, 0, NONE
    if record.free_count == 0:
        record.free_head = pfn
    else:
        page[record.free_tail].next = pfn
    record.free_tail = pfn
    record.free_count += 1


@jit
def give_back(handle: int, cpu: int, record: ZoneCompaction) -> None:
    """Free the isolated pages that nothing was moved to (`release_freepages`)."""
    page = pages(handle)
    while record.free_count > 0:
        pfn = record.free_head
        record.free_head = page[pfn].next
        record.free_count -= 1
        page[pfn].state = USED
        free_pages(handle, cpu, pfn, 0)

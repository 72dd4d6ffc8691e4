"""Free blocks that pages are moved to: how one is taken, and the search for one through the free lists.

Sources: mm/compaction.c of 6.1, `fast_isolate_freepages`; `__isolate_free_page` of mm/page_alloc.c.
"""

from typing import Final

from models.kernel.compaction.control import (
    CLUSTER,
    block_start,
    control,
    free_blocks,
    turn_list,
    zone_state,
)  # fmt: skip
from models.kernel.pages.buddy import isolate
from models.kernel.pages.layout import ISOLATED, MOVABLE, NONE, config, lists, pages, zones
from models.kernel.pages.lists import buddy_list, record
from simcore.compiled import jit

__all__ = ["isolate_block", "search_lists", "wanted_pages"]

_WMARK_MIN: Final = 0


@jit
def isolate_block(store: int, own: int, pfn: int) -> int:
    """Take a free block, unless too little would be left; returns its pages."""
    cc = control(own)
    order = pages(store)[pfn].order
    zone = zones(store)[cc.zone]
    left = zone.free_pages - zone.reserved_highatomic
    if left <= zone.wmark[_WMARK_MIN] + (1 << order) + zone.lowmem_reserve[0]:
        return 0
    record(store, ord("I"), cc.zone, order, pages(store)[pfn].migratetype, pfn, 0, 0, 0)
    isolate(store, cc.zone, cc.cpu, pfn, order)
    # Single pages from the block's end on: each is put before those that are there.
    page = pages(store)
    for k in range(pfn, pfn + (1 << order)):
        page[k].state, page[k].order, page[k].next = ISOLATED, 0, cc.free_head
        cc.free_head = k
    cc.free_count += 1 << order
    cc.unsplit += 1 << order
    cc.blocks_isolated += 1
    return int(1 << order)


@jit
def wanted_pages(own: int) -> int:
    """Pages that have no place yet."""
    cc = control(own)
    return int(cc.isolated)


@jit
def _next_search_order(own: int, order: int) -> int:
    """The order to search next, from the last successful one downwards and round; -1: all were searched."""
    cc = control(own)
    order -= 1
    if order < 0:
        order = cc.order - 1
    if order == cc.search_order:
        cc.search_order -= 1
        if cc.search_order < 0:
            cc.search_order = cc.order - 1
        return -1
    return int(order)


@jit
def search_lists(store: int, own: int) -> None:
    """Look for a block in the upper part of the zone through the free lists (`fast_isolate_freepages`).

    What it has found and taken is in ``found`` and ``found_pages``.
    """
    cc, state, page, listed = control(own), zone_state(own), pages(store), lists(store)
    zone = zones(store)[cc.zone]
    size = 1 << config(store).pageblock_order
    cc.found = NONE
    if cc.order <= 0:
        return
    limit = max(1, ((CLUSTER >> min(63, cc.fast_search_fail)) + 1) >> 1)
    starting = cc.free_pfn >= state.init_free
    if starting:
        limit = size >> 1
    distance = cc.free_pfn - cc.migrate_pfn
    low_pfn = block_start(store, cc.free_pfn - (distance >> 2))
    min_pfn = block_start(store, cc.free_pfn - (distance >> 1))
    found, taken, highest = NONE, 0, 0
    cc.search_order = min(cc.order - 1, cc.search_order)
    order = cc.search_order
    while found == NONE and order >= 0:
        if free_blocks(store, cc.zone, order) > 0:
            looked, high_pfn = 0, 0
            pfn = listed[buddy_list(cc.zone, order, MOVABLE)].tail
            at = NONE
            while pfn != NONE:
                looked += 1
                cc.pages_scanned += 1
                if pfn >= highest:
                    highest = max(block_start(store, pfn), zone.start_pfn)
                if pfn >= low_pfn:
                    cc.fast_search_fail = 0
                    cc.search_order = order
                    found = at = pfn
                    break
                if pfn >= min_pfn and pfn > high_pfn:
                    high_pfn = pfn
                    limit >>= 1
                if looked >= limit:
                    at = pfn
                    break
                pfn = page[pfn].prev
            if found == NONE and high_pfn > 0:
                found = at = high_pfn
            if at != NONE:
                turn_list(store, own, order, MOVABLE, at, False)
            if found != NONE:
                taken = isolate_block(store, own, found)
                if taken == 0:
                    order = cc.search_order + 1
                    found = NONE
            if looked >= limit:
                limit = max(1, limit >> 1)
        order = _next_search_order(own, order)
    if found == NONE:
        cc.fast_search_fail += 1
        if starting and highest > 0:
            found = cc.free_pfn = highest
    if highest > 0 and highest >= state.cached_free:
        state.cached_free = highest - size
    cc.found, cc.found_pages = found, taken

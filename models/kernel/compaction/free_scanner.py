"""Where pages are moved to: free blocks from the zone's end downwards, found through the free lists or block by block.

Sources: mm/compaction.c of 6.1, `isolate_freepages` and what it calls; `__isolate_free_page` of mm/page_alloc.c.
"""

from typing import Final

from models.kernel.compaction.control import (
    ASYNC,
    CLUSTER,
    block_start,
    control,
    free_blocks,
    is_free_block,
    set_skip,
    skip_hints,
    turn_list,
    zone_state,
)  # fmt: skip
from models.kernel.pages.buddy import block_type, isolate
from models.kernel.pages.layout import ISOLATED, MOVABLE, NONE, USED, config, lists, pages, zones
from models.kernel.pages.lists import buddy_list, record
from simcore.compiled import jit

__all__ = ["isolate_free_pages"]

_WMARK_MIN: Final = 0


@jit
def _isolate_block(store: int, own: int, pfn: int) -> int:
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
def _wanted(own: int) -> int:
    """Pages that have no place yet."""
    cc = control(own)
    return int(cc.isolated)


@jit
def _scan(store: int, own: int, first: int, end: int, stride: int) -> tuple[int, int]:
    """Take the free blocks between two pages until there are enough (`isolate_freepages_block`).

    Returns:
        Where the scan ended, and pages taken.
    """
    cc, page, pfn, taken = control(own), pages(store), first, 0
    cc.asked = 1  # at every 32nd page in the kernel
    while pfn < end:
        cc.pages_scanned += 1
        if not is_free_block(store, pfn):
            # Blocks in use of higher orders are compound pages as far as the scanner sees: it steps over them.
            if page[pfn].state == USED and page[pfn].order > 0:
                pfn += (1 << page[pfn].order) - 1
            pfn += stride
            continue
        count = _isolate_block(store, own, pfn)
        if count == 0:
            break
        taken += count
        pfn += count
        if _wanted(own) <= cc.free_count:
            break
        pfn += stride - 1
    return min(pfn, end), taken


@jit
def _scan_around(store: int, own: int, pfn: int, taken: int) -> None:
    """Look through the rest of the pageblock in which the lists had a block (`fast_isolate_around`)."""
    cc, zone = control(own), zones(store)[control(own).zone]
    if cc.free_count >= _wanted(own):
        return
    first = max(block_start(store, pfn), zone.start_pfn)
    end = min(block_start(store, pfn) + (1 << config(store).pageblock_order), zone.end_pfn)
    if first != pfn:
        _scan(store, own, first, pfn, 1)
        if cc.free_count >= _wanted(own):
            return
    if pfn + taken < end:
        _scan(store, own, pfn + taken, end, 1)
    if cc.free_count < _wanted(own):
        set_skip(store, own, pfn)


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
def _search_lists(store: int, own: int) -> None:
    """Look for a block in the upper part of the zone through the free lists (`fast_isolate_freepages`)."""
    cc, state, page, listed = control(own), zone_state(own), pages(store), lists(store)
    zone = zones(store)[cc.zone]
    size = 1 << config(store).pageblock_order
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
                taken = _isolate_block(store, own, found)
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
    if found != NONE:
        _scan_around(store, own, found, taken)


@jit
def isolate_free_pages(store: int, own: int) -> None:
    """Take free pages for those that are to be moved, when there are none left (`isolate_freepages`)."""
    cc, state, page, zone = control(own), zone_state(own), pages(store), zones(store)[control(own).zone]
    shift = config(store).pageblock_order
    size = 1 << shift
    _search_lists(store, own)
    if cc.free_count > 0:
        return
    at = cc.free_pfn
    first = block_start(store, at)
    end = min(first + size, zone.end_pfn)
    lowest = block_start(store, cc.migrate_pfn) + size
    stride = CLUSTER if cc.mode == ASYNC else 1
    while first >= lowest:
        whole = is_free_block(store, first) and page[first].order >= shift
        passed = not cc.ignore_skip and skip_hints(own)[first >> shift]
        if not whole and not passed and block_type(store, first) == MOVABLE:
            at, taken = _scan(store, own, at, end, stride)
            if at == end:
                set_skip(store, own, first)
                state.cached_free = min(state.cached_free, first)
            if cc.free_count >= _wanted(own):
                if at >= end:
                    at = first - size
                break
            if at < end:
                break
            stride = 1 if taken else min(CLUSTER, stride << 1)
        end = first
        first -= size
        at = first
    cc.free_pfn = at

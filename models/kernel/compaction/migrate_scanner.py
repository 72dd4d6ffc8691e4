"""What is moved: pages of processes from the zone's start upwards, pageblock by pageblock, or where lists have blocks.

Sources: mm/compaction.c of 6.1, `isolate_migratepages` and what it calls. A single page in use that is not in the
direct map is taken for a page of a secret file: those are on an LRU list too, are taken, and then refuse to be moved
(`secretmem_migrate_folio`).
"""

from typing import Final

from models.kernel.compaction.control import (
    CLUSTER,
    block_start,
    control,
    free_blocks,
    isolation_list,
    set_skip,
    skip_hints,
    turn_list,
    zone_state,
)  # fmt: skip
from models.kernel.direct_map import ABSENT
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import FREE, MOVABLE, NONE, USED, config, lists, pages, zones
from models.kernel.pages.lists import buddy_list
from simcore.compiled import jit

__all__ = ["isolate_migrate_pages"]

_COSTLY_ORDER: Final = 3
_SEARCHED: Final = 1 << 62
"""The lowest block that searches had found has been used as a start (`ULONG_MAX`)."""


@jit
def _search_lists(store: int, own: int) -> int:
    """Look for a pageblock with free blocks near the start through the lists (`fast_find_migrateblock`)."""
    cc, page, listed = control(own), pages(store), lists(store)
    zone, shift = zones(store)[cc.zone], config(store).pageblock_order
    limit = (CLUSTER >> min(63, cc.fast_search_fail)) + 1
    start = cc.migrate_pfn
    if cc.ignore_skip or cc.order <= _COSTLY_ORDER:
        return int(start)
    if start not in (zone.start_pfn, block_start(store, start)):
        return int(start)
    distance = (cc.free_pfn - start) >> 1
    if start != zone.start_pfn:
        distance >>= 2
    high_pfn = block_start(store, start + distance)
    looked, found = 0, False
    order = cc.order - 1
    while order >= _COSTLY_ORDER and not found and looked < limit:
        if free_blocks(store, cc.zone, order) > 0:
            pfn = listed[buddy_list(cc.zone, order, MOVABLE)].head
            while pfn != NONE:
                looked += 1
                if looked > limit:
                    turn_list(store, own, order, MOVABLE, pfn, True)
                    break
                if pfn < high_pfn and not skip_hints(own)[pfn >> shift]:
                    turn_list(store, own, order, MOVABLE, pfn, True)
                    if cc.fast_start != _SEARCHED:
                        cc.fast_start = pfn if cc.fast_start == 0 else min(cc.fast_start, pfn)
                    start = block_start(store, pfn)
                    cc.fast_search_fail = 0
                    found = True
                    set_skip(store, own, pfn)
                    break
                pfn = page[pfn].next
        order -= 1
    cc.pages_scanned += looked
    if not found:
        cc.fast_search_fail += 1
        if cc.fast_start not in (0, _SEARCHED):
            start = cc.migrate_pfn = cc.fast_start
            cc.fast_start = _SEARCHED
    return int(start)


@jit
def _update_cached(store: int, own: int, end: int) -> None:
    """Where the next run begins: a pageblock further, since the kernel takes the end for a page of the block."""
    cc, state = control(own), zone_state(own)
    end += 1 << config(store).pageblock_order
    state.cached_migrate_async = max(state.cached_migrate_async, end)
    if cc.mode != 0:
        state.cached_migrate_sync = max(state.cached_migrate_sync, end)


@jit
def _isolate_block(store: int, own: int, low: int, end: int) -> None:
    """Take the movable pages of a pageblock, a cluster or, the second time, all (`isolate_migratepages_block`)."""
    cc, page, found = control(own), pages(store), isolation_list(own)
    shift = config(store).pageblock_order
    aligned, updated, taken, pfn = False, False, 0, low
    while pfn < end:
        cc.pages_scanned += 1
        if not aligned and pfn & ((1 << shift) - 1) == 0:
            if not cc.ignore_skip and skip_hints(own)[pfn >> shift]:
                pfn = end
                break
            aligned = True
        state = page[pfn].state
        if state in (FREE, USED) and page[pfn].order > 0:
            pfn += 1 << page[pfn].order
            continue
        if state != USED or not page[pfn].flags & (LRU | ABSENT):
            pfn += 1
            continue
        if not updated:
            updated = True
            if not cc.ignore_skip and pfn & ((1 << shift) - 1) == 0:
                # That it is set already has just been ruled out.
                set_skip(store, own, pfn)
        found[cc.isolated] = pfn
        cc.isolated += 1
        taken += 1
        pfn += 1
        if cc.isolated >= CLUSTER and not cc.rescan:
            break
    pfn = min(pfn, end)
    if pfn == end and (taken == 0 or cc.rescan):
        if aligned and not updated:
            set_skip(store, own, low)
        _update_cached(store, own, end)
    cc.migrate_pfn = pfn


@jit
def isolate_migrate_pages(store: int, own: int) -> bool:
    """Take pages to be moved from the next pageblock that may have some; whether there are any."""
    cc = control(own)
    zone, shift = zones(store)[cc.zone], config(store).pageblock_order
    size = 1 << shift
    low = _search_lists(store, own)
    # A search that was successful has marked the block itself.
    searched = low != cc.migrate_pfn and cc.fast_search_fail == 0
    end = block_start(store, low) + size
    while end <= cc.free_pfn:
        passed = low & (size - 1) == 0 and not searched and not cc.ignore_skip and skip_hints(own)[low >> shift]
        whole = pages(store)[low].state == USED and pages(store)[low].order >= shift
        if end <= zone.end_pfn and not passed and not whole:
            _isolate_block(store, own, low, end)
            break
        searched = False
        cc.migrate_pfn = low = end
        end += size
    return bool(cc.isolated > 0)

"""When a migratetype has no free block left: taking one from another type, and stealing pageblocks [6.1]."""

from typing import Final

from simcore.compiled import jit

from .buddy import block_type, change_block_type, smallest
from .layout import (
    FREE,
    HIGHATOMIC,
    MAX_ORDER,
    MOVABLE,
    NONE,
    RECLAIMABLE,
    UNMOVABLE,
    USED,
    config,
    lists,
    movable_given,
    pages,
    zones,
)  # fmt: skip
from .lists import add_tail, buddy_list, record, remove

__all__ = ["ALLOC_KSWAPD", "ALLOC_NOFRAGMENT", "FORKED", "LRU", "boost_watermark", "move_free_pages", "take"]

ALLOC_NOFRAGMENT: Final = 0x100
ALLOC_KSWAPD: Final = 0x800
LRU: Final = 1
"""Page flag: on an LRU list, so compaction could move it."""
FORKED: Final = 64
"""Page flag: a task had it that has forked since, so that all its children may map it (`rmap_walk_anon`)."""

_FALLBACKS: Final = ((RECLAIMABLE, MOVABLE), (RECLAIMABLE, UNMOVABLE), (UNMOVABLE, MOVABLE))


@jit
def _fallback_type(handle: int, zone: int, order: int, migratetype: int) -> int:
    """First type in the fallback order that has a free block of this order, or NONE."""
    listed = lists(handle)
    for other in _FALLBACKS[migratetype]:
        if listed[buddy_list(zone, order, other)].head != NONE:
            return other
    return NONE


@jit
def _may_steal_block(handle: int, order: int, migratetype: int) -> bool:
    """Whether taking a block of this order may claim its whole pageblock (`can_steal_fallback`)."""
    half = config(handle).pageblock_order // 2
    return bool(order >= half or migratetype in (RECLAIMABLE, UNMOVABLE))


@jit
def _move_to_list(handle: int, zone: int, pfn: int, migratetype: int) -> None:
    page = pages(handle)[pfn]
    remove(handle, buddy_list(zone, page.order, page.migratetype), pfn)
    page.migratetype = migratetype
    page.state = FREE
    add_tail(handle, buddy_list(zone, page.order, migratetype), pfn)


@jit
def move_free_pages(handle: int, zone: int, pfn: int, migratetype: int) -> tuple[int, int]:
    """Move the free blocks of a pageblock to another type's lists, to the tails (`move_freepages_block`).

    Returns:
        Free pages moved, and movable pages in use counted on the way: taken from the page records, or from
        `movable_given` where a recording knows better.
    """
    page, settings, zone_record = pages(handle), config(handle), zones(handle)[zone]
    first = (pfn >> settings.pageblock_order) << settings.pageblock_order
    end = first + (1 << settings.pageblock_order)
    if first < zone_record.start_pfn:
        first = pfn
    if end > zone_record.end_pfn:
        return 0, 0
    moved, movable = 0, 0
    while first < end:
        if page[first].state != FREE:
            if page[first].state == USED and page[first].flags & LRU:
                movable += 1
            first += 1
            continue
        size = 1 << page[first].order
        _move_to_list(handle, zone, first, migratetype)
        moved += size
        first += size
    if settings.movable_next < settings.movable_end:
        movable = movable_given(handle)[settings.movable_next]
        settings.movable_next += 1
    return moved, movable


@jit
def boost_watermark(handle: int, zone: int) -> bool:
    """Raise the zone's watermarks by a pageblock after fragmentation, up to `watermark_boost_factor`."""
    settings, zone_record = config(handle), zones(handle)[zone]
    block_pages = 1 << settings.pageblock_order
    if settings.watermark_boost_factor == 0 or block_pages * 4 > zone_record.managed:
        return False
    limit = zone_record.wmark[2] * settings.watermark_boost_factor // 10000
    if limit == 0:
        return False
    zone_record.boost = min(zone_record.boost + block_pages, max(block_pages, limit))
    return True


@jit
def _steal(handle: int, zone: int, pfn: int, migratetype: int, alloc_flags: int, whole_block: bool) -> None:
    """Claim a block of another type, with its whole pageblock when it pays (`steal_suitable_fallback`)."""
    settings = config(handle)
    order = pages(handle)[pfn].order
    former = block_type(handle, pfn)
    if former != HIGHATOMIC:
        if order >= settings.pageblock_order:
            for block in range(pfn, pfn + (1 << order), 1 << settings.pageblock_order):
                change_block_type(handle, block, migratetype)
        else:
            if boost_watermark(handle, zone) and alloc_flags & ALLOC_KSWAPD:
                zones(handle)[zone].boosted = 1
            if whole_block:
                free, movable = move_free_pages(handle, zone, pfn, migratetype)
                record(handle, ord("Y"), zone, order, migratetype, pfn, free, movable, former)
                alike = 0
                if migratetype == MOVABLE:
                    alike = movable
                elif former == MOVABLE:
                    alike = (1 << settings.pageblock_order) - (free + movable)
                if free > 0:
                    if free + alike >= 1 << (settings.pageblock_order - 1):
                        change_block_type(handle, pfn, migratetype)
                    return
    _move_to_list(handle, zone, pfn, migratetype)


@jit
def _fall_back(handle: int, zone: int, order: int, migratetype: int, alloc_flags: int) -> bool:
    """Bring a block of another type to this type's lists, the largest there is (`__rmqueue_fallback`)."""
    settings = config(handle)
    lowest = order
    if order < settings.pageblock_order and alloc_flags & ALLOC_NOFRAGMENT:
        lowest = settings.pageblock_order
    for largest in range(MAX_ORDER - 1, lowest - 1, -1):
        current = largest
        other = _fallback_type(handle, zone, current, migratetype)
        if other == NONE:
            continue
        whole_block = _may_steal_block(handle, current, migratetype)
        if not whole_block and migratetype == MOVABLE and current > order:
            # A movable request leaves unmovable blocks as whole as it can: the smallest that fits.
            for current in range(order, MAX_ORDER):
                other = _fallback_type(handle, zone, current, migratetype)
                if other != NONE:
                    break
            whole_block = _may_steal_block(handle, current, migratetype)
        pfn = lists(handle)[buddy_list(zone, current, other)].head
        settings.steals += 1
        record(handle, ord("X"), zone, current, migratetype, pfn, order, other, int(whole_block))
        _steal(handle, zone, pfn, migratetype, alloc_flags, whole_block)
        return True
    return False


@jit
def take(handle: int, zone: int, order: int, migratetype: int, alloc_flags: int) -> int:
    """Take a block from the buddy lists, from other types if need be (`__rmqueue`).

    Returns:
        The block's pfn, or NONE.
    """
    while True:
        pfn = smallest(handle, zone, order, migratetype)
        if pfn != NONE or not _fall_back(handle, zone, order, migratetype, alloc_flags):
            return pfn

"""The buddy system of a zone: splitting blocks on allocation, merging them on free [6.1 mm/page_alloc.c]."""

from typing import Final

from simcore.compiled import jit

from .layout import (
    FREE,
    ISOLATE,
    MAX_ORDER,
    MOVABLE,
    NONE,
    TOUCHED_SHIFT,
    TYPES,
    UNUSED,
    USED,
    block_types,
    config,
    lists,
    pages,
    per_cpu,
    touched,
    zones,
)  # fmt: skip
from .lists import add_head, add_tail, buddy_list, remove, take_block

__all__ = [
    "block_type", "change_block_type", "change_free_pages", "delete_free", "free_block", "smallest", "smallest_pages",
    "zone_of",
]  # fmt: skip

_TAIL: Final = True


@jit
def zone_of(handle: int, pfn: int) -> int:
    """Zone that a page lies in."""
    zone = zones(handle)
    for index in range(config(handle).zones):
        if zone[index].start_pfn <= pfn < zone[index].end_pfn:
            return index
    return NONE


@jit
def block_type(handle: int, pfn: int) -> int:
    """Migratetype of the page's pageblock."""
    return int(block_types(handle)[pfn >> config(handle).pageblock_order]) ^ MOVABLE


@jit
def change_block_type(handle: int, pfn: int, migratetype: int) -> None:
    """Set the migratetype of the page's pageblock."""
    block_types(handle)[pfn >> config(handle).pageblock_order] = migratetype ^ MOVABLE


@jit
def change_free_pages(handle: int, zone: int, cpu: int, pages_added: int) -> None:
    """Change NR_FREE_PAGES: the CPU keeps a difference and folds it into the zone beyond its threshold."""
    config(handle).free_pages += pages_added
    local = per_cpu(handle, zone, cpu)
    difference = local.free_pages_diff + pages_added
    if abs(difference) > local.stat_threshold:
        zones(handle)[zone].free_pages += difference
        difference = 0
    local.free_pages_diff = difference


@jit
def add_free(handle: int, zone: int, pfn: int, order: int, migratetype: int, to_tail: bool) -> None:
    """Put a block on the buddy list of its order and type."""
    page = pages(handle)[pfn]
    page.state = FREE
    page.order = order
    page.migratetype = migratetype
    page.owner = 0
    if to_tail:
        add_tail(handle, buddy_list(zone, order, migratetype), pfn)
    else:
        add_head(handle, buddy_list(zone, order, migratetype), pfn)


@jit
def delete_free(handle: int, zone: int, pfn: int) -> None:
    """Take a free block off its buddy list."""
    page = pages(handle)[pfn]
    remove(handle, buddy_list(zone, page.order, page.migratetype), pfn)
    page.state = USED
    touched(handle)[pfn >> TOUCHED_SHIFT] = 1


@jit
def _is_free_buddy(handle: int, zone: int, pfn: int, order: int) -> bool:
    zone_record = zones(handle)[zone]
    if not zone_record.start_pfn <= pfn < zone_record.end_pfn:
        return False
    page = pages(handle)[pfn]
    return bool(page.state == FREE and page.order == order)


@jit
def free_block(
    handle: int, zone: int, cpu: int, pfn: int, order: int, migratetype: int, to_tail: bool
) -> None:
    """Give a block to the buddy lists and merge it with its buddies (`__free_one_page`).

    A merged block whose next buddy up is free as well goes to the list's tail, so that the pair has time to become
    one (`buddy_merge_likely`). Pageblocks of different type merge only when both are of the ordinary types.
    """
    settings = config(handle)
    change_free_pages(handle, zone, cpu, 1 << order)
    buddy = NONE
    while order < MAX_ORDER - 1:
        if settings.capture_pfn == pfn and settings.capture_order == order:
            change_free_pages(handle, zone, cpu, -(1 << order))
            pages(handle)[pfn].state = USED
            pages(handle)[pfn].order = order
            settings.captured += 1
            settings.capture_pfn = NONE
            return
        buddy = pfn ^ (1 << order)
        if not _is_free_buddy(handle, zone, buddy, order):
            break
        if order >= settings.pageblock_order:
            other = block_type(handle, buddy)
            if migratetype != other and (migratetype > 2 or other > 2):
                break
        delete_free(handle, zone, buddy)
        # Neither half is the first page of a block of its own any longer; what they make together is marked below.
        pages(handle)[buddy].state = UNUSED
        pages(handle)[pfn].state = UNUSED
        pfn &= buddy
        order += 1
    if not to_tail and order < MAX_ORDER - 2:
        above = pfn & buddy
        to_tail = _is_free_buddy(handle, zone, above ^ (1 << (order + 1)), order + 1)
    add_free(handle, zone, pfn, order, migratetype, to_tail)


@jit
def split_down(handle: int, zone: int, pfn: int, high: int, low: int, migratetype: int) -> None:
    """Give the upper halves of a block back until `low` is reached, each to the head of its list (`expand`)."""
    while high > low:
        high -= 1
        add_free(handle, zone, pfn + (1 << high), high, migratetype, not _TAIL)


@jit
def smallest(handle: int, zone: int, order: int, migratetype: int) -> int:
    """Take the head of the smallest fitting list of one type (`__rmqueue_smallest`).

    Returns:
        The block's pfn, or NONE.
    """
    listed = lists(handle)
    for current in range(order, MAX_ORDER):
        pfn = listed[buddy_list(zone, current, migratetype)].head
        if pfn == NONE:
            continue
        delete_free(handle, zone, pfn)
        split_down(handle, zone, pfn, current, order, migratetype)
        page = pages(handle)[pfn]
        page.order = order
        page.migratetype = migratetype
        return int(pfn)
    return NONE


@jit
def smallest_pages(handle: int, zone: int, most: int, migratetype: int) -> tuple[int, int]:
    """Take single pages in a row, as `smallest` would one after the other, from one block.

    The lists of all lower orders are empty, so that what is left of the block lies alone on them in the end.

    Returns:
        The first page's pfn, or NONE, and how many there are.
    """
    listed, page = lists(handle), pages(handle)
    for current in range(MAX_ORDER):
        pfn = listed[buddy_list(zone, current, migratetype)].head
        if pfn == NONE:
            continue
        delete_free(handle, zone, pfn)
        size = 1 << current
        count = min(most, size)
        for taken in range(pfn, pfn + count):
            page[taken].state = USED
            page[taken].order = 0
            page[taken].migratetype = migratetype
            page[taken].owner = 0
        left = pfn + count
        for order in range(current):
            if left & (1 << order):
                add_free(handle, zone, left, order, migratetype, not _TAIL)
                left += 1 << order
        return int(pfn), int(count)
    return NONE, 0


@jit
def isolate(handle: int, zone: int, cpu: int, pfn: int, order: int) -> None:
    """Take a free block away for compaction (`__isolate_free_page`); half a pageblock or more turns movable."""
    settings = config(handle)
    if order == MAX_ORDER - 1:
        for migratetype in range(TYPES):
            if take_block(handle, buddy_list(zone, order, migratetype), pfn):
                break
    kind = block_type(handle, pfn)
    delete_free(handle, zone, pfn)
    if kind != ISOLATE:
        change_free_pages(handle, zone, cpu, -(1 << order))
    if order >= settings.pageblock_order - 1:
        for block in range(pfn, pfn + (1 << order), 1 << settings.pageblock_order):
            if block_type(handle, block) <= 2:
                change_block_type(handle, block, MOVABLE)

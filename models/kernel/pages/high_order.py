"""How many blocks of 2 MiB can still be had: those that are free, and those that compaction could make."""

from simcore.compiled import jit

from .blocks import block_around
from .buddy import block_type
from .compaction import count_block
from .layout import FREE, MAX_ORDER, MOVABLE, NONE, PCP_TYPES, TOUCHED_SHIFT, config, lists, pages, touched, zones
from .lists import buddy_list

__all__ = ["free_blocks", "makeable_blocks"]


@jit
def free_blocks(handle: int, zone: int) -> int:
    """Free blocks of pageblock order in a zone's buddy lists; a larger block counts as often as it holds one."""
    order, count = config(handle).pageblock_order, 0
    for current in range(order, MAX_ORDER):
        for migratetype in range(PCP_TYPES + 1):
            count += lists(handle)[buddy_list(zone, current, migratetype)].blocks << (current - order)
    return count


@jit
def makeable_blocks(handle: int, zone: int) -> int:
    """Further blocks that compaction could make in a zone at the best.

    A pageblock can come free when none of its pages is pinned. Each takes as many free pages elsewhere as it has pages
    in use, so that 512 free pages are spent for each; they are counted in such pageblocks and, as targets, in all
    others of movable type. Watermarks are left out.
    """
    page, settings, record = pages(handle), config(handle), zones(handle)[zone]
    size = 1 << settings.pageblock_order
    emptyable, free_pages = 0, 0
    part = record.start_pfn >> TOUCHED_SHIFT
    while part << TOUCHED_SHIFT < record.end_pfn:
        if touched(handle)[part]:
            first = part << TOUCHED_SHIFT
            while first < min((part + 1) << TOUCHED_SHIFT, record.end_pfn):
                around = block_around(handle, first)
                whole = around != NONE and page[around].state == FREE and page[around].order >= settings.pageblock_order
                if not whole and first >= record.start_pfn and first + size <= record.end_pfn:
                    _, free, pinned = count_block(handle, first, first + size)
                    if pinned == 0:
                        emptyable += 1
                    if pinned == 0 or block_type(handle, first) == MOVABLE:
                        free_pages += free
                first += size
        part += 1
    return int(min(emptyable, free_pages // size))

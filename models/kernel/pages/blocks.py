"""Which block a page lies in, found as the kernel's scanners do: walking over blocks from where one must begin."""

from typing import Final

from simcore.compiled import jit

from .buddy import zone_of
from .layout import FREE, MAX_ORDER, NONE, PER_CPU, TOUCHED_SHIFT, TYPES, USED, pages, touched
from .lists import buddy_list, take_block

__all__ = ["LARGEST_PAGES", "block_around", "block_pages"]

LARGEST_PAGES: Final = 1 << (MAX_ORDER - 1)


@jit
def block_pages(handle: int, pfn: int) -> int:
    """Length of the block that begins at a page; 1 where nothing is known of it, as of memory that the boot kept."""
    page = pages(handle)[pfn]
    if page.state in (FREE, PER_CPU, USED):
        return int(1 << page.order)
    return 1


@jit
def block_around(handle: int, pfn: int) -> int:
    """First page of the block around a page, free or in use, or NONE: the boot kept the page.

    Records inside a block are what earlier blocks left there, so the walk begins at the last page where no block can
    begin earlier. Of free memory that was never touched, the block is made an element of its own first.
    """
    page = pages(handle)
    first = pfn & ~(LARGEST_PAGES - 1)
    if not touched(handle)[pfn >> TOUCHED_SHIFT] and page[first].state != FREE:
        zone = zone_of(handle, pfn)
        for migratetype in range(TYPES):
            if zone != NONE and take_block(handle, buddy_list(zone, MAX_ORDER - 1, migratetype), first):
                return first
    while first + block_pages(handle, first) <= pfn:
        first += block_pages(handle, first)
    return first if page[first].state in (FREE, PER_CPU, USED) else NONE

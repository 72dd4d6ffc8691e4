"""Blocks of kernel memory that are mapped elsewhere: vmalloc areas, arrays for devices; taken, given back [6.1].

They hang on a holder's chain in the order of the area. A block of order 9 is one range to those who set its
attributes and 512 single pages to those who reset or free it (`split_page`).
"""

from typing import Final

from models.kernel.attributes import reset_pages
from models.kernel.chains import append, take, unlink
from models.kernel.flush import flush_kernel
from models.kernel.layout import chains, charge, costs, page_handle
from models.kernel.migration import take_compacting
from models.kernel.pages.allocator import bulk_zone, free_pages, take_bulk_page
from models.kernel.pages.layout import NONE, UNMOVABLE, config, pages
from models.kernel.records import CHAINS, FILE_PAGES
from simcore.compiled import jit

__all__ = ["AREA", "give_area", "reset_area", "take_area", "take_huge_area"]

AREA: Final = FILE_PAGES
"""Chain that an area's blocks hang on."""
HUGE_ORDER: Final = 9
_BULK_PAGES: Final = 100
"""Pages that vmalloc asks for at a time (`vm_area_alloc_pages`)."""


@jit
def take_area(handle: int, cpu: int, node: int, holder: int, count: int, bulk: bool) -> bool:
    """Take single unmovable pages for an area.

    Args:
        bulk: in requests of up to 100 pages, as vmalloc does, and one by one when that fails; else all one by one.

    Returns:
        Whether there was memory; if not, what was got is given back.
    """
    store = page_handle(handle)
    settings = config(store)
    got = 0
    while bulk and got < count:
        wanted = min(_BULK_PAGES, count - got)
        zone = bulk_zone(store, node, wanted, settings.alloc_flags, settings.highest_kind) if wanted > 1 else NONE
        if zone == NONE:
            break
        while wanted > 0:
            pfn = take_bulk_page(store, zone, cpu, UNMOVABLE, settings.alloc_flags)
            if pfn == NONE:
                break
            append(handle, holder, AREA, pfn, 0)
            got += 1
            wanted -= 1
        if wanted > 0:
            break
    while got < count:
        pfn = take(handle, cpu, node, 0, UNMOVABLE)
        if pfn == NONE:
            give_area(handle, cpu, holder)
            return False
        append(handle, holder, AREA, pfn, 0)
        got += 1
    charge(handle).cpu_ns += costs(handle).clear_page * count
    return True


@jit
def take_huge_area(handle: int, cpu: int, node: int, holder: int, count: int) -> int:
    """Take unmovable blocks of 2 MiB for an area (`vmalloc_huge`).

    Returns:
        Blocks got; the rest is for the caller to take page by page.
    """
    for got in range(count):
        pfn = take_compacting(handle, cpu, node, HUGE_ORDER, UNMOVABLE)
        if pfn == NONE:
            return got
        append(handle, holder, AREA, pfn, 0)
        charge(handle).cpu_ns += costs(handle).clear_page << HUGE_ORDER
    return count


@jit
def reset_area(handle: int, cpu: int, node: int, holder: int) -> int:
    """Make every page of an area invalid, flush all CPUs once, make it default again (`vm_reset_perms`).

    Returns:
        Entries split; pages for whose split there is no memory stay as they are, as in the kernel.
    """
    page, chain = pages(page_handle(handle)), chains(handle)[holder * CHAINS + AREA]
    pfn, made = chain.head, 0
    for _ in range(chain.blocks):
        for k in range(1 << page[pfn].order):
            made += max(0, reset_pages(handle, cpu, node, pfn + k, 1))
        pfn = page[pfn].next
    flush_kernel(handle, True)
    return made


@jit
def give_area(handle: int, cpu: int, holder: int) -> None:
    """Free an area's pages one by one, in the area's order (`vfree`)."""
    store, chain = page_handle(handle), chains(handle)[holder * CHAINS + AREA]
    page = pages(store)
    while chain.blocks > 0:
        pfn = chain.head
        order = page[pfn].order
        unlink(handle, holder, AREA, pfn)
        charge(handle).cpu_ns += costs(handle).free_page << order
        for k in range(1 << order):
            page[pfn + k].order = 0
            free_pages(store, cpu, pfn + k, 0)

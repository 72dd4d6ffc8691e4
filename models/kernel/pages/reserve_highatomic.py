"""Pageblocks set aside for high-order atomic requests, and given back [6.1]."""

from simcore.compiled import jit

from .buddy import block_type, change_block_type
from .fallback import move_free_pages
from .layout import HIGHATOMIC, config, zones

__all__ = ["give_back", "set_aside"]


@jit
def set_aside(handle: int, zone: int, pfn: int) -> None:
    """Reserve the page's pageblock, if it is of an ordinary type (`reserve_highatomic_pageblock`)."""
    if block_type(handle, pfn) >= HIGHATOMIC:
        return
    zones(handle)[zone].reserved_highatomic += 1 << config(handle).pageblock_order
    change_block_type(handle, pfn, HIGHATOMIC)
    move_free_pages(handle, zone, pfn, HIGHATOMIC)


@jit
def give_back(handle: int, zone: int, pfn: int, migratetype: int) -> None:
    """Give the page's pageblock to the type that needs it (`unreserve_highatomic_pageblock`).

    Its free pages may have been listed as reserved after the pageblock had been given back: that counts only once.
    """
    record = zones(handle)[zone]
    if block_type(handle, pfn) == HIGHATOMIC:
        record.reserved_highatomic -= min(1 << config(handle).pageblock_order, record.reserved_highatomic)
    change_block_type(handle, pfn, migratetype)
    move_free_pages(handle, zone, pfn, migratetype)

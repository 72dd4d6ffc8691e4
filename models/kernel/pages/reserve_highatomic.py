"""Pageblocks set aside for high-order atomic requests, and given back [6.1]."""

from simcore.compiled import jit

from .buddy import change_block_type
from .fallback import move_free_pages
from .layout import HIGHATOMIC, config, zones

__all__ = ["give_back", "set_aside"]


@jit
def set_aside(handle: int, zone: int, pfn: int) -> None:
    """Reserve the page's pageblock (`reserve_highatomic_pageblock`)."""
    zones(handle)[zone].reserved_highatomic += 1 << config(handle).pageblock_order
    change_block_type(handle, pfn, HIGHATOMIC)
    move_free_pages(handle, zone, pfn, HIGHATOMIC)


@jit
def give_back(handle: int, zone: int, pfn: int, migratetype: int) -> None:
    """Give the page's pageblock to the type that needs it (`unreserve_highatomic_pageblock`)."""
    record = zones(handle)[zone]
    record.reserved_highatomic -= min(1 << config(handle).pageblock_order, record.reserved_highatomic)
    change_block_type(handle, pfn, migratetype)
    move_free_pages(handle, zone, pfn, migratetype)

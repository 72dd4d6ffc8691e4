"""Requests to the page allocator: from zone to zone, per-CPU lists first, buddy lists after [6.1]."""

from typing import Final

from simcore.compiled import jit

from .buddy import block_type, change_free_pages, free_block, smallest, zone_of
from .fallback import ALLOC_NOFRAGMENT, FORKED, LRU, take
from .layout import HIGHATOMIC, ISOLATE, NONE, USED, config, pages, per_cpu, zone_at, zones
from .percpu import allowed, drain, list_index, put, refill, take_first
from .watermark import ALLOC_HIGHATOMIC, ALLOC_NON_BLOCK, ALLOC_OOM, next_zone

__all__ = [
    "ALLOC_DEFAULT",
    "alloc_block",
    "alloc_from_zone",
    "bulk_zone",
    "free_pages",
    "take_buddy",
    "take_bulk_page",
    "take_per_cpu",
]

ALLOC_DEFAULT: Final = 0x801
"""Low watermark, may wake kswapd: the flags of a first attempt that may sleep."""


@jit
def take_per_cpu(handle: int, zone: int, cpu: int, order: int, migratetype: int, alloc_flags: int) -> int:
    """Take a block through a CPU's list, refilled when it is empty (`rmqueue_pcplist`)."""
    local = per_cpu(handle, zone, cpu)
    if config(handle).tuned_per_cpu:
        local.free_count >>= 1
    else:
        local.free_factor >>= 1
    pfn = take_first(handle, zone, cpu, order, migratetype)
    if pfn == NONE and refill(handle, zone, cpu, order, migratetype, alloc_flags) > 0:
        pfn = take_first(handle, zone, cpu, order, migratetype)
    return pfn


@jit
def take_buddy(handle: int, zone: int, cpu: int, order: int, migratetype: int, alloc_flags: int) -> int:
    """Take a block straight from the buddy lists (`rmqueue_buddy`)."""
    pfn = NONE
    if alloc_flags & ALLOC_HIGHATOMIC:
        pfn = smallest(handle, zone, order, HIGHATOMIC)
    if pfn == NONE:
        pfn = take(handle, zone, order, migratetype, alloc_flags)
    if pfn == NONE and alloc_flags & (ALLOC_OOM | ALLOC_NON_BLOCK):
        pfn = smallest(handle, zone, order, HIGHATOMIC)
    if pfn != NONE:
        change_free_pages(handle, zone, cpu, -(1 << order))
        pages(handle)[pfn].state = USED
    return pfn


@jit
def alloc_from_zone(handle: int, zone: int, cpu: int, order: int, migratetype: int, alloc_flags: int) -> int:
    """Take a block from one zone (`rmqueue`), or NONE."""
    pfn = NONE
    if allowed(handle, order):
        pfn = take_per_cpu(handle, zone, cpu, order, migratetype, alloc_flags)
    if pfn == NONE:
        pfn = take_buddy(handle, zone, cpu, order, migratetype, alloc_flags)
    config(handle).requests += pfn != NONE
    return pfn


@jit
def alloc_block(
    handle: int, node: int, cpu: int, order: int, migratetype: int, alloc_flags: int, highest_kind: int
) -> int:
    """Take a block from the first zone of the node's zonelist that can spare it (`get_page_from_freelist`).

    Args:
        node: NUMA node whose zonelist is walked.
        alloc_flags: the kernel's ALLOC_* bits; with ALLOC_NOFRAGMENT all zones are first asked not to mix types.
        highest_kind: highest kind of zone allowed (the request's zone modifiers).

    Returns:
        The block's pfn, or NONE when every zone is below the watermark or empty.
    """
    while True:
        position = next_zone(handle, node, 0, order, alloc_flags, highest_kind, 0)
        while position != NONE:
            zone = zone_at(handle, node, position)
            home = zones(handle)[zone_at(handle, node, 0)].node
            if alloc_flags & ALLOC_NOFRAGMENT and zones(handle)[zone].node != home:
                break  # mixing types is better than another node's memory
            pfn = alloc_from_zone(handle, zone, cpu, order, migratetype, alloc_flags)
            if pfn != NONE:
                return pfn
            position = next_zone(handle, node, position + 1, order, alloc_flags, highest_kind, 0)
        if not alloc_flags & ALLOC_NOFRAGMENT:
            return NONE
        alloc_flags &= ~ALLOC_NOFRAGMENT


@jit
def bulk_zone(handle: int, node: int, count: int, alloc_flags: int, highest_kind: int) -> int:
    """Zone that serves a bulk request of single pages, or NONE (`__alloc_pages_bulk`)."""
    position = next_zone(handle, node, 0, 0, alloc_flags, highest_kind, count)
    return int(zone_at(handle, node, position)) if position != NONE else NONE


@jit
def take_bulk_page(handle: int, zone: int, cpu: int, migratetype: int, alloc_flags: int) -> int:
    """Take one page of a bulk request: like any other, but it leaves `free_factor` as it is."""
    pfn = take_first(handle, zone, cpu, 0, migratetype)
    if pfn == NONE and refill(handle, zone, cpu, 0, migratetype, alloc_flags) > 0:
        pfn = take_first(handle, zone, cpu, 0, migratetype)
    config(handle).requests += pfn != NONE
    return pfn


@jit
def free_pages(handle: int, cpu: int, pfn: int, order: int) -> None:
    """Give a block back (`free_unref_page`, or `__free_pages_ok` for orders without per-CPU lists)."""
    zone = zone_of(handle, pfn)
    migratetype = block_type(handle, pfn)
    page = pages(handle)[pfn]
    config(handle).requests += 1
    page.owner = 0
    page.flags &= ~(LRU | FORKED)
    if migratetype == ISOLATE or not allowed(handle, order):
        free_block(handle, zone, cpu, pfn, order, migratetype, False)
        return
    count = put(handle, zone, cpu, pfn, order, migratetype)
    if count > 0:
        listed_as = migratetype if migratetype < HIGHATOMIC else 1
        drain(handle, zone, cpu, count, list_index(order, listed_as), cpu)

"""Per-CPU page lists: batch refill, first-in-first-out use, last-in-first-out reuse, drains [6.1].

From 6.7 on the sizes of batches and the high mark follow `tuned_percpu`.
"""

from simcore.compiled import jit

from .buddy import change_free_pages, free_block, smallest_pages
from .fallback import take
from .layout import (
    BATCH_SCALE_MAX,
    COSTLY_ORDER,
    MOVABLE,
    NONE,
    PCP_LISTS,
    PCP_TYPES,
    PER_CPU,
    USED,
    config,
    lists,
    pages,
    per_cpu,
    zones,
)  # fmt: skip
from .lists import add_head, add_tail, per_cpu_list, record, remove
from .tuned_percpu import pages_to_drain, refill_batch

__all__ = ["allowed", "drain", "list_index", "put", "refill", "take_first"]


@jit
def allowed(handle: int, order: int) -> bool:
    """Whether blocks of this order have per-CPU lists."""
    settings = config(handle)
    return bool(order <= COSTLY_ORDER or (settings.huge_per_cpu_lists and order == settings.pageblock_order))


@jit
def list_index(order: int, migratetype: int) -> int:
    """Position of the list of an order and type (`order_to_pindex`)."""
    if order > COSTLY_ORDER:
        return PCP_TYPES * (COSTLY_ORDER + 1) + int(migratetype == MOVABLE)
    return PCP_TYPES * order + migratetype


@jit
def _order_of(handle: int, index: int) -> int:
    if index >= PCP_TYPES * (COSTLY_ORDER + 1):
        return int(config(handle).pageblock_order)
    return index // PCP_TYPES


@jit
def refill(handle: int, zone: int, cpu: int, order: int, migratetype: int, alloc_flags: int) -> int:
    """Bring a batch of blocks from the buddy lists to the tail of a per-CPU list.

    Returns:
        Blocks added.
    """
    local = per_cpu(handle, zone, cpu)
    batch = refill_batch(handle, zone, cpu, order) if config(handle).tuned_per_cpu else local.batch
    if batch > 1:
        batch = max(batch >> order, 2)
    index = per_cpu_list(handle, zone, cpu, list_index(order, migratetype))
    added = 0
    while added < batch:
        pfn, count = NONE, 1
        if order == 0:
            pfn, count = smallest_pages(handle, zone, batch - added, migratetype)
        if pfn == NONE:
            pfn, count = take(handle, zone, order, migratetype, alloc_flags), 1
        if pfn == NONE:
            break
        for block in range(pfn, pfn + count):
            pages(handle)[block].state = PER_CPU
            add_tail(handle, index, block)
        added += count
    change_free_pages(handle, zone, cpu, -(added << order))
    local.count += added << order
    config(handle).per_cpu_pages += added << order
    if added > 0:
        config(handle).refills += 1
        record(handle, ord("r"), zone, order, migratetype, 0, added, 0, 0)
    return added


@jit
def take_first(handle: int, zone: int, cpu: int, order: int, migratetype: int) -> int:
    """Take the head of a per-CPU list, or NONE when it is empty."""
    index = per_cpu_list(handle, zone, cpu, list_index(order, migratetype))
    pfn = lists(handle)[index].head
    if pfn == NONE:
        return NONE
    remove(handle, index, pfn)
    per_cpu(handle, zone, cpu).count -= 1 << order
    config(handle).per_cpu_pages -= 1 << order
    page = pages(handle)[pfn]
    page.state = USED
    page.order = order
    return int(pfn)


@jit
def put(handle: int, zone: int, cpu: int, pfn: int, order: int, migratetype: int) -> int:
    """Put a freed block at the head of its per-CPU list (`free_unref_page_commit`).

    Args:
        migratetype: type of the block's pageblock, which the page remembers until it is drained.

    Returns:
        Pages that must now be drained, starting with this list; 0 for none. Draining is left to the caller.
    """
    local, page = per_cpu(handle, zone, cpu), pages(handle)[pfn]
    listed_as = migratetype if migratetype < PCP_TYPES else MOVABLE
    page.state = PER_CPU
    page.order = order
    page.migratetype = migratetype
    add_head(handle, per_cpu_list(handle, zone, cpu, list_index(order, listed_as)), pfn)
    local.count += 1 << order
    config(handle).per_cpu_pages += 1 << order
    if config(handle).tuned_per_cpu:
        return int(pages_to_drain(handle, zone, cpu, order))
    drain_all = local.free_factor > 0 and 0 < order <= COSTLY_ORDER
    high = 0 if drain_all else local.high
    if zones(handle)[zone].reclaim_active:
        high = min(local.batch << 2, high)
    if local.count < high:
        return 0
    if drain_all:
        return int(local.count)
    if high < local.batch:
        return 1
    batch = local.batch << local.free_factor
    if batch < high - local.batch and local.free_factor < BATCH_SCALE_MAX:
        local.free_factor += 1
    return int(min(max(local.batch, batch), high - local.batch))


@jit
def drain(handle: int, zone: int, cpu: int, count: int, index: int, by_cpu: int) -> None:
    """Give pages of the per-CPU lists back to the buddy lists (`free_pcppages_bulk`).

    List after list, from `index` on, each from its tail, until `count` pages are gone.

    Args:
        cpu: whose lists.
        by_cpu: who drains them; since 6.0 that may be another CPU, and it is that one's counters that change.
    """
    local, page = per_cpu(handle, zone, cpu), pages(handle)
    record(handle, ord("d"), zone, index, 0, 0, count, 0, 0)
    config(handle).drains += 1
    count = min(local.count, count)
    while count > 0:
        listed = per_cpu_list(handle, zone, cpu, index)
        order = _order_of(handle, index)
        while count > 0:
            pfn = lists(handle)[listed].tail
            if pfn == NONE:
                break
            remove(handle, listed, pfn)
            count -= 1 << order
            local.count -= 1 << order
            config(handle).per_cpu_pages -= 1 << order
            config(handle).drained += 1 << order
            free_block(handle, zone, by_cpu, pfn, order, page[pfn].migratetype, False)
        index = (index + 1) % PCP_LISTS

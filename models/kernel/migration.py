"""Making high-order blocks: pages moved out of the way, directly for a request or in the background [6.1].

Direct compaction comes with requests of order 9; order 0 never compacts. Pageblocks that hold an unmovable page,
secret pages among them, are passed over, since a block of theirs can never come free. The pages of user memory that
the kernel moves keep their place in their holder's chain. Moving charges CPU time to whoever asked; the flushes of the
moved pages' user addresses, on the CPUs that run their task, are left out, and so is reclaim.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import array_address, slot_array
from models.kernel.chains import take
from models.kernel.compaction.moving import relink
from models.kernel.layout import State, charge, costs, page_handle
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.buddy import block_type
from models.kernel.pages.compaction import (
    COMPACTION,
    count_block,
    drain_zone,
    give_back,
    has_block,
    isolate_free_pages,
    suitable,
)  # fmt: skip
from models.kernel.pages.fallback import LRU
from models.kernel.pages.high_order import free_blocks, makeable_blocks
from models.kernel.pages.layout import MAX_ORDER, MOVABLE, NONE, USED, config, pages, zone_at, zones
from simcore.compiled import jit

__all__ = ["Compactor", "compact_round", "take_compacting"]

_SLOT: Final = 28
_MAX_DEFER_SHIFT: Final = 6
"""After failures up to 64 attempts are skipped (`COMPACT_MAX_DEFER_SHIFT`)."""
ASYNC: Final = 0
"""First attempt: pageblocks of the request's own type only."""
SYNC: Final = 1
"""Second attempt: all per-CPU lists are drained first, and every pageblock is a source."""

TOTALS: Final = np.dtype([("moved", "<i8"), ("attempts", "<i8"), ("successes", "<i8"), ("deferred", "<i8")])


class Compactor:
    """State of compaction for one kernel.

    Attributes:
        totals: one `TOTALS` record: pages moved; attempts for a request, those of them that made a block, and those
            that were left out after failures.
    """

    def __init__(self, state: State, *, direct: bool = True) -> None:
        """Attach to a kernel's state.

        Args:
            direct: whether requests of order 9 compact; without it they fail at once.
        """
        self._state = state
        self.zones: NDArray[Any] = np.zeros(len(state.pages.zones), COMPACTION)
        self.totals: NDArray[Any] = np.zeros(1, TOTALS)
        state.header[_SLOT], state.header[_SLOT + 1] = self.zones.ctypes.data, self.totals.ctypes.data
        state.header[_SLOT - 1] = direct
        self._next_zone = 0

    def background(self, cpu: int, pageblocks: int) -> int:
        """A round over the next zone in turn (`kcompactd`, proactive); returns pages moved."""
        zone, self._next_zone = self._next_zone, (self._next_zone + 1) % len(self.zones)
        return int(compact_round(self._state.handle, cpu, zone, pageblocks))

    def order9_free(self) -> int:
        """Free blocks of 2 MiB."""
        return sum(int(free_blocks(self._state.pages.handle, zone)) for zone in range(len(self.zones)))

    def order9_available(self) -> int:
        """Blocks of 2 MiB that are free or could be made, see `models.kernel.pages.high_order`; looks at all pages."""
        makeable = sum(int(makeable_blocks(self._state.pages.handle, zone)) for zone in range(len(self.zones)))
        return self.order9_free() + makeable


_zone_records = slot_array(_SLOT, COMPACTION)
_totals = slot_array(_SLOT + 1, TOTALS)


@jit
def _empty_block(handle: int, cpu: int, zone: int, first: int, end: int) -> bool:
    """Move all movable pages of a pageblock to free pages further up; false when the scanners meet."""
    store = page_handle(handle)
    page = pages(store)
    record = _zone_records(handle)[zone]
    totals = _totals(handle)[0]
    pfn = first
    while pfn < end:
        step = 1 << page[pfn].order if page[pfn].state > 0 else 1
        if page[pfn].state == USED and page[pfn].flags & LRU and page[pfn].order == 0:
            if record.free_count == 0:
                isolate_free_pages(store, zone, cpu, record, 32)
                if record.free_count == 0:
                    return False
            target = record.free_head
            record.free_head = page[target].next
            record.free_count -= 1
            relink(handle, pfn, target)
            free_pages(store, cpu, pfn, 0)
            charge(handle).cpu_ns += costs(handle).page_fault
            totals.moved += 1
        pfn += step
    drain_zone(store, zone, cpu)
    return True


@jit
def _compact_zone(handle: int, cpu: int, zone: int, order: int, migratetype: int, mode: int, blocks: int) -> bool:
    """Run the scanners over a zone until a block of an order is free, they meet, or enough pageblocks were looked at.

    Returns:
        Whether there is such a block.
    """
    store = page_handle(handle)
    record = _zone_records(handle)[zone]
    zone_record, size = zones(store)[zone], 1 << config(store).pageblock_order
    if record.migrate_pfn < zone_record.start_pfn:
        record.migrate_pfn = zone_record.start_pfn // size * size
    looked, found = 0, False
    while looked < blocks and not found:
        free_pfn = record.free_pfn if record.free_pfn > 0 else zone_record.end_pfn
        first = record.migrate_pfn
        if first >= free_pfn or first + size > zone_record.end_pfn:
            record.migrate_pfn, record.free_pfn = zone_record.start_pfn // size * size, 0
            break
        looked += 1
        if first < zone_record.start_pfn or (mode == ASYNC and block_type(store, first) != migratetype):
            record.migrate_pfn = first + size
            continue
        movable, _, pinned = count_block(store, first, first + size)
        # Looking at 512 pages takes about as long as writing a table of 512 entries.
        charge(handle).cpu_ns += costs(handle).split_2m - costs(handle).flush_all
        record.migrate_pfn = first + size
        if pinned == 0 and movable > 0:
            moved = _empty_block(handle, cpu, zone, first, first + size)
            found = has_block(store, zone, order)
            if not moved and not found:
                record.migrate_pfn, record.free_pfn = zone_record.start_pfn // size * size, 0
                break
    give_back(store, cpu, record)
    drain_zone(store, zone, cpu)
    return found or has_block(store, zone, order)


@jit
def take_compacting(handle: int, cpu: int, node: int, order: int, migratetype: int) -> int:
    """Take a block; of order 9, with direct compaction when there is none (`__alloc_pages_direct_compact`).

    Returns:
        Its pfn, or NONE.
    """
    pfn = take(handle, cpu, node, order, migratetype)
    store = page_handle(handle)
    if pfn != NONE or order < config(store).pageblock_order or array_address(handle, _SLOT - 1) == 0:
        return pfn
    kind = config(store).highest_kind
    totals = _totals(handle)[0]
    for mode in range(2):
        position = 0
        while position < config(store).zones and zone_at(store, node, position) != NONE:
            zone = zone_at(store, node, position)
            position += 1
            record = _zone_records(handle)[zone]
            record.considered += 1
            if record.considered < 1 << record.defer_shift:
                totals.deferred += 1
                continue
            if mode == SYNC:
                drain_zone(store, zone, cpu)
            if not suitable(store, zone, order, kind):
                continue
            totals.attempts += 1
            if _compact_zone(handle, cpu, zone, order, migratetype, mode, 1 << 60):
                pfn = take(handle, cpu, node, order, migratetype)
            if pfn != NONE:
                record.considered = record.defer_shift = 0
                totals.successes += 1
                return pfn
            if mode == SYNC:
                record.considered = 0
                record.defer_shift = min(record.defer_shift + 1, _MAX_DEFER_SHIFT)
    return NONE


@jit
def compact_round(handle: int, cpu: int, zone: int, pageblocks: int) -> int:
    """A round of background compaction over a zone: as many pageblocks as a budget allows, whatever they yield.

    Returns:
        Pages moved.
    """
    if array_address(handle, _SLOT) == 0:
        return 0
    before = _totals(handle)[0].moved
    _compact_zone(handle, cpu, zone, MAX_ORDER, MOVABLE, SYNC, pageblocks)
    return int(_totals(handle)[0].moved - before)

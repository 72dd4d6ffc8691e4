"""What compaction keeps: per zone between its runs, per run while it works, and a hint per pageblock."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import header, slot_array
from models.kernel.pages.layout import FREE, MAX_ORDER, TYPES, Store, config, lists, pages
from models.kernel.pages.lists import buddy_list
from models.kernel.pages.rotation import rotate_free_list
from simcore.compiled import jit

__all__ = [
    "ASYNC", "CONTROL", "FOR_EVER", "SYNC_LIGHT", "ZONE", "Compaction", "block_start", "control", "free_blocks",
    "is_free_block", "isolation_list", "scanners_met", "set_skip", "skip_hints", "turn_is_over", "turn_list",
    "work_done", "worked_ns", "zone_state",
]  # fmt: skip

ASYNC: Final = 0
SYNC_LIGHT: Final = 1
FOR_EVER: Final = 1 << 62
"""A time, or a number of pages, that is never reached."""
CLUSTER: Final = 32
"""Pages that are isolated before they are moved (`COMPACT_CLUSTER_MAX`)."""

ZONE: Final = np.dtype(
    [
        ("cached_migrate_async", "<i8"), ("cached_migrate_sync", "<i8"), ("cached_free", "<i8"),
        ("init_migrate", "<i8"), ("init_free", "<i8"),
        ("considered", "<i8"), ("defer_shift", "<i8"), ("order_failed", "<i8"),
    ]
)  # fmt: skip
"""Of `struct zone`, the fields ``compact_*``."""

CONTROL: Final = np.dtype(
    [
        ("zone", "<i8"), ("cpu", "<i8"),
        ("order", "<i8"), ("search_order", "<i8"), ("mode", "<i8"), ("proactive", "<i8"), ("ignore_skip", "<i8"),
        ("whole_zone", "<i8"), ("rescan", "<i8"),
        ("migrate_pfn", "<i8"), ("free_pfn", "<i8"), ("fast_start", "<i8"), ("fast_search_fail", "<i8"),
        ("free_head", "<i8"), ("free_tail", "<i8"), ("free_count", "<i8"),  # isolated pages, as a list
        ("unsplit", "<i8"),  # those to be split yet
        # The scan for them: what it looks through, where it stands, what it has taken; what the lists had.
        ("scan_stage", "<i8"), ("scan_at", "<i8"), ("scan_end", "<i8"), ("scan_stride", "<i8"), ("scan_taken", "<i8"),
        ("found", "<i8"), ("found_pages", "<i8"),
        ("isolated", "<i8"), ("moved_to", "<i8"), ("failed", "<i8"),  # pages to be moved; the next; whether one cannot
        ("last_migrated", "<i8"), ("iteration_start", "<i8"), ("moving", "<i8"), ("running", "<i8"),
        ("unfinished", "<i8"),  # it has been asked whether the run is at its end
        ("source", "<i8"), ("target", "<i8"),  # a page that has a place to be moved to
        ("pages_moved", "<i8"), ("pages_scanned", "<i8"), ("pages_isolated", "<i8"), ("pages_released", "<i8"),
        ("pages_drained", "<i8"), ("drains", "<i8"), ("processes_walked", "<i8"),
        ("blocks_isolated", "<i8"), ("batches", "<i8"), ("rotations", "<i8"),
        ("move_ns", "<i8"), ("page_ns", "<i8"), ("block_ns", "<i8"), ("release_ns", "<i8"), ("drain_ns", "<i8"),
        ("batch_ns", "<i8"), ("rotate_ns", "<i8"), ("walk_ns", "<i8"),  # what each of those takes
        ("scan_block_ns", "<i8"),  # a pageblock's pages
        ("stop_ns", "<i8"), ("stop_work", "<i8"),  # `worked_ns` and `work_done` at which the turn is over
    ]
)  # fmt: skip
"""`struct compact_control`, and where a run stands that gave its CPU away. ``order`` is -1 for a whole zone."""

_MOST_ISOLATED: Final = 1024


class Compaction:
    """State of compaction.

    Attributes:
        zones: `ZONE` records, all zero at boot.
        control: one `CONTROL` record, of the run at work.
        skip: per pageblock, whether the scanners pass over it.
        handle: what compiled code takes.
    """

    def __init__(self, store: Store) -> None:
        self.zones: NDArray[Any] = np.zeros(len(store.zones), ZONE)
        self.control: NDArray[Any] = np.zeros(1, CONTROL)
        self.control["stop_ns"] = self.control["stop_work"] = FOR_EVER
        self.skip = np.zeros(len(store.block_types), np.uint8)
        self._isolated = np.zeros(_MOST_ISOLATED, np.int64)
        self._header = header([self.zones, self.control, self.skip, self._isolated])
        self.handle = int(self._header.ctypes.data)


_zones = slot_array(0, ZONE)
_control = slot_array(1, CONTROL)
skip_hints = slot_array(2, np.uint8)
"""Per pageblock, whether the scanners pass over it (`PB_migrate_skip`)."""
isolation_list = slot_array(3, np.int64)
"""Pages taken to be moved, in the order in which they were found; they are moved from the last on."""


@jit
def zone_state(own: int) -> Any:
    """What is kept of the zone that the run is in."""
    return _zones(own)[_control(own)[0].zone]


@jit
def control(own: int) -> Any:
    """The run at work."""
    return _control(own)[0]


@jit
def block_start(store: int, pfn: int) -> int:
    """First page of a page's pageblock."""
    shift = config(store).pageblock_order
    return int((pfn >> shift) << shift)


@jit
def set_skip(store: int, own: int, pfn: int) -> None:
    """Note that the scanners may pass over the page's pageblock."""
    skip_hints(own)[pfn >> config(store).pageblock_order] = 1


@jit
def scanners_met(store: int, own: int) -> bool:
    """Whether the scanner for free pages is at the pageblock of the other one, or below it."""
    cc, shift = control(own), config(store).pageblock_order
    return bool(cc.free_pfn >> shift <= cc.migrate_pfn >> shift)


@jit
def is_free_block(store: int, pfn: int) -> bool:
    """Whether a free block begins at a page (`PageBuddy`)."""
    return bool(pages(store)[pfn].state == FREE)


@jit
def free_blocks(store: int, zone: int, order: int) -> int:
    """Free blocks of an order in a zone, of all types."""
    count = 0
    for migratetype in range(TYPES):
        count += lists(store)[buddy_list(zone, order, migratetype)].blocks
    return int(count)


@jit
def worked_ns(store: int, own: int) -> int:
    """What all that has been done takes."""
    cc = control(own)
    scanned_ns = cc.pages_scanned * cc.scan_block_ns >> config(store).pageblock_order
    moved_ns = cc.batches * cc.batch_ns + cc.pages_moved * cc.move_ns
    isolated_ns = cc.blocks_isolated * cc.block_ns + cc.pages_isolated * cc.page_ns
    given_ns = cc.pages_released * cc.release_ns + cc.pages_drained * cc.drain_ns
    moved_ns += cc.processes_walked * cc.walk_ns
    return int(scanned_ns + cc.rotations * cc.rotate_ns + moved_ns + isolated_ns + given_ns)


@jit
def work_done(own: int) -> int:
    """Blocks taken off the free lists, pages given back, and drains, together and so far: what recordings tell."""
    cc = control(own)
    return int(cc.blocks_isolated + cc.pages_moved + cc.pages_released + cc.drains)


@jit
def turn_is_over(store: int, own: int) -> bool:
    """Whether the thread is to give its CPU away where it asks."""
    cc = control(own)
    return bool(worked_ns(store, own) >= cc.stop_ns or work_done(own) >= cc.stop_work)


@jit
def turn_list(store: int, own: int, order: int, migratetype: int, pfn: int, to_tail: bool) -> None:
    """Rotate a free list so that the next search begins with other blocks (`move_freelist_head`, `_tail`)."""
    if order < MAX_ORDER:
        rotate_free_list(store, control(own).zone, order, migratetype, pfn, to_tail)
        control(own).rotations += 1

"""Where the page allocator keeps its state: flat arrays in one store, reached from compiled code by one handle.

Page records live in address space that is reserved but not committed, so that memory nobody has touched costs
nothing: a 16 TiB machine starts with a few kilobytes.
"""

from typing import Any, Final

import numpy as np

from models.kernel.arena import header, reserve, slot_array
from simcore.compiled import jit

__all__ = [
    "BATCH_SCALE_MAX",
    "CONFIG",
    "COSTLY_ORDER",
    "FREE",
    "HIGHATOMIC",
    "ISOLATE",
    "ISOLATED",
    "LIST",
    "LOG",
    "MAX_ORDER",
    "MOVABLE",
    "NONE",
    "PAGE",
    "PCP_LISTS",
    "PCP_TYPES",
    "PER_CPU",
    "PER_CPU_LISTS",
    "RECLAIMABLE",
    "TOUCHED_SHIFT",
    "TYPES",
    "UNMOVABLE",
    "UNUSED",
    "USED",
    "ZONE",
    "Store",
    "block_types",
    "config",
    "lists",
    "log",
    "movable_given",
    "pages",
    "per_cpu",
    "touched",
    "zone_at",
    "zones",
]  # fmt: skip

# Migrate types, numbered as in include/linux/mmzone.h [6.1].
UNMOVABLE: Final = 0
MOVABLE: Final = 1
RECLAIMABLE: Final = 2
HIGHATOMIC: Final = 3
ISOLATE: Final = 5
TYPES: Final = 6
PCP_TYPES: Final = 3

MAX_ORDER: Final = 11
"""Number of orders, 0 to 10."""
PCP_LISTS: Final = 14
"""Lists of one CPU and zone: three types of orders 0 to 3, and two of pageblock order (not movable, movable)."""
COSTLY_ORDER: Final = 3
"""The highest order with per-CPU lists, but for pageblock order."""
BATCH_SCALE_MAX: Final = 5
"""At most batch << 5 pages are moved between a CPU's lists and the buddy lists at once."""
NONE: Final = -1
"""No page, no list."""

# What a page record's `state` says. Only the first page of a block carries one.
UNUSED: Final = 0  # never handed out since boot, or not the first page of its block
FREE: Final = 1  # first page of a block on a buddy list
PER_CPU: Final = 2  # first page of a block on a per-CPU list
USED: Final = 3  # handed out
ISOLATED: Final = 4  # taken off the lists by compaction

PAGE: Final = np.dtype(
    [
        ("next", "<i8"), ("prev", "<i8"),  # neighbours in the list that the page is on, or NONE
        # Who holds the page; 0: the kernel itself, or nobody. Of a free block: the blocks of the highest order that
        # this element of a list stands for, less one (see `models.kernel.pages.lists`).
        ("owner", "<i4"),
        ("state", "i1"), ("order", "i1"), ("migratetype", "i1"), ("flags", "i1"),
    ]
)  # fmt: skip
LIST: Final = np.dtype([("head", "<i8"), ("tail", "<i8"), ("blocks", "<i8")])
ZONE: Final = np.dtype(
    [
        ("node", "<i8"), ("kind", "<i8"), ("start_pfn", "<i8"), ("end_pfn", "<i8"), ("managed", "<i8"),
        ("free_pages", "<i8"),  # NR_FREE_PAGES as watermark checks read it, without the CPUs' differences
        ("wmark", "<i8", (3,)), ("boost", "<i8"), ("reserved_highatomic", "<i8"),
        ("boosted", "<i8"), ("reclaim_active", "<i8"),
        ("lowmem_reserve", "<i8", (5,)),
    ]
)  # fmt: skip
PER_CPU_LISTS: Final = np.dtype(
    [
        ("count", "<i8"), ("high", "<i8"), ("batch", "<i8"), ("free_factor", "<i8"),
        ("free_pages_diff", "<i8"), ("stat_threshold", "<i8"),
        # From 6.7 on, see `models.kernel.pages.tuned_percpu`.
        ("high_min", "<i8"), ("high_max", "<i8"), ("alloc_factor", "<i8"), ("free_count", "<i8"),
        ("freed_high_order", "<i8"),
    ]
)  # fmt: skip
CONFIG: Final = np.dtype(
    [
        ("zones", "<i8"), ("cpus", "<i8"), ("nodes", "<i8"), ("pageblock_order", "<i8"),
        ("huge_per_cpu_lists", "<i8"), ("tuned_per_cpu", "<i8"), ("watermark_boost_factor", "<i8"),
        ("logging", "<i8"), ("log_used", "<i8"),
        ("movable_next", "<i8"), ("movable_end", "<i8"),
        ("capture_pfn", "<i8"), ("capture_order", "<i8"), ("captured", "<i8"),
        ("steals", "<i8"), ("refills", "<i8"), ("drains", "<i8"), ("drained", "<i8"),
        ("requests", "<i8"),  # blocks taken and given back, by whoever asked
        ("alloc_flags", "<i8"), ("highest_kind", "<i8"),  # of a first attempt
        ("free_pages", "<i8"), ("per_cpu_pages", "<i8"),  # exact, over all zones and CPUs
    ]
)  # fmt: skip
LOG: Final = np.dtype(
    [
        ("kind", "<i8"),
        ("zone", "<i8"),
        ("order", "<i8"),
        ("type", "<i8"),
        ("pfn", "<i8"),
        ("aux", "<i8", (4,)),
    ]
)
LOG_ENTRIES: Final = 4096

_HEADER: Final = (
    "config", "zones", "per_cpu", "lists", "block_types", "pages", "zonelists", "log", "movable_given", "touched",
)  # fmt: skip
TOUCHED_SHIFT: Final = 10


class Store:
    """The arrays of one machine's page allocator.

    Attributes:
        handle: address of the header, the first argument of every compiled operation.
        config: one `CONFIG` record.
        zones: `ZONE[zones]`.
        per_cpu: `PER_CPU_LISTS[zones, cpus]`.
        lists: `LIST`, the buddy lists `[zone, order, migratetype]`, then the per-CPU lists `[zone, cpu, index]`.
        pages: `PAGE[pfns]`.
        touched: for every 1,024 pages, whether a block of them was ever taken.
    """

    def __init__(
        self, pfns: int, zones: int, cpus: int, nodes: int, pageblock_order: int, *, huge_lists: bool
    ) -> None:
        """Lay out the state of a machine without memory.

        Args:
            pfns: one above the highest page frame number.
            zones: zones of all nodes together.
            cpus: CPUs, each with its own page lists in every zone.
            nodes: NUMA nodes.
            pageblock_order: 9, or 10 on kernels without huge pages.
            huge_lists: whether blocks of pageblock order have per-CPU lists (transparent huge pages configured).
        """
        self.config = np.zeros(1, CONFIG)
        self.zones = np.zeros(zones, ZONE)
        self.per_cpu = np.zeros((zones, cpus), PER_CPU_LISTS)
        self.lists = np.zeros(zones * MAX_ORDER * TYPES + zones * cpus * PCP_LISTS, LIST)
        self.lists["head"] = NONE
        self.lists["tail"] = NONE
        self.block_types = reserve((pfns >> pageblock_order) + 1, np.dtype("u1"))
        self.pages = reserve(pfns, PAGE)
        self.touched = reserve((pfns >> TOUCHED_SHIFT) + 1, np.uint8)
        self.zonelists = np.full((nodes, zones + 1), NONE, np.int64)
        self.log = reserve(LOG_ENTRIES, LOG)
        self.movable_given = np.zeros(64, np.int64)
        settings = self.config[0]
        settings["zones"], settings["cpus"], settings["nodes"] = zones, cpus, nodes
        settings["pageblock_order"], settings["huge_per_cpu_lists"] = pageblock_order, huge_lists
        settings["capture_pfn"] = NONE
        self._header = header([getattr(self, name) for name in _HEADER])
        self.handle = int(self._header.ctypes.data)


_config = slot_array(0, CONFIG)
_per_cpu = slot_array(2, PER_CPU_LISTS)


@jit
def config(handle: int) -> Any:
    """The `CONFIG` record."""
    return _config(handle)[0]


zones = slot_array(1, ZONE)
"""`ZONE` records."""


@jit
def per_cpu(handle: int, zone: int, cpu: int) -> Any:
    """The `PER_CPU_LISTS` record of a zone and CPU."""
    cpus = config(handle).cpus
    return _per_cpu(handle)[zone * cpus + cpu]


lists = slot_array(3, LIST)
"""`LIST` records."""


block_types = slot_array(4, np.uint8)
"""Migratetype of each pageblock, XORed with MOVABLE, so that memory nobody touched reads as movable."""


pages = slot_array(5, PAGE)
"""`PAGE` records by pfn."""


_zonelists = slot_array(6, np.int64)


@jit
def zone_at(handle: int, node: int, position: int) -> int:
    """Zone that a node's tasks try at a position, or NONE at the end of the list."""
    settings = config(handle)
    return int(_zonelists(handle)[node * (settings.zones + 1) + position])


log = slot_array(7, LOG)
"""`LOG` records of what the allocator did by itself (steals, refills, drains) since `log_used` was reset."""


movable_given = slot_array(8, np.int64)
"""Movable pages of the next stolen pageblocks, where a recording says them (see `fallback.steal`)."""


touched = slot_array(9, np.uint8)
"""For every 1,024 pages, whether a block of them was ever taken off the buddy lists."""

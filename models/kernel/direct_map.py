"""The direct map: how it is tiled with 1G, 2M and 4K entries, what splits it, what is counted [6.1 arch/x86/mm/pat].

A region of 1 GiB is one entry or a table of 512 entries of 2 MiB; each of those is one entry or a table of 512 pages.
A split replaces an entry by a table, which takes one page of memory; nothing here merges by itself.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import header, reserve, slot_array
from models.kernel.map_changes import MapChanges, add_giga, add_region, count_absent, count_secret
from models.kernel.pages.layout import pages
from simcore.compiled import jit

__all__ = [
    "ABSENT", "KEPT_4K", "LEVEL_1G", "LEVEL_2M", "LEVEL_4K", "READ_ONLY", "RESTORED", "SIZE_PAGES", "UNCACHED",
    "DirectMap",
    "boot_made", "change_presence", "collapse", "level_of", "next_changed", "next_split", "note_changed", "note_secret",
    "split",
]  # fmt: skip

LEVEL_4K: Final = 1
LEVEL_2M: Final = 2
LEVEL_1G: Final = 3
SHIFT: Final = (0, 0, 9, 18)
"""log2 of an entry's pages, by level."""
SIZE_PAGES: Final = (0, 1, 512, 262144)

# Page flags of the direct map, beside those of the allocator.
ABSENT: Final = 2
"""The page is not mapped, by itself or within a 2M entry."""
RESTORED: Final = 4
"""The page was unmapped and mapped again: its entry has lost its GLOBAL bit and differs from its neighbours."""

READ_ONLY: Final = 8
"""The page's entry is read-only: it holds code, or data that goes with code."""
UNCACHED: Final = 16
"""The page's entry is write-combining or uncached: a device reads or writes it."""

KEPT_4K: Final = 32
"""The page's entry has to stay 4K whatever its neighbours are: a private 4K page of a confidential guest."""

# States of a region; zero is what untouched memory reads as.
_ENTRY: Final = 0
_TABLE: Final = 1
_HOLE: Final = 2

COUNTERS: Final = np.dtype(
    [
        ("pages_4k", "<i8"), ("pages_2m", "<i8"), ("pages_1g", "<i8"), ("unmapped_pages", "<i8"),
        ("level2_splits", "<i8"), ("level3_splits", "<i8"), ("level2_collapses", "<i8"), ("level3_collapses", "<i8"),
    ]
)  # fmt: skip


class DirectMap:
    """Tiling of a machine's direct map.

    Attributes:
        handle: first argument of the compiled operations.
        counters: one `COUNTERS` record; sizes in pages of 4 KiB, splits and collapses since boot.
        tiles: as the boot left them.
        changes: what became of them since.
    """

    def __init__(self, pfns: int, tiles: Iterable[tuple[int, int, int]]) -> None:
        """Tile the direct map as the boot left it.

        Args:
            pfns: one above the highest page frame number.
            tiles: (first pfn, pages, level) in ascending order; what no tile covers is not mapped.

        Raises:
            ValueError: a tile is misaligned, or tiles overlap.
        """
        self._giga = np.full((pfns >> 18) + 1, _HOLE, np.uint8)
        self._mega = reserve((pfns >> 9) + 1, np.uint8)
        self._giga_tables = np.zeros(len(self._giga), np.int64)
        self._mega_tables = reserve((pfns >> 9) + 1, np.int64)
        self.counters: NDArray[Any] = np.zeros(1, COUNTERS)
        self.changes = MapChanges(pfns)
        self._header = header(
            [self._giga, self._mega, self._giga_tables, self._mega_tables, self.counters, *self.changes.arrays]
        )
        self._changed = reserve((pfns >> 9) + 2, np.int64)
        self._changed[0] = -1
        self._marks = reserve((pfns >> 9) + 1, np.uint8)
        self._header[30:32] = self._changed.ctypes.data, self._marks.ctypes.data
        self.handle = int(self._header.ctypes.data)
        self.tiles = tuple(tiles)
        covered = self._tile_giga(self.tiles)
        # Holes of regions that are mapped in part; a region without any entry is a hole as a whole.
        for region, megas in covered.items():
            self._mega[region << 9 : min((region + 1) << 9, len(self._mega))][
                ~megas[: len(self._mega) - (region << 9)]
            ] = _HOLE

    def _tile_giga(self, tiles: Iterable[tuple[int, int, int]]) -> dict[int, NDArray[np.bool_]]:
        counters, end = self.counters[0], 0
        covered: dict[int, NDArray[np.bool_]] = {}
        for start, count, level in tiles:
            size = SIZE_PAGES[level]
            if start < end or start % size or count % size:
                raise ValueError(
                    f"tile of {count} pages at pfn {start} overlaps or is no whole entry of level {level}"
                )
            end = start + count
            counters[("", "pages_4k", "pages_2m", "pages_1g")[level]] += count
            if level == LEVEL_1G:
                self._giga[start >> 18 : end >> 18] = _ENTRY
                continue
            for region in range(start >> 18, ((end - 1) >> 18) + 1):
                self._giga[region] = _TABLE
                first, last = max(start >> 9, region << 9), min((end - 1) >> 9, (region << 9) + 511)
                covered.setdefault(region, np.zeros(512, bool))[first & 511 : (last & 511) + 1] = True
                if level == LEVEL_4K:
                    self._mega[first : last + 1] = _TABLE
        return covered

    def watch_changes(self) -> None:
        """From now on remember which 2M regions had entries changed back, for whoever merges them (`next_changed`)."""
        self._changed[0] = 0

    def level(self, pfn: int) -> int:
        """Level of the entry that maps a page; 0 where nothing does."""
        return int(level_of(self.handle, pfn))

    def table(self, pfn: int, level: int) -> int:
        """Frame of the table that replaced the entry of a level around a page; 0 when boot made it or there is none."""
        tables = self._giga_tables if level == LEVEL_1G else self._mega_tables
        return int(tables[pfn >> SHIFT[level]])


_giga = slot_array(0, np.uint8)
_mega = slot_array(1, np.uint8)
_giga_tables = slot_array(2, np.int64)
_mega_tables = slot_array(3, np.int64)
_counters = slot_array(4, COUNTERS)
_changed = slot_array(30, np.int64)
_marks = slot_array(31, np.uint8)


@jit
def counters_of(handle: int) -> Any:
    """The `COUNTERS` record."""
    return _counters(handle)[0]


@jit
def level_of(handle: int, pfn: int) -> int:
    """Level of the entry that maps a page: 1 (4K), 2 (2M), 3 (1G), or 0 where nothing does."""
    giga = _giga(handle)[pfn >> 18]
    if giga != _TABLE:
        return LEVEL_1G if giga == _ENTRY else 0
    mega = _mega(handle)[pfn >> 9]
    if mega != _TABLE:
        return LEVEL_2M if mega == _ENTRY else 0
    return LEVEL_4K


@jit
def next_split(handle: int, pfn: int, count: int) -> tuple[int, int]:
    """First entry that must be split before a range of pages can change by itself (`__change_page_attr`).

    An entry that the range covers whole is rewritten in place.

    Returns:
        (first pfn of the entry, its level), or (0, 0) when nothing has to be split.
    """
    end = pfn + count
    while pfn < end:
        level = level_of(handle, pfn)
        if level == 0:
            pfn += 1
            continue
        size = 1 << SHIFT[level]
        first = (pfn >> SHIFT[level]) << SHIFT[level]
        if level > LEVEL_4K and (first < pfn or first + size > end):
            return first, level
        pfn = first + size if level > LEVEL_4K else min(end, ((pfn >> 9) + 1) << 9)
    return 0, 0


@jit
def split(handle: int, pfn: int, level: int, table_pfn: int) -> None:
    """Replace the entry around a page by a table of 512 entries one level down (`__split_large_page`).

    Args:
        level: level of the entry, 2 or 3.
        table_pfn: page that holds the new table.
    """
    counters = counters_of(handle)
    if level == LEVEL_1G:
        _giga_tables(handle)[pfn >> 18] = table_pfn
        _giga(handle)[pfn >> 18] = _TABLE
        counters.pages_1g -= 262144
        counters.pages_2m += 262144
        counters.level3_splits += 1
        add_giga(handle, pfn >> 18, LEVEL_2M)
    else:
        _mega_tables(handle)[pfn >> 9] = table_pfn
        _mega(handle)[pfn >> 9] = _TABLE
        counters.pages_2m -= 512
        counters.pages_4k += 512
        counters.level2_splits += 1
        add_region(handle, pfn >> 9, LEVEL_4K)


@jit
def collapse(handle: int, pfn: int, level: int) -> int:
    """Replace a table by one entry of a level (2: 512 pages, 3: 512 entries of 2M); the caller knows that it may.

    Returns:
        Frame of the table, now free to be given back; 0 when the table was made at boot.
    """
    counters = counters_of(handle)
    if level == LEVEL_1G:
        table_pfn = _giga_tables(handle)[pfn >> 18]
        _giga_tables(handle)[pfn >> 18] = 0
        _giga(handle)[pfn >> 18] = _ENTRY
        counters.pages_2m -= 262144
        counters.pages_1g += 262144
        counters.level3_collapses += 1
        add_giga(handle, pfn >> 18, LEVEL_1G)
    else:
        table_pfn = _mega_tables(handle)[pfn >> 9]
        _mega_tables(handle)[pfn >> 9] = 0
        _mega(handle)[pfn >> 9] = _ENTRY
        counters.pages_4k -= 512
        counters.pages_2m += 512
        counters.level2_collapses += 1
        add_region(handle, pfn >> 9, LEVEL_2M)
    return int(table_pfn)


@jit
def change_presence(handle: int, page_handle: int, pfn: int, count: int, present: bool) -> int:
    """Make pages present or not; the entries in question have been split before (`set_direct_map_*_noflush`).

    Returns:
        Pages that changed.
    """
    page, changed = pages(page_handle), 0
    for current in range(pfn, pfn + count):
        flags = page[current].flags
        if bool(flags & ABSENT) != present:
            continue
        page[current].flags = (flags & ~ABSENT) | RESTORED if present else flags | ABSENT
        changed += 1
        if count_absent(handle, current >> 9, -1 if present else 1):
            add_region(handle, current >> 9, level_of(handle, current))
    counters_of(handle).unmapped_pages += -changed if present else changed
    if present and changed > 0:
        note_changed(handle, pfn, count)
    return changed


@jit
def note_changed(handle: int, pfn: int, count: int) -> None:
    """Remember the 2M regions of pages whose entries may have become equal to their neighbours, if anybody watches."""
    changed, marks = _changed(handle), _marks(handle)
    if changed[0] < 0:
        return
    for region in range(pfn >> 9, ((pfn + count - 1) >> 9) + 1):
        if marks[region] == 0:
            marks[region] = 1
            changed[0] += 1
            changed[changed[0]] = region


@jit
def next_changed(handle: int) -> int:
    """Take one of the remembered 2M regions, the latest first; -1: there is none, or nobody watches."""
    changed = _changed(handle)
    if changed[0] <= 0:
        return -1
    region = changed[changed[0]]
    changed[0] -= 1
    _marks(handle)[region] = 0
    return int(region)


@jit
def boot_made(handle: int, pfn: int, level: int) -> bool:
    """Whether the table in place of an entry of a level was made at boot, so that it may cover what is no RAM."""
    return bool((_giga_tables(handle)[pfn >> 18] if level == LEVEL_1G else _mega_tables(handle)[pfn >> 9]) == 0)


@jit
def note_secret(handle: int, pfn: int, change: int) -> None:
    """Note that a page became part of secret memory (1) or ceased to be (-1), for the map over time."""
    if count_secret(handle, pfn >> 9, change):
        add_region(handle, pfn >> 9, level_of(handle, pfn))

"""Where a snapshot's free blocks lie: as /proc/kpageflags showed them, or drawn at random to fit the counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernel.pages.layout import HIGHATOMIC, MAX_ORDER, MOVABLE, RECLAIMABLE, UNMOVABLE
from models.machine.page_runs import cut_blocks, decode_runs
from models.machine.snapshot import Snapshot, ZoneSnapshot

__all__ = ["MIGRATETYPES", "Placement", "place_blocks", "read_pages"]

MIGRATETYPES = {
    "Unmovable": UNMOVABLE, "Movable": MOVABLE, "Reclaimable": RECLAIMABLE, "HighAtomic": HIGHATOMIC,
    "CMA": MOVABLE, "Isolate": MOVABLE,
}  # fmt: skip
"""The model's migratetypes by the names in /proc/pagetypeinfo."""


# Chunks below this order lie among free blocks; larger ones are used up only when these are not enough.
_SMALL = 6
# Pageblocks' worth of memory in use from which on some is taken for the kernel's.
_ROOMY = 4


class Placement(NamedTuple):
    """A zone's free blocks and pageblocks.

    Attributes:
        pfns: first page frame of each free block, ascending.
        orders: its order.
        spare: page frames that a per-CPU list may hold, ascending.
        tables: page frames of page tables, ascending; empty where not known.
        first_block: number of the pageblock that ``types`` begins with.
        types: uint8, migratetype of each pageblock.
        shift: log2 of a pageblock's pages.
    """

    pfns: NDArray[np.int64]
    orders: NDArray[np.int64]
    spare: NDArray[np.int64]
    tables: NDArray[np.int64]
    first_block: int
    types: NDArray[np.uint8]
    shift: int

    def within(self, start: int, end: int) -> Placement:
        """Return the part between two page frames."""
        low, high = start >> self.shift, -(-end >> self.shift)
        blocks = slice(*np.searchsorted(self.pfns, [start, end]).tolist())
        spare = slice(*np.searchsorted(self.spare, [start, end]).tolist())
        tables = slice(*np.searchsorted(self.tables, [start, end]).tolist())
        types = self.types[low - self.first_block : high - self.first_block]
        return Placement(
            self.pfns[blocks], self.orders[blocks], self.spare[spare], self.tables[tables], low, types,
            self.shift,
        )  # fmt: skip


def read_pages(snapshot: Snapshot) -> Placement:
    """Return the free blocks of a snapshot that knows them page by page."""
    pages = snapshot.pages
    assert pages is not None
    pfns, orders = cut_blocks(decode_runs(pages.free))
    spare, tables = (_each(decode_runs(text)) for text in (pages.unmarked, pages.tables))
    end = max(zone.end_pfn for zone in snapshot.zones)
    types = np.full((end >> snapshot.pageblock_order) + 2, MOVABLE, np.uint8)
    for block, count, kind in pages.types:
        types[block : block + count] = MIGRATETYPES[kind]
    return Placement(pfns, orders, spare, tables, 0, types, snapshot.pageblock_order)


def _each(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every page frame of some runs."""
    lengths = runs[:, 1] - runs[:, 0]
    first = np.cumsum(lengths) - lengths
    return np.repeat(runs[:, 0] - first, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def place_blocks(snapshot: Snapshot, zone: ZoneSnapshot, random: np.random.Generator) -> Placement:
    """Draw where the free blocks of a zone lie, so that their numbers are as counted.

    Where the counts have no types (/proc/buddyinfo), blocks as large as a pageblock count as movable, and of the others
    a share is drawn for each type, two thirds movable on average.
    """
    shift = snapshot.pageblock_order
    first = -(-zone.start_pfn >> shift)
    count = max(1, (zone.start_pfn + zone.present >> shift) - first)
    wanted = _wanted(snapshot, zone, shift, random)
    types = _draw_types(snapshot, zone, count, wanted, shift, random)
    space = _Space(first, types, shift, random, _split_by_boot(snapshot))
    pfns: list[int] = []
    orders: list[int] = []
    for order in range(MAX_ORDER - 1, -1, -1):
        for kind, blocks in wanted.items():
            placed = space.take(kind, order, int(blocks[order]))
            if order:  # what finds no room in one piece is put down in two
                blocks[order - 1] += 2 * (int(blocks[order]) - len(placed))
            pfns += placed
            orders += [order] * len(placed)
    ascending = np.argsort(np.array(pfns, np.int64), kind="stable")
    spare = space.spare(sum(lists.count for lists in zone.pagesets))
    free, free_orders = np.array(pfns, np.int64)[ascending], np.array(orders, np.int64)[ascending]
    return Placement(free, free_orders, spare, np.zeros(0, np.int64), first, types, shift)


def _split_by_boot(snapshot: Snapshot) -> NDArray[np.int64]:
    """2M regions that the boot itself mapped with 4K entries: they are no RAM in part, and never free as a whole."""
    known = snapshot.direct_map
    if known.tiles is None or known.level2_splits != 0:
        return np.zeros(0, np.int64)
    regions = [np.arange(start >> 9, (start + pages + 511) >> 9) for start, pages, level in known.tiles if level == 1]
    return np.concatenate([np.zeros(0, np.int64), *regions])


def _wanted(
    snapshot: Snapshot, zone: ZoneSnapshot, shift: int, random: np.random.Generator
) -> dict[int, NDArray[np.int64]]:
    wanted = {kind: np.zeros(MAX_ORDER, np.int64) for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC)}
    for counted in snapshot.free_blocks:
        if (counted.node, counted.zone) != (zone.node, zone.name):
            continue
        blocks = np.array(counted.blocks, np.int64)
        if counted.type is not None:
            wanted[MIGRATETYPES[counted.type]] += blocks
            continue
        shares = random.dirichlet((2.0, 6.0, 1.0))
        for order, number in enumerate(blocks.tolist()):
            dealt = random.multinomial(number, shares if order < shift else (0.0, 1.0, 0.0))
            for kind, part in zip((UNMOVABLE, MOVABLE, RECLAIMABLE), dealt.tolist(), strict=True):
                wanted[kind][order] += part
    return wanted


def _draw_types(
    snapshot: Snapshot, zone: ZoneSnapshot, count: int, wanted: dict[int, NDArray[np.int64]], shift: int,
    random: np.random.Generator,
) -> NDArray[np.uint8]:  # fmt: skip
    """Draw each pageblock's type, as many of each as counted, anywhere in the zone."""
    numbers = {UNMOVABLE: 0, RECLAIMABLE: 0, HIGHATOMIC: 0}
    for counted in snapshot.pageblocks:
        if (counted.node, counted.zone) == (zone.node, zone.name):
            for name, blocks in counted.types.items():
                if (kind_number := MIGRATETYPES[name]) in numbers:
                    numbers[kind_number] += blocks
    pages = 1 << np.arange(MAX_ORDER)
    in_use = zone.present - int(sum(wanted.values()) @ pages) >> shift
    for kind, counted_blocks in numbers.items():
        # At least the room that the free blocks need, half full, and where there is room some for the kernel's own.
        needed = max(-(-2 * int(wanted[kind] @ pages) >> shift), int(in_use > _ROOMY and kind != HIGHATOMIC))
        numbers[kind] = min(max(counted_blocks, needed), count // 4)
    types = np.full(count, MOVABLE, np.uint8)
    places = random.permutation(count)
    for kind, blocks in numbers.items():
        types[places[:blocks]] = kind
        places = places[blocks:]
    return types


class _Space:
    """Room in pageblocks, cut into aligned chunks; what is not handed out as a free block is in use."""

    def __init__(
        self, first: int, types: NDArray[np.uint8], shift: int, random: np.random.Generator, barred: NDArray[np.int64]
    ) -> None:
        """Cut the pageblocks of each type into chunks, those in ``barred`` 2M regions left out."""
        self._random = random
        self._types, self._first, self._shift = types, first, shift
        self._chunks: dict[int, list[list[int]]] = {}
        for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC):
            chunks: list[list[int]] = [[] for _ in range(MAX_ORDER)]
            blocks = np.flatnonzero(types == kind) + first
            blocks = np.setdiff1d(blocks, barred << 9 >> shift)
            if shift < MAX_ORDER - 1:
                # Neighbours of one type make room for the highest order.
                pairs = (
                    blocks[(blocks % 2 == 0) & np.isin(blocks + 1, blocks)] if shift == MAX_ORDER - 2 else blocks[:0]
                )
                chunks[MAX_ORDER - 1] = random.permutation(pairs << shift).tolist()
                blocks = np.setdiff1d(blocks, np.concatenate([pairs, pairs + 1]))
            chunks[min(shift, MAX_ORDER - 1)] += random.permutation(blocks << shift).tolist()
            self._chunks[kind] = chunks

    def take(self, kind: int, order: int, number: int) -> list[int]:
        """Return the first page frames of up to ``number`` free blocks, never two that would have merged."""
        chunks = self._chunks[kind]
        taken: list[int] = []
        while len(taken) < number:
            larger = [at for at in range(order, MAX_ORDER) if chunks[at]]
            if not larger:
                break
            # Any chunk may hold it: small free blocks lie in nearly full pageblocks as often as in nearly empty ones.
            weights = np.array([len(chunks[at]) for at in larger], float)
            at = larger[int(self._random.choice(len(larger), p=weights / weights.sum()))]
            place = int(self._random.integers(len(chunks[at])))
            chunks[at][place], chunks[at][-1] = chunks[at][-1], chunks[at][place]
            pfn = chunks[at].pop()
            while at > order:
                at -= 1
                half = int(self._random.integers(2)) << at
                self._give(kind, (pfn + (1 << at)) - half, at, whole=at > order)
                pfn += half
            taken.append(pfn)
        return taken

    def _give(self, kind: int, pfn: int, order: int, *, whole: bool) -> None:
        """Take back a half that was cut off; the buddy of a free block keeps one page in use, or both would merge."""
        chunks = self._chunks[kind]
        if whole:
            chunks[order].append(pfn)
            return
        while order > 0:
            order -= 1
            half = int(self._random.integers(2)) << order
            chunks[order].append(pfn + (1 << order) - half)
            pfn += half

    def spare(self, number: int) -> NDArray[np.int64]:
        """Return pages in use that per-CPU lists may hold instead, up to ``number`` of each type and more, ascending.

        They are whole chunks: lists are refilled from pageblocks that free blocks come from, in runs.
        """
        pages: list[int] = []
        for chunks in self._chunks.values():
            small = [(order, pfn) for order in range(_SMALL) for pfn in chunks[order]]
            large = [(order, pfn) for order in range(_SMALL, MAX_ORDER) for pfn in chunks[order]]
            left = number
            for order, pfn in (*(small[at] for at in self._random.permutation(len(small))), *large):
                if left <= 0:
                    break
                pages += range(pfn, pfn + (1 << order))
                left -= 1 << order
        return np.array(sorted(pages), np.int64)

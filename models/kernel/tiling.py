"""How the boot tiles the direct map with 1G, 2M and 4K entries, and what /proc/meminfo then says of it.

Each range of RAM is covered by the largest aligned entries that hold nothing but RAM. The kernel maps from
the top of memory downwards in passes of growing size, rounding a pass's border entry up when the rounded
range is all RAM [6.1 arch/x86/mm/init.c: `memory_map_top_down`, `split_mem_range`,
`adjust_range_page_size_mask`]. So the tiling does not depend on the passes, but the counters do: an entry
that a later pass meets again is counted again [6.1 arch/x86/mm/init_64.c: `phys_pud_init`, `phys_pmd_init`,
`phys_pte_init` with `after_bootmem` unset].
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from models.kernel.boot_profile import KernelImage
from models.machine.memory import PAGE_BYTES, MemoryMap, PfnRange, clip

__all__ = [
    "LEVEL_PAGES",
    "BootTiling",
    "DirectMapBytes",
    "Tile",
    "boot_tiling",
    "image_splits",
    "mapping_passes",
    "memblock_tables",
]

#: Pages per entry: level 1 is 4K, 2 is 2M, 3 is 1G (the kernel's PG_LEVEL_*).
LEVEL_PAGES = {1: 1, 2: 512, 3: 512 * 512}

#: The first MiB is mapped before everything else, RAM or not [6.1 `init_mem_mapping`].
_ISA_END_PFN = 256


class Tile(NamedTuple):
    """A run of entries of one level: ``pages`` 4K pages from ``start_pfn`` on."""

    start_pfn: int
    pages: int
    level: int


class DirectMapBytes(NamedTuple):
    """Bytes of the direct map by size of entry: DirectMap4k, DirectMap2M, DirectMap1G at boot."""

    b4_bytes: int
    b2_bytes: int
    b1_bytes: int


@dataclass(frozen=True)
class BootTiling:
    """The direct map when the first task runs.

    Attributes:
        tiles: Runs by page frame; no neighbours of one level. Holes are left out.
        walk: What a page-table walk finds: the sums of ``tiles``.
        as_linux_6_1: What /proc/meminfo says: top 1G entries counted once per mapping pass, 2M splits of the
            kernel's own mapping of its text counted as the direct map's. 6.18 still counts so.
        table_pages: Page tables (PMD and PTE pages) of the direct map, without those of the splits.
        level2_splits: 2M entries of the direct map split during boot; /proc/vmstat does not count them, the
            system is not yet running.
        level3_splits: 1G entries split during boot.
    """

    tiles: tuple[Tile, ...]
    walk: DirectMapBytes
    as_linux_6_1: DirectMapBytes
    table_pages: int
    level2_splits: int
    level3_splits: int


def boot_tiling(
    memory: MemoryMap,
    *,
    gbpages: bool = True,
    debug_pagealloc: bool = False,
    image: KernelImage | None = None,
    split_pfns: Iterable[int] = (),
    other_mapping_splits: int = 0,
) -> BootTiling:
    """Tile the direct map of ``memory``.

    Args:
        memory: The machine's ranges.
        gbpages: False is the kernel's ``nogbpages``, or a CPU without 1G pages.
        debug_pagealloc: Only 4K entries (also arm64 before 6.18, whose linear map must be changeable page by
            page).
        image: The kernel's image: the regions at its edges are split, here and in its own mapping.
        split_pfns: Further pages that the boot maps at 4K: modules, BPF programs, KFENCE's pool.
        other_mapping_splits: 2M splits in mappings other than these two, which the counters count too.

    Raises:
        ValueError: The image or a page to be split lies outside the mapped memory.
    """
    top_level = 1 if debug_pagealloc else 3 if gbpages else 2
    x86 = memory.arch == "x86_64"
    natural = _cover(memory.ram, top_level, isa=x86)
    edges = image_splits(image) if image else ()
    tiles, level2, level3 = _split(natural, sorted({*edges, *split_pfns}))
    walk = _sums(tiles)
    reported = walk
    if x86:
        counted = _counted(natural, memory.ram)
        # `split_page_count` counts nothing at a level that has no entries.
        alias2 = len(edges) + other_mapping_splits if counted.b2_bytes else 0
        reported = _after_splits(counted, level2 + alias2, level3)
    return BootTiling(tiles, walk, reported, _table_pages(natural, 0, memory.max_pfn), level2, level3)


def image_splits(image: KernelImage) -> tuple[int, ...]:
    """Return the 2M-aligned page frames of the regions that protecting the image splits, ascending.

    Text and rodata become read-only, the gaps behind them are given back writable, and single pages such as
    the interrupt descriptor table become read-only: each edge that is not on a 2M border splits its region
    [6.1 `mark_rodata_ro`].
    """
    edges = (image.text_start_pfn, image.text_end_pfn, image.rodata_start_pfn, image.rodata_end_pfn)
    unaligned = [edge for edge in edges if edge % 512]
    return tuple(sorted({pfn - pfn % 512 for pfn in (*unaligned, *image.read_only_pfns)}))


def mapping_passes(ram: Sequence[PfnRange]) -> list[PfnRange]:
    """Return the passes in which the kernel maps memory from 1 MiB up, in its order.

    The first is the highest aligned 2 MiB of RAM, then steps of 2 MiB, 512 MiB, 128 GiB and so on downwards,
    growing when as much has been mapped; last comes what lies above the first [6.1 `memory_map_top_down`].
    """
    start, end = _ISA_END_PFN, ram[-1].end
    step = LEVEL_PAGES[2]
    aligned = [
        part.end // step * step for part in ram if part.end // step * step - step >= max(start, part.start)
    ]
    real_end = max(aligned, default=step)  # no such block: the kernel goes on from address 0 + 2 MiB
    passes: list[PfnRange] = []
    mapped, last = 0, real_end
    while last > start:
        low = max(start, (last - 1) // step * step) if last > step else start
        passes.append(PfnRange(low, last))
        mapped += sum(part.pages for part in clip(ram, low, last))
        last = low
        if mapped >= step:
            step <<= 8
    if real_end < end:
        passes.append(PfnRange(real_end, end))
    return passes


def memblock_tables(
    memory: MemoryMap,
    *,
    gbpages: bool = True,
    debug_pagealloc: bool = False,
    image_pfn: int = 0,
    early_pages: int = 3,
) -> int:
    """Return how many of the direct map's page tables come from memory, not from the image's early buffer.

    The first MiB takes its tables from the buffer, and so do ranges while it lasts, but not the range that
    holds the buffer itself [6.1 `init_range_memory_mapping`, `can_use_brk_pgt`].

    Args:
        memory: The machine's ranges.
        gbpages: As for `boot_tiling`.
        debug_pagealloc: As for `boot_tiling`.
        image_pfn: A page of the image; 0: no image, so no early buffer.
        early_pages: Tables left in the buffer once the first MiB is mapped.
    """
    natural = _cover(memory.ram, 1 if debug_pagealloc else 3 if gbpages else 2, isa=memory.arch == "x86_64")
    total = _table_pages(natural, 0, memory.max_pfn)
    if not image_pfn:
        return total
    home = next((part for part in memory.ram if part.start <= image_pfn < part.end), None)
    if home is None:
        raise ValueError(f"the kernel image at page frame {image_pfn} does not lie in RAM")
    isa = _table_pages(natural, 0, 1)
    piece = next(
        clip([home], *span)[0] for span in mapping_passes(memory.ram) if span.start <= image_pfn < span.end
    )
    # Passes go downwards: a table that reaches beyond the piece has been there since the pass above.
    above = _table_pages(natural, piece.end - 1, piece.end) if piece.end < home.end else 0
    around_image = max(0, _table_pages(natural, 0, piece.end) - isa - above)
    return around_image + max(0, total - isa - around_image - early_pages)


def _cover(ram: Sequence[PfnRange], top_level: int, *, isa: bool) -> list[Tile]:
    """Cover RAM with the largest aligned entries up to ``top_level``; O(ranges)."""
    tiles: list[Tile] = []
    if isa:
        tiles.append(Tile(0, _ISA_END_PFN, 1))
        ram = clip(ram, _ISA_END_PFN, ram[-1].end)
    for part in ram:
        _cover_range(tiles, part.start, part.end, top_level)
    return _joined(tiles)


def _cover_range(tiles: list[Tile], start: int, end: int, level: int) -> None:
    size = LEVEL_PAGES[level]
    low, high = -(-start // size) * size, end // size * size
    if level == 1:
        tiles.append(Tile(start, end - start, 1))
    elif low >= high:
        _cover_range(tiles, start, end, level - 1)
    else:
        if start < low:
            _cover_range(tiles, start, low, level - 1)
        tiles.append(Tile(low, high - low, level))
        if high < end:
            _cover_range(tiles, high, end, level - 1)


def _split(natural: Sequence[Tile], pfns: Iterable[int]) -> tuple[tuple[Tile, ...], int, int]:
    """Map the pages ``pfns`` (ascending) at 4K; return the tiles and the number of 2M and 1G splits."""
    tiles = list(natural)
    splits = {2: 0, 3: 0}
    for pfn in pfns:
        while True:
            at = bisect_right(tiles, pfn, key=lambda tile: tile.start_pfn) - 1
            if at < 0 or pfn >= tiles[at].start_pfn + tiles[at].pages:
                raise ValueError(
                    f"page frame {pfn} is to be mapped at 4K during boot, but is not in the direct map"
                )
            start, pages, level = tiles[at]
            if level == 1:
                break
            size = LEVEL_PAGES[level]
            low = pfn - pfn % size
            parts = [Tile(start, low - start, level), Tile(low, size, level - 1)]
            parts.append(Tile(low + size, start + pages - low - size, level))
            tiles[at : at + 1] = [part for part in parts if part.pages]
            splits[level] += 1
    return tuple(_joined(tiles)), splits[2], splits[3]


def _joined(tiles: Iterable[Tile]) -> list[Tile]:
    joined: list[Tile] = []
    for tile in tiles:
        if (
            joined
            and joined[-1].level == tile.level
            and joined[-1].start_pfn + joined[-1].pages == tile.start_pfn
        ):
            joined[-1] = Tile(joined[-1].start_pfn, joined[-1].pages + tile.pages, tile.level)
        else:
            joined.append(tile)
    return joined


def _sums(tiles: Iterable[Tile]) -> DirectMapBytes:
    pages = {1: 0, 2: 0, 3: 0}
    for tile in tiles:
        pages[tile.level] += tile.pages
    return DirectMapBytes(*(pages[level] * PAGE_BYTES for level in (1, 2, 3)))


def _counted(natural: Sequence[Tile], ram: Sequence[PfnRange]) -> DirectMapBytes:
    """Count entries as the kernel does while it maps: all that a pass touches, once per pass and range."""
    pages = {1: _ISA_END_PFN, 2: 0, 3: 0}
    for span in mapping_passes(ram):
        for part in clip(ram, *span):
            for start, length, level in natural:
                size = LEVEL_PAGES[level]
                low, high = max(start, part.start), min(start + length, part.end)
                if low < high:
                    pages[level] += (-(-high // size) - low // size) * size
    return DirectMapBytes(*(pages[level] * PAGE_BYTES for level in (1, 2, 3)))


def _after_splits(counted: DirectMapBytes, level2: int, level3: int) -> DirectMapBytes:
    gib, mib2 = LEVEL_PAGES[3] * PAGE_BYTES, LEVEL_PAGES[2] * PAGE_BYTES
    return DirectMapBytes(
        counted.b4_bytes + level2 * mib2,
        counted.b2_bytes + level3 * gib - level2 * mib2,
        counted.b1_bytes - level3 * gib,
    )


def _table_pages(natural: Sequence[Tile], start: int, end: int) -> int:
    """Count PMD pages (1G regions without a 1G entry) and PTE pages (2M regions with 4K entries)."""
    total = 0
    for coarse, levels in ((LEVEL_PAGES[3], (1, 2)), (LEVEL_PAGES[2], (1,))):
        low, high = -(-start // coarse), -(-end // coarse)
        runs = [
            (max(low, tile.start_pfn // coarse), min(high, -(-(tile.start_pfn + tile.pages) // coarse)))
            for tile in natural
            if tile.level in levels
        ]
        runs = [(first, last) for first, last in runs if first < last]
        total += sum(last - first for first, last in runs)
        total -= sum(lower[1] > upper[0] for lower, upper in pairwise(runs))
    return total

"""Merging entries of the direct map: when 512 of them agree, and what putting one large entry in their place takes."""

from typing import Final

from models.kernel.attributes import ATTRIBUTES
from models.kernel.direct_map import (
    ABSENT,
    KEPT_4K,
    LEVEL_1G,
    LEVEL_2M,
    LEVEL_4K,
    RESTORED,
    boot_made,
    collapse,
    level_of,
    next_changed,
)  # fmt: skip
from models.kernel.flush import flush_kernel
from models.kernel.layout import chains, charge, costs, map_handle, page_handle
from models.kernel.pages.allocator import free_pages
from models.kernel.pages.layout import pages
from models.kernel.records import CHAINS
from simcore.compiled import jit

__all__ = ["merge_around", "merge_chain", "merge_changed", "scan_regions"]

_ENTRIES: Final = 512


@jit
def _agree(handle: int, first: int, step: int, ignored: int) -> bool:
    """Whether 512 entries of ``step`` pages are present and have equal attributes, but for the ignored ones."""
    page, compared = pages(page_handle(handle)), ATTRIBUTES & ~ignored
    wanted = page[first].flags & compared
    if wanted & (ABSENT | KEPT_4K):
        return False
    for k in range(1, _ENTRIES):
        if page[first + k * step].flags & compared != wanted:
            return False
    return True


@jit
def _merge(handle: int, cpu: int, pfn: int, level: int, ignored: int) -> bool:
    """Replace the table of a level around a page by one entry, if its entries agree; no flush."""
    tiling, store = map_handle(handle), page_handle(handle)
    below = LEVEL_4K if level == LEVEL_2M else LEVEL_2M
    size, step = (512, 1) if level == LEVEL_2M else (262144, 512)
    first = pfn // size * size
    if boot_made(tiling, first, level):
        return False
    if level == LEVEL_1G:
        for k in range(_ENTRIES):
            if level_of(tiling, first + k * step) != below:
                return False
    elif level_of(tiling, first) != below:
        return False
    # Reading 512 entries under the lock takes about as long as a split takes to write them.
    charge(handle).lock_ns += costs(handle).split_2m - costs(handle).flush_all
    if not _agree(handle, first, step, ignored):
        return False
    if ignored & RESTORED:
        # The new entry is GLOBAL again, for all of its pages alike.
        page = pages(store)
        for k in range(_ENTRIES):
            page[first + k * step].flags &= ~RESTORED
    free_pages(store, cpu, collapse(tiling, first, level), 0)
    return True


@jit
def merge_around(handle: int, cpu: int, pfn: int, ignored: int) -> int:
    """Merge the 2M region around a page, then the 1G region, each if its entries agree; no flush.

    Args:
        ignored: page flags that do not make entries differ: 0, as mainline compares them, or RESTORED.

    Returns:
        Tables replaced: 0, 1 or 2.
    """
    level, made = level_of(map_handle(handle), pfn), 0
    if level == LEVEL_4K:
        if not _merge(handle, cpu, pfn, LEVEL_2M, ignored):
            return 0
        made, level = 1, LEVEL_2M
    if level == LEVEL_2M and _merge(handle, cpu, pfn, LEVEL_1G, ignored):
        made += 1
    return made


@jit
def merge_changed(handle: int, cpu: int, ignored: int) -> int:
    """Merge where entries have been changed since the last time, with a flush of all CPUs for each merge.

    Returns:
        Tables replaced.
    """
    made = 0
    while True:
        region = next_changed(map_handle(handle))
        if region < 0:
            return made
        merged = merge_around(handle, cpu, region << 9, ignored)
        for _ in range(merged):
            flush_kernel(handle, True)
        made += merged


@jit
def merge_chain(handle: int, cpu: int, holder: int, kind: int, ignored: int) -> int:
    """Merge around the blocks of a chain, with one flush of all CPUs for all (`cpa_collapse_large_pages`).

    Returns:
        Tables replaced.
    """
    page, chain = pages(page_handle(handle)), chains(handle)[holder * CHAINS + kind]
    pfn, made, before = chain.head, 0, -1
    for _ in range(chain.blocks):
        if pfn >> 9 != before:
            before = pfn >> 9
            made += merge_around(handle, cpu, pfn, ignored)
        pfn = page[pfn].next
    if made > 0:
        flush_kernel(handle, True)
    return made


@jit
def scan_regions(handle: int, cpu: int, first_region: int, regions: int, end_region: int, ignored: int) -> int:
    """Look at 2M regions from one on, round the end of memory, and merge; one flush of all CPUs if anything was.

    Returns:
        Tables replaced.
    """
    made, tiling = 0, map_handle(handle)
    for k in range(regions):
        pfn = ((first_region + k) % end_region) << 9
        level = level_of(tiling, pfn)
        charge(handle).lock_ns += costs(handle).map_step
        # A region at 2M is looked at only as the first of its 1G region: one try per table.
        if level == LEVEL_4K or (level == LEVEL_2M and pfn & 262143 == 0):
            made += merge_around(handle, cpu, pfn, ignored)
    if made > 0:
        flush_kernel(handle, True)
    return made

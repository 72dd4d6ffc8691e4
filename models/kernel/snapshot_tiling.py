"""The direct map in the state that a snapshot describes: as debugfs shows it, or drawn to fit the counters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.kernel.direct_map import LEVEL_1G, LEVEL_2M, LEVEL_4K, DirectMap
from models.kernel.pages.layout import MOVABLE, Store
from models.kernel.tiling import boot_tiling
from models.machine.machine import Machine
from models.machine.snapshot import Snapshot

__all__ = ["snapshot_direct_map"]

_IMAGE_SPLITS = 4
"""Protecting the kernel image splits up to this many 2M entries at its edges, where no page is ever handed out."""


def snapshot_direct_map(snapshot: Snapshot, machine: Machine, store: Store, random: np.random.Generator) -> DirectMap:
    """Build the direct map; its counters begin with what the machine reports.

    Without page tables to read, the boot's tiling follows from the memory ranges, and the counters say how many entries
    were split since: 1G entries around kernel memory, then 2M entries among the UNMOVABLE pageblocks of 1G regions that
    are split, since what splits (modules, programs, secret pages) is unmovable.
    """
    end_pfn = max(len(store.pages), machine.memory.max_pfn)
    known = snapshot.direct_map
    if known.tiles is not None:
        tiles = [(start, pages, level) for start, pages, level in known.tiles if start < end_pfn]
        direct_map = DirectMap(max(end_pfn, *(start + pages for start, pages, _ in tiles)), tiles)
    else:
        direct_map = DirectMap(end_pfn, _drawn_tiles(snapshot, machine, store, random))
    counters = direct_map.counters[0]
    reported = {
        "pages_4k": _pages(known.kb_4k), "pages_2m": _pages(known.kb_2m), "pages_1g": _pages(known.kb_1g),
        "level2_splits": known.level2_splits, "level3_splits": known.level3_splits,
        "level2_collapses": known.level2_collapses, "level3_collapses": known.level3_collapses,
    }  # fmt: skip
    for name, value in reported.items():
        if value is not None:
            counters[name] = value
    return direct_map


def _pages(kilobytes: int | None) -> int | None:
    return None if kilobytes is None else kilobytes // 4


def _drawn_tiles(
    snapshot: Snapshot, machine: Machine, store: Store, random: np.random.Generator
) -> list[tuple[int, int, int]]:
    boot = machine.boot
    tiling = boot_tiling(
        machine.memory, gbpages=boot.gbpages, debug_pagealloc=boot.maps_4k_only(machine.arch), image=None
    )
    levels = np.zeros((max(tile.start_pfn + tile.pages for tile in tiling.tiles) + 511) >> 9, np.uint8)
    for tile in tiling.tiles:
        first, last = tile.start_pfn >> 9, (tile.start_pfn + tile.pages - 1) >> 9
        levels[first : last + 1] = tile.level
    known = snapshot.direct_map
    if not boot.maps_4k_only(machine.arch):
        unmovable = _unmovable_blocks(store, len(levels))
        giga = (known.level3_splits or 0) - (known.level3_collapses or 0)
        if known.kb_2m is not None and known.kb_4k is not None:
            # More memory at 2M and 4K than the ranges account for: the boot itself left so many regions of 1G at 2M.
            natural = tiling.as_linux_6_1.b2_bytes + tiling.as_linux_6_1.b4_bytes
            giga = max(giga, round(((known.kb_2m + known.kb_4k) * 1024 - natural) / (1 << 30)))
        _split_1g(levels, giga, unmovable, random)
        _split_2m(levels, (known.level2_splits or 0) - (known.level2_collapses or 0), unmovable, random)
    return _tiles(levels)


def _unmovable_blocks(store: Store, regions: int) -> NDArray[np.int64]:
    """2M regions whose pageblock is not movable."""
    shift = int(store.config[0]["pageblock_order"])
    kinds = store.block_types[(np.arange(min(regions, len(store.pages) >> 9)) << 9) >> shift] ^ MOVABLE
    return np.flatnonzero(kinds == 0)


def _split_1g(
    levels: NDArray[np.uint8], number: int, unmovable: NDArray[np.int64], random: np.random.Generator
) -> None:
    """Turn 1G entries to 2M, the likelier the more kernel memory they hold."""
    regions = np.unique(np.flatnonzero(levels == LEVEL_1G) >> 9)
    if number <= 0 or not len(regions):
        return
    weights = np.bincount(unmovable >> 9, minlength=int(regions[-1]) + 1)[regions] + 1e-6
    chosen = random.choice(regions, min(number, len(regions)), replace=False, p=weights / weights.sum())
    for region in chosen.tolist():
        levels[region << 9 : (region + 1) << 9] = LEVEL_2M


def _split_2m(
    levels: NDArray[np.uint8], number: int, unmovable: NDArray[np.int64], random: np.random.Generator
) -> None:
    """Turn 2M entries to 4K: a draw among unmovable pageblocks, then any."""
    left = number - int(random.integers(min(_IMAGE_SPLITS, max(number, 0)) + 1))
    for candidates in (unmovable[levels[unmovable] == LEVEL_2M], np.flatnonzero(levels == LEVEL_2M)):
        chosen = random.permutation(candidates)[: max(0, left)]
        levels[chosen] = LEVEL_4K
        left -= len(chosen)


def _tiles(levels: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    borders = np.flatnonzero(np.diff(levels.astype(np.int8), prepend=-1, append=-1))
    return [
        (first << 9, (end - first) << 9, int(levels[first]))
        for first, end in pairwise(borders.tolist())
        if levels[first]
    ]

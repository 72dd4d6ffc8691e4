"""The exact model: every access of a trace through two TLB levels, compiled. `reference` defines it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import mix
from models.tlb.counts import SIZE_4K_BROKEN, Counts, Tiling
from models.tlb.exact_compiled import invalidate, wipe
from models.tlb.hierarchy import SIZE_CODE, Hierarchy
from models.tlb.stages import ALL, BLOCK, ROWS, run

__all__ = ["ExactTlb"]

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class ExactTlb:
    """Two TLB levels that are fed page numbers.

    Rules: an access looks into the one array of level 1 that may hold its entry, then into that of level 2; a
    miss in both walks the tables and fills both; a level 2 hit fills level 1. Levels are neither inclusive
    nor exclusive. An invalidation drops the entry from both levels and all paging-structure caches (Intel SDM
    vol. 3A, 4.10.4.1). In a virtual machine a walk with g guest and h host references left reads (g+1)(h+1)-1
    table entries.

    Attributes:
        hierarchy: What is modelled.
        counters: Cumulated counts, see `Counts`.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        *,
        seed: int = 0,
        issue_cycles: int = 0,
        walk_start_cycles: int = 0,
        reference_cycles: int = 0,
    ) -> None:
        """Build empty TLBs.

        Args:
            hierarchy: Arrays, walkers, paging-structure caches, host page.
            seed: Key of the random replacement's draws.
            issue_cycles: Cycles between two accesses, for the walkers' accounting.
            walk_start_cycles: Cycles of a walk before its first reference.
            reference_cycles: Cycles per reference. All zero: no accounting of walkers.
        """
        self.hierarchy = hierarchy
        flat = hierarchy.compile()
        self._arrays, self._psc, self._route = flat.arrays, flat.psc, flat.route
        self._state = _aligned(flat.length)
        self._block = _aligned(ROWS * BLOCK).reshape(ROWS, BLOCK)
        self._block[ALL] = np.arange(BLOCK)
        self._free_at = np.zeros(hierarchy.walkers, np.int64)
        self._clock = np.zeros(1, np.int64)
        self._keys = np.array([mix(seed)], np.uint64)
        self._timing = np.array([issue_cycles, walk_start_cycles, reference_cycles], np.int64)
        shift = hierarchy.coalesce_4k.bit_length() - 1
        host = -1 if hierarchy.host_page is None else SIZE_CODE[hierarchy.host_page]
        self._plan = np.array([shift, host], np.int64)
        self._l2_shift, self._l2_size = flat.l2_shift, flat.l2_size
        self.counters = np.zeros(12, np.int64)
        self.flush()

    def run(
        self, pages: npt.ArrayLike, *, tiling: Tiling | None = None, sizes: npt.ArrayLike | None = None
    ) -> Counts:
        """Feed page numbers (address >> 12) and return the counts of this call.

        Args:
            pages: Page numbers, not negative; int64.
            tiling: Sizes by region; or
            sizes: Size code of each access (0 4K, 1 2M, 2 1G, 3 4K in a group that does not coalesce).

        Raises:
            ValueError: Neither or both of ``tiling`` and ``sizes``, or pages that they do not cover.
        """
        numbers = np.ascontiguousarray(pages, np.int64)
        table, codes, broken = _sizes(numbers, tiling, sizes, 1 << int(self._plan[0]))
        before = self.counters.copy()
        run(
            numbers, table, codes, broken, self._arrays, self._psc, self._route, self._l2_shift,
            self._l2_size,
            self._plan, self._timing, self._state, self._keys, self._free_at, self._clock, self.counters,
            self._block,
        )  # fmt: skip
        return Counts.of(self.counters - before)

    def run_stream(self, chunks: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Counts:
        """Feed pairs of pages and size codes until the stream ends; return the counts of all of them."""
        before = self.counters.copy()
        for pages, sizes in chunks:
            self.run(pages, sizes=sizes)
        return Counts.of(self.counters - before)

    @property
    def counts(self) -> Counts:
        """Counts since the beginning."""
        return Counts.of(self.counters)

    def flush(self) -> None:
        """Drop everything, paging-structure caches too."""
        for array in range(len(self._arrays)):
            wipe(array, self._arrays, self._state)

    def invalidate(self, page: int) -> None:
        """Drop the entries of any size that translate ``page``, and the paging-structure caches."""
        invalidate(page, len(self.hierarchy.arrays), int(self._plan[0]), self._arrays, self._state)


def _aligned(length: int) -> Ints:
    """Return zeros that begin where a cache line does: a vector across two lines is slower to read."""
    raw = np.zeros(length + 7, np.int64)
    first = -raw.ctypes.data % 64 // 8
    return raw[first : first + length]


def _sizes(
    pages: Ints, tiling: Tiling | None, sizes: npt.ArrayLike | None, group: int
) -> tuple[Bytes, Bytes, Flags]:
    """Return ``(region table, code per access, broken groups)``, the unused ones empty."""
    if (tiling is None) == (sizes is None):
        raise ValueError("give either tiling or sizes")
    if pages.ndim != 1:
        raise ValueError(f"pages must be one-dimensional, not of shape {pages.shape}")
    lowest, highest = (int(pages.min()), int(pages.max())) if pages.size else (0, 0)
    if lowest < 0:
        raise ValueError(f"page numbers must not be negative, not {lowest}")
    none, unbroken = np.zeros(0, np.uint8), np.zeros(0, np.bool_)
    if tiling is None:
        codes = np.ascontiguousarray(sizes, np.uint8)
        if codes.shape != pages.shape:
            raise ValueError(f"{pages.size} pages need as many sizes, not {codes.size}")
        if codes.max(initial=0) > SIZE_4K_BROKEN:
            raise ValueError(f"size codes are 0 to 3, not {codes.max()}")
        return none, codes, unbroken
    table = np.ascontiguousarray(tiling.region_size, np.uint8)
    if pages.size and highest >> 9 >= table.size:
        raise ValueError(f"page {highest} lies outside the tiling of {table.size} regions")
    if table.max(initial=0) > 2:
        raise ValueError(f"a region's size code is 0 to 2, not {table.max()}")
    if tiling.broken is None:
        return table, none, unbroken
    broken = np.ascontiguousarray(tiling.broken, np.bool_)
    if broken.size * group < table.size * 512:
        raise ValueError(f"{broken.size} groups of {group} pages do not cover {table.size} regions")
    return table, none, broken

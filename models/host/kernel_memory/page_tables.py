"""The kernel's page tables on x86-64: where its direct map is, how it is tiled, and what an address stands for."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.type_info import TypeInfo

__all__ = ["PageTables"]

_PRESENT, _LARGE = 1 << 0, 1 << 7
_FRAME: Final = 0x000F_FFFF_FFFF_F000
_PAGE_SHIFT, _PMD_SHIFT, _PUD_SHIFT, _TABLE_BITS = 12, 21, 30, 9
_ENTRIES: Final = 1 << _TABLE_BITS
_PUD_PAGES, _PMD_PAGES = 1 << 18, 1 << 9
_FOUR_LEVELS: Final = 0xFFFF_8000_0000_0000
"""The kernel's half with four levels of tables; with five it begins lower."""
_MOST_BASES: Final = 1 << 16


class PageTables:
    """The page tables that this thread runs on, of which the kernel's half is everybody's."""

    def __init__(self, memory: KernelMemory, types: TypeInfo) -> None:
        """Find them.

        Raises:
            KernelMemoryError: They do not look as on x86-64.
            TypeInfoError: The kernel has no such structures.
        """
        self._memory = memory
        task = memory.current_task()
        self._top = memory.word(
            memory.word(task + types.offset("task_struct", "active_mm")) + types.offset("mm_struct", "pgd")
        )
        self._top_shift = 39 if self._top >= _FOUR_LEVELS else 48
        self.base = self._find_base()

    def physical(self, address: int) -> int:
        """Return the physical address that a kernel address stands for.

        Raises:
            KernelMemoryError: None.
        """
        found = self._walk(address, self.base)
        if found is None:
            raise KernelMemoryError(f"kernel address {address:#x} is not mapped")
        return found

    def tiles(self, end_pfn: int) -> tuple[tuple[int, int, int], ...]:
        """Return [first pfn, pages, level] of every run of entries of the direct map, ascending.

        Level 1 is 4K, 2 is 2M, 3 is 1G. Pages taken out of a table of 4K entries are entries of it. A 2M or 1G entry
        that is not present is none.

        Args:
            end_pfn: one past the last page frame.
        """
        runs: list[tuple[int, int, int]] = []
        for first in range(0, end_pfn, _PUD_PAGES):
            upper = self._upper_table(self.base + (first << _PAGE_SHIFT))
            entry = 0 if upper is None else int(upper[(self.base >> _PUD_SHIFT) + (first >> 18) & _ENTRIES - 1])
            if not entry & _PRESENT:
                continue
            if entry & _LARGE:
                runs.append((first, _PUD_PAGES, 3))
                continue
            table = self._table(self.base + (entry & _FRAME))
            levels = np.where(table & np.uint64(_LARGE), 2, 1) * (table & np.uint64(_PRESENT)).astype(np.int64)
            edges = np.flatnonzero(np.diff(levels, prepend=0, append=0))
            for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                if levels[start]:
                    runs.append((first + start * _PMD_PAGES, (end - start) * _PMD_PAGES, int(levels[start])))
        return tuple(_joined(runs))

    def _find_base(self) -> int:
        """Find where the direct map begins: the top table lies in it, and must map itself.

        The base is aligned to 1G [arch/x86/mm/kaslr.c].
        """
        for distance in range(_MOST_BASES):
            base = (self._top >> _PUD_SHIFT) - distance << _PUD_SHIFT
            try:
                if self._walk(self._top, base) == self._top - base:
                    return base
            except KernelMemoryError:
                continue
        raise KernelMemoryError("the page tables do not map themselves where x86-64 would (encrypted memory?)")

    def _walk(self, address: int, base: int) -> int | None:
        table, shift = self._top, self._top_shift
        while True:
            entry = self._memory.word(table + 8 * (address >> shift & _ENTRIES - 1))
            if not entry & _PRESENT:
                return None
            if shift == _PAGE_SHIFT or (entry & _LARGE and shift <= _PUD_SHIFT):
                offset = (1 << shift) - 1
                return (entry & _FRAME & ~offset) | (address & offset)
            table, shift = base + (entry & _FRAME), shift - _TABLE_BITS

    def _upper_table(self, address: int) -> NDArray[np.uint64] | None:
        """Return the table of 1G entries that an address is looked up in."""
        table, shift = self._top, self._top_shift
        while shift > _PUD_SHIFT:
            entry = self._memory.word(table + 8 * (address >> shift & _ENTRIES - 1))
            if not entry & _PRESENT:
                return None
            table, shift = self.base + (entry & _FRAME), shift - _TABLE_BITS
        return self._table(table)

    def _table(self, address: int) -> NDArray[np.uint64]:
        return np.frombuffer(self._memory.read(address, 8 * _ENTRIES), np.uint64)


def _joined(runs: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    joined: list[tuple[int, int, int]] = []
    for first, pages, level in runs:
        if joined and joined[-1][2] == level and joined[-1][0] + joined[-1][1] == first:
            joined[-1] = (joined[-1][0], joined[-1][1] + pages, level)
        else:
            joined.append((first, pages, level))
    return joined

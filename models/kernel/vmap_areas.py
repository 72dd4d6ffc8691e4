"""Areas of the kernel's address space that pools take, and give back lazily [6.1 mm/vmalloc.c]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["VmapAreas", "lazy_areas"]

_AREA_PAGES: Final = 2
"""Of an area: one page, and the guard behind it."""
_TABLE_PAGES: Final = 512
_LAZY_PAGES: Final = 8192
"""Pages that may wait, 32 MiB, times the length of the number of CPUs in bits."""
_BOOTS: Final = -1
"""In place of a slab: the object is the boot's."""


def lazy_areas(pages: int, cpus: int) -> int:
    """How many areas of so many pages, the guard included, may wait for a purge (`lazy_max_pages`)."""
    return _LAZY_PAGES * cpus.bit_length() // pages


class VmapAreas:
    """Areas of one size, each with an object of a slab cache.

    The lowest free address is taken. An area that was given back keeps its object, though neighbours that were given
    back become one, and its address is not used again before a purge. That comes when enough pages wait for it: what
    waits becomes one with what is free beside it, and all CPUs are flushed once. (A worker does that in the kernel, a
    little later than here, where the task pays that gives the last area back; areas of other sizes count there too.)
    """

    def __init__(
        self,
        holes: int,
        first_table: int,
        cpus: int,
        take: Callable[[int], int],
        give: Callable[[int, int], None],
        flush: Callable[[], None],
    ) -> None:
        """Start without areas.

        Args:
            holes: areas that fit into holes which the boot left, and so have no neighbours; all others lie side by
                side behind them.
            first_table: which area, counted from 1, is the first that needs a new page table.
            cpus: CPUs of the machine.
            take: takes an object on a CPU, and says from which slab; less than 0: there is no memory.
            give: gives an object of a slab back on a CPU.
            flush: flushes the TLBs of all CPUs.
        """
        self._last_hole = 2 * holes
        self._take, self._give, self._flush = take, give, flush
        self._most_lazy = lazy_areas(_AREA_PAGES, cpus)
        self._next_table = self._last_hole + 1 + first_table - holes
        self._last = 0  # behind it all addresses are free
        self._end_slab = _BOOTS  # of the object of these
        self._slabs: dict[int, int] = {}  # of an area, or of the first one of a run that was given back
        self._begins: dict[int, int] = {}  # of the runs that wait for a purge: first area to last
        self._ends: dict[int, int] = {}  # and last to first
        self._lazy = 0
        self._free: list[tuple[int, int]] = []  # runs after a purge, the lowest last

    @property
    def objects(self) -> int:
        """Objects that areas have, those included that were given back."""
        return len(self._slabs) + (self._end_slab != _BOOTS)

    def take(self, cpu: int) -> int:
        """Take an area; returns its number, which grows with its address, or -1 when there is no memory."""
        slab = self._take(cpu)
        if slab < 0:
            return -1
        area = self._lowest(cpu)
        self._slabs[area] = slab
        return area

    def _lowest(self, cpu: int) -> int:
        if not self._free:
            # Numbers of areas that are no neighbours are none either.
            self._last += 2 if self._last <= self._last_hole else 1
            return self._last
        first, last = self._free.pop()
        if first < last:
            self._free.append((first + 1, last))
            self._slabs[first + 1] = self._slabs.pop(first)
        elif first > self._last_hole:
            self._give(cpu, self._slabs.pop(first))
        return first

    def needs_table(self, area: int) -> bool:
        """Whether an area is the first one of a page table; none is ever given back."""
        return area >= self._next_table

    def note_table(self) -> None:
        """The next page table is there."""
        self._next_table += _TABLE_PAGES // _AREA_PAGES

    def give(self, cpu: int, area: int) -> None:
        """Give an area back (`merge_or_add_vmap_area`)."""
        first = last = area
        slab = self._slabs.pop(area)
        if area + 1 in self._begins:
            last = self._begins.pop(area + 1)
            self._give(cpu, slab)
            slab = self._slabs.pop(area + 1)
        if area - 1 in self._ends:
            first = self._ends.pop(area - 1)
            self._give(cpu, slab)
        else:
            self._slabs[area] = slab
        self._begins[first], self._ends[last] = last, first
        self._lazy += 1
        if self._lazy > self._most_lazy:
            self._purge(cpu)

    def _purge(self, cpu: int) -> None:
        """Make all free that waits, in ascending order (`__purge_vmap_area_lazy`)."""
        self._flush()
        lazy = sorted(self._begins.items())
        self._begins, self._ends, self._lazy = {}, {}, 0
        begins = dict(self._free)
        ends = {last: first for first, last in self._free}
        for run in lazy:
            first, last = run
            slab = self._slabs.pop(first)
            if first <= self._last_hole:
                # What an area leaves of a hole is free all the time, with an object of its own.
                self._give(cpu, slab)
                begins[first], ends[last] = last, first
                continue
            # It becomes one with what is free behind it, and that with what is free before.
            behind = last == self._last
            if behind:
                self._give(cpu, slab)
                slab = self._end_slab
            elif last + 1 in begins:
                self._give(cpu, slab)
                slab = self._slabs.pop(last + 1)
                last = begins.pop(last + 1)
            if first - 1 in ends:
                if slab != _BOOTS:
                    self._give(cpu, slab)
                first = ends.pop(first - 1)
                slab = self._slabs.pop(first)
                del begins[first]
            if behind:
                self._last, self._end_slab = first - 1, slab
            else:
                self._slabs[first], begins[first], ends[last] = slab, last, first
        self._free = sorted(begins.items(), reverse=True)

"""Where a task's mappings lie in its address space, and which of them share a page table [6.1].

Mappings are placed as `mmap` places them: top-down, each in the highest gap that fits. A page table covers 2 MiB, 1 GiB
or 512 GiB; one that a mapping covers only in part is shared with whatever else lies there, and goes when nobody does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

__all__ = ["LEVELS", "MMAP_TOP", "PINNED_TABLE", "SHIFTS", "Areas"]

MMAP_TOP: Final = 0x7FFFF7DFA
"""Page number below which the first mapping ends (no address randomisation) [measured]."""
LEVELS: Final = 3
SHIFTS: Final = (9, 18, 27)
"""log2 of the pages that a table of a level covers: PTE, PMD, PUD."""
PINNED_TABLE: Final = 0
"""Number of the shared table that stands for all that a task has from its birth."""


class Areas:
    """One task's address space.

    Attributes:
        lowest: where its lowest mapping begins.
    """

    def __init__(self, new_number: Callable[[], int], old_number: Callable[[int], None]) -> None:
        """An empty address space.

        Args:
            new_number: gives a number for a shared table, which is not there yet.
            old_number: takes such a number back.
        """
        self.lowest = self._birth = MMAP_TOP
        self._holes: list[tuple[int, int]] = []
        self._shared: dict[tuple[int, int], list[int]] = {}
        self._new_number, self._old_number = new_number, old_number

    def lower(self, pages: int) -> None:
        """Put the highest place for a mapping lower: what lies above has its tables from the start."""
        self.lowest -= pages
        self._birth = self.lowest

    def place(self, pages: int) -> int:
        """Find room for a mapping; returns its first page."""
        holes = self._holes
        for at in range(len(holes) - 1, -1, -1):
            start, end = holes[at]
            if end - start >= pages:
                if end - start == pages:
                    del holes[at]
                else:
                    holes[at] = (start, end - pages)
                return end - pages
        self.lowest -= pages
        return self.lowest

    def occupy(self, start: int, pages: int) -> None:
        """Take the very room that a mapping of another task has, as a fork does."""
        end = start + pages
        if end <= self.lowest:
            if end < self.lowest:
                self._holes.insert(0, (end, self.lowest))
            self.lowest = start
            return
        at = next(at for at, hole in enumerate(self._holes) if hole[0] <= start and end <= hole[1])
        low, high = self._holes.pop(at)
        self._holes[at:at] = [rest for rest in ((low, start), (end, high)) if rest[0] < rest[1]]

    def vacate(self, start: int, pages: int) -> None:
        """Give a mapping's room back."""
        end, holes = start + pages, self._holes
        if start == self.lowest:
            self.lowest = end
            if holes and holes[0][0] == end:
                self.lowest = holes.pop(0)[1]
            return
        at = bisect_left(holes, (start, end))
        if at < len(holes) and holes[at][0] == end:
            end = holes.pop(at)[1]
        if at and holes[at - 1][1] == start:
            start = holes.pop(at - 1)[0]
            at -= 1
        holes.insert(at, (start, end))

    def share(self, start: int, pages: int, *, inside: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Note a mapping with the tables that it covers in part.

        Args:
            start: its first page.
            pages: its length.
            inside: it lies inside a reserved area and covers no table by itself.

        Returns:
            Numbers of the tables at its start and at its end, by level; -1 where it covers the table whole.
        """
        first, last = [], []
        for level, shift in enumerate(SHIFTS):
            size, end = 1 << shift, start + pages
            low, high = start >> shift, (end - 1) >> shift
            in_part = inside or start % size > 0 or (low == high and end % size > 0)
            first.append(self._join(level, low) if in_part else -1)
            if low == high:
                last.append(first[-1])
            else:
                last.append(self._join(level, high) if inside or end % size else -1)
        return tuple(first), tuple(last)

    def _join(self, level: int, unit: int) -> int:
        if unit >= self._birth >> SHIFTS[level]:
            return PINNED_TABLE
        table = self._shared.get((level, unit))
        if table is None:
            table = self._shared[level, unit] = [self._new_number(), 0]
        table[1] += 1
        return table[0]

    def leave(self, start: int, pages: int, first: tuple[int, ...], last: tuple[int, ...]) -> int:
        """Undo `share`.

        Returns:
            Bits of the tables that nobody needs any more: 2 * level for the first, 2 * level + 1 for the last.
        """
        gone = 0
        for level, shift in enumerate(SHIFTS):
            low, high = start >> shift, (start + pages - 1) >> shift
            if first[level] >= 0 and self._leave(level, low):
                gone |= 1 << 2 * level
            if high > low and last[level] >= 0 and self._leave(level, high):
                gone |= 2 << 2 * level
        return gone

    def _leave(self, level: int, unit: int) -> bool:
        table = self._shared.get((level, unit))
        if table is None:
            return False
        table[1] -= 1
        if table[1]:
            return False
        del self._shared[level, unit]
        self._old_number(table[0])
        return True

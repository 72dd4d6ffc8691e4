"""Areas of the kernel's address space that pools take, and give back lazily [6.1 mm/vmalloc.c]."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["VmapAreas"]


class VmapAreas:
    """Areas of one size, each with an object of a slab cache.

    Addresses are not used again before a purge, which comes when 32 MiB of them have been given back. Until then an
    area that was given back keeps its object, but neighbours that were given back become one.
    """

    def __init__(self, holes: int, take: Callable[[int], int], give: Callable[[int, int], None]) -> None:
        """Start without areas.

        Args:
            holes: areas that fit into holes which the boot left, and so have no neighbours; all others lie side by
                side, in the order in which they are taken.
            take: takes an object on a CPU, and says from which slab; less than 0: there is no memory.
            give: gives an object of a slab back on a CPU.
        """
        self._holes, self._take, self._give = holes, take, give
        self._next = 0
        self._slabs: dict[int, int] = {}
        self._begins: dict[int, int] = {}  # of the runs that were given back: first area to last
        self._ends: dict[int, int] = {}  # and last to first

    @property
    def objects(self) -> int:
        """Objects that areas have, those included that were given back."""
        return len(self._slabs)

    def take(self, cpu: int) -> int:
        """Take an area; returns its number, or -1 when there is no memory."""
        slab = self._take(cpu)
        if slab < 0:
            return -1
        self._next += 2 if self._next < 2 * self._holes else 1
        self._slabs[self._next] = slab
        return self._next

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

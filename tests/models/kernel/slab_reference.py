"""A slab cache as SLUB keeps it, in plain Python: what the compiled caches must agree with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["SlabCache"]

_ACTIVE, _CPU_PARTIAL, _NODE_PARTIAL, _FULL = range(4)


@dataclass
class _CpuSlab:
    """What `struct kmem_cache_cpu` holds: the active slab, its lockless free list, the partial list."""

    slab: int = -1
    free_objects: int = 0
    partial: list[int] = field(default_factory=list)


class SlabCache:
    """One `kmem_cache`: which slab the next object comes from, and when a slab page is taken or given back.

    Objects have no identity beyond the slab that they lie in, so the whole state is counts: objects in use
    per slab, and where it is (active on a CPU, on a CPU's or the node's partial list, full and on none).
    The rules are those of `___slab_alloc` and `__slab_free` in 6.1 with per-CPU partial lists and one node.

    Args:
        objects_per_slab: Objects in one slab, at least 1.
        min_partial: Slabs on the node's partial list from which on an empty slab is given back.
        cpu_partial_slabs: Slabs on a CPU's partial list from which on that list is handed to the node.
        cpus: Number of CPUs, at least 1.

    Raises:
        ValueError: If a count is out of range.
    """

    def __init__(
        self, objects_per_slab: int, min_partial: int, cpu_partial_slabs: int, cpus: int = 1
    ) -> None:
        for name, value, least in (
            ("objects_per_slab", objects_per_slab, 1),
            ("min_partial", min_partial, 0),
            ("cpu_partial_slabs", cpu_partial_slabs, 1),
            ("cpus", cpus, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        self.objects_per_slab = objects_per_slab
        self.min_partial = min_partial
        self.cpu_partial_slabs = cpu_partial_slabs
        self._in_use: list[int] = []
        self._where: list[int] = []
        self._unused_ids: list[int] = []
        self._cpus = [_CpuSlab() for _ in range(cpus)]
        self._node_partial: deque[int] = deque()
        self.slabs = 0
        self.objects = 0

    def prime(self, free_objects: int, cpu: int = 0) -> list[int]:
        """Starts the cache with slabs of the boot that leave `free_objects` before a new slab is taken.

        Returns:
            The slabs made: the active one, and those on the CPU's partial list that hold what it cannot.
        """
        if free_objects < 0:
            raise ValueError(f"free_objects must not be negative, not {free_objects}")
        made: list[int] = []
        rest = free_objects
        state = self._cpus[cpu]
        while rest > 0:
            here = min(rest, self.objects_per_slab)
            slab = self._new_slab()
            self._in_use[slab] = self.objects_per_slab - here
            self.objects += self._in_use[slab]
            if not made:
                self._where[slab], state.slab, state.free_objects = _ACTIVE, slab, here
            else:
                self._where[slab] = _NODE_PARTIAL
                self._node_partial.append(slab)
            made.append(slab)
            rest -= here
        return made

    def take(self, cpu: int = 0) -> tuple[int, bool]:
        """Takes one object on a CPU.

        Returns:
            The slab that it lies in, and whether that slab is new and needs pages.
        """
        state = self._cpus[cpu]
        self.objects += 1
        is_new = False
        if state.free_objects == 0:
            is_new = self._refill(state)
        state.free_objects -= 1
        self._in_use[state.slab] += 1
        return state.slab, is_new

    def give(self, slab: int, cpu: int = 0) -> list[int]:
        """Gives one object back on a CPU.

        Returns:
            The slabs that go back to the page allocator because of it, in the order in which they go.

        Raises:
            ValueError: If the slab holds no object in use.
        """
        if not 0 <= slab < len(self._in_use) or self._in_use[slab] <= 0:
            raise ValueError(f"slab {slab} holds no object in use")
        state = self._cpus[cpu]
        self._in_use[slab] -= 1
        self.objects -= 1
        if slab == state.slab:
            state.free_objects += 1
            return []
        where = self._where[slab]
        if where == _FULL:
            return self._put_cpu_partial(state, slab)
        if where == _NODE_PARTIAL and self._in_use[slab] == 0 and len(self._node_partial) >= self.min_partial:
            self._node_partial.remove(slab)
            self._drop(slab)
            return [slab]
        return []

    def _refill(self, state: _CpuSlab) -> bool:
        """Gives a CPU an active slab with free objects; says whether it is a new one."""
        if state.slab >= 0:
            state.free_objects = self.objects_per_slab - self._in_use[state.slab]
            if state.free_objects:
                return False
            self._where[state.slab] = _FULL
            state.slab = -1
        if state.partial:
            self._activate(state, state.partial.pop())
            return False
        if self._node_partial:
            self._activate(state, self._node_partial.popleft())
            moved = 0
            while self._node_partial and moved <= self.cpu_partial_slabs // 2:
                slab = self._node_partial.popleft()
                self._where[slab] = _CPU_PARTIAL
                state.partial.append(slab)
                moved += 1
            return False
        self._activate(state, self._new_slab())
        return True

    def _activate(self, state: _CpuSlab, slab: int) -> None:
        self._where[slab] = _ACTIVE
        state.slab = slab
        state.free_objects = self.objects_per_slab - self._in_use[slab]

    def _put_cpu_partial(self, state: _CpuSlab, slab: int) -> list[int]:
        """Puts a slab that was full on the CPU's partial list; the node gets that list when it is long."""
        released: list[int] = []
        if len(state.partial) >= self.cpu_partial_slabs:
            handed, state.partial = state.partial, []
            for other in reversed(handed):
                if self._in_use[other] == 0 and len(self._node_partial) >= self.min_partial:
                    released.insert(0, other)
                    self._drop(other)
                else:
                    self._where[other] = _NODE_PARTIAL
                    self._node_partial.append(other)
        self._where[slab] = _CPU_PARTIAL
        state.partial.append(slab)
        return released

    def _new_slab(self) -> int:
        self.slabs += 1
        if self._unused_ids:
            return self._unused_ids.pop()
        self._in_use.append(0)
        self._where.append(_FULL)
        return len(self._in_use) - 1

    def _drop(self, slab: int) -> None:
        self.slabs -= 1
        self._where[slab] = _FULL
        self._unused_ids.append(slab)

"""Vmas of ordinary memory: neighbours are one, a hole makes two, and no object is kept that none needs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.entities import Mapping, Task
from models.kernel.kernel import Kernel
from models.kernel.limits import UNLIMITED, User
from models.kernel.mapping_tree import MappingTree
from models.kernel.mapping_tree_nodes import LEAF_SLOTS
from tests.models.kernel.machines import boot

_OBJECTS = ("vm_area_struct", "anon_vma_chain", "anon_vma")


class Memory:
    """A task whose tree of mappings is followed."""

    def __init__(self) -> None:
        self.kernel: Kernel = boot({"memory": 256 << 20, "cpus": 1})
        self.task: Task = self.kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
        self.task.tree = MappingTree((), -1)
        self._before = [self._in_use(name) for name in _OBJECTS]

    def _in_use(self, name: str) -> int:
        return int(self.kernel.state.caches[self.kernel.programs.caches[name]]["objects"])

    @property
    def objects(self) -> list[int]:
        """Vmas, chains and anon_vmas that the kernel keeps; the first two caches have other objects, too."""
        return [self._in_use(name) - before for name, before in zip(_OBJECTS, self._before, strict=True)]

    @property
    def vmas(self) -> list[tuple[int, int]]:
        """First pages and ends."""
        return [(vma.start, vma.end) for vma in self.task.vmas]

    @property
    def tree(self) -> list[tuple[int, int]]:
        """First pages and ends of what the tree has, which is one leaf."""
        assert self.task.tree is not None
        assert self.task.tree.height == 1
        arrays, found, page = self.task.tree.arrays, list[tuple[int, int]](), 0
        root = int(arrays.tree[0]["root"])
        own = slice(root * LEAF_SLOTS, root * LEAF_SLOTS + int(arrays.nodes[root]["count"]))
        for end, item in zip(arrays.ends[own].tolist(), arrays.items[own].tolist(), strict=True):
            found += [(page, end + 1)] if item else []
            page = end + 1
        return found

    def map(self, pages: int) -> Mapping:
        """Map ordinary memory below what is mapped, or in the highest hole that is large enough."""
        return self.kernel.map_ordinary(self.task, pages)

    def unmap(self, mapping: Mapping) -> None:
        self.kernel.munmap(self.task, mapping, 0)


def test_neighbours_are_one() -> None:
    """Mappings side by side have one vma, one chain and one anon_vma."""
    memory = Memory()
    maps = [memory.map(3) for _ in range(3)]
    assert memory.vmas == memory.tree == [(maps[2].start, maps[0].start + 3)]
    assert memory.objects == [1, 1, 1]


def test_a_hole_makes_two_of_one_which_join_again() -> None:
    """They have an anon_vma in common, since they began as one."""
    memory = Memory()
    maps = [memory.map(3) for _ in range(3)]
    memory.unmap(maps[1])
    assert memory.vmas == memory.tree == [(maps[2].start, maps[2].start + 3), (maps[0].start, maps[0].start + 3)]
    assert memory.objects == [2, 2, 1]
    assert memory.map(3).start == maps[1].start
    assert memory.vmas == memory.tree == [(maps[2].start, maps[0].start + 3)]
    assert memory.objects == [1, 1, 1]


def test_strangers_stay_apart() -> None:
    """What fills the gap between two that began apart joins the one above it, and the two do not become one."""
    memory = Memory()
    kernel, task = memory.kernel, memory.task
    above = memory.map(2)
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 4)
    between = kernel.mmap(task, file, 4, 0)
    below = memory.map(2)
    assert len(memory.vmas) == 2
    assert memory.objects[2] == 2
    kernel.munmap(task, between, 0)
    filled = memory.map(4)
    assert filled.start == between.start
    assert memory.vmas == [(below.start, below.start + 2), (filled.start, above.start + 2)]
    assert memory.objects[2] == 2


@pytest.mark.parametrize("at", [0, 2])
def test_an_edge_is_cut_off(at: int) -> None:
    """One vma is left, shorter."""
    memory = Memory()
    maps = [memory.map(3) for _ in range(3)]
    memory.unmap(maps.pop(at))
    assert memory.vmas == memory.tree == [(maps[1].start, maps[0].start + 3)]
    assert memory.objects == [1, 1, 1]


def test_a_vma_from_before_grows_and_has_no_objects_that_are_known() -> None:
    """Those are the boot's: what joins it takes nothing, and what is cut out of it takes one vma more."""
    memory = Memory()
    memory.task.areas.lower(10)
    memory.kernel.know_vma(memory.task, memory.task.areas.lowest, memory.task.areas.lowest + 10)
    maps = [memory.map(2) for _ in range(3)]
    assert len(memory.vmas) == 1
    assert memory.objects == [0, 0, 0]
    memory.unmap(maps[1])
    assert len(memory.vmas) == 2
    assert memory.objects == [1, 1, 0]


def test_exit_keeps_nothing() -> None:
    """Objects of all vmas go with the task."""
    memory = Memory()
    maps = [memory.map(3) for _ in range(3)]
    memory.unmap(maps[1])
    assert memory.objects == [2, 2, 1]
    memory.kernel.exit(memory.task, 0)
    memory.kernel.run_deferred(1 << 40)
    assert memory.objects[2] <= 0
    assert not memory.task.vmas


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=5, max_size=60))
def test_vmas_cover_what_is_mapped(steps: list[tuple[bool, int]]) -> None:
    """All of it once, in order, without one that a neighbour of the same anon_vma goes on from; objects as many."""
    memory, maps = Memory(), list[Mapping]()
    for maps_more, number in steps:
        if maps_more or not maps:
            maps.append(memory.map(1 + number % 4))
        else:
            memory.unmap(maps.pop(number % len(maps)))
        vmas = memory.task.vmas
        covered = [page for vma in vmas for page in range(vma.start, vma.end)]
        assert covered == sorted(page for one in maps for page in range(one.start, one.start + one.pages))
        for one, other in pairwise(vmas):
            assert one.end < other.start or one.anon_vma is not other.anon_vma
        assert memory.objects == [len(vmas), len(vmas), len({vma.anon_vma for vma in vmas})]
    for mapping in maps:
        memory.unmap(mapping)
    assert memory.objects == [0, 0, 0]

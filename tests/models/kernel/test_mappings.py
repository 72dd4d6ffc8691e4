"""Mappings beside each other and inside a reserved area: the tree of mappings keeps no node that it does not need."""

from __future__ import annotations

import pytest

from models.kernel.address_space import ALL_BATCHES
from models.kernel.entities import Task
from models.kernel.kernel import Kernel
from models.kernel.limits import UNLIMITED, User
from models.kernel.mapping_tree import MappingTree
from tests.models.kernel.machines import boot, elements

_LATER_NS = 1 << 40
_FILES = 200


def started() -> tuple[Kernel, Task]:
    """A kernel and a task whose tree of mappings is counted node by node."""
    kernel = boot({"memory": 256 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    task.tree = MappingTree(((0x400, 0x4E0),), -1)
    return kernel, task


def nodes_in_use(kernel: Kernel, files: int) -> int:
    """Nodes that are not waiting for a grace period; files lie in the same slab cache."""
    kernel.run_deferred(_LATER_NS)
    return int(kernel.state.caches[kernel.programs.caches["maple_node"]]["objects"]) - files


@pytest.mark.parametrize("reserved", [False, True])
def test_a_tree_of_many_mappings_keeps_as_many_nodes_as_it_needs(reserved: bool) -> None:
    """What is set aside for a change goes back, replaced nodes go after a grace period: leaves end up well filled."""
    kernel, task = started()
    before = nodes_in_use(kernel, 0)
    area = kernel.reserve(task, _FILES, 0) if reserved else None
    for _ in range(_FILES):
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 1)
        kernel.mmap(task, file, 1, 0, within=area)
    assert _FILES / 16 <= nodes_in_use(kernel, _FILES) - before <= _FILES / 5


def test_a_reserved_area_is_used_up_to_its_last_page() -> None:
    """The last file takes the place of all that is left: the tree keeps its height, and no node is lost."""
    kernel, task = started()
    area = kernel.reserve(task, 2, 0)
    heights = []
    for _ in range(2):
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 1)
        kernel.mmap(task, file, 1, 0, within=area)
        assert task.tree is not None
        heights.append(task.tree.height)
    assert heights == [1, 1]


def lists_after(pages: int, *, in_parts: bool, secret: bool) -> tuple[list[list[int]], int]:
    """Free lists once memory has been given back, at once or part by part, and the number of parts."""
    kernel, task = started()
    if secret:
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, pages)
        mapping = kernel.mmap(task, file, pages, 0)
        kernel.fault(task, mapping, 0, pages)
        kernel.munmap(task, mapping, 0)
        parts = 0
        while in_parts and kernel.truncates(file, 0):
            parts += 1
        kernel.close(task, file, 0)
    else:
        mapping = kernel.ordinary(task)
        kernel.touch(task, 0, pages)
        parts = sum(1 for _ in kernel.munmap_parts(task, mapping, 0, 1 if in_parts else ALL_BATCHES))
    return [elements(kernel.store, index) for index in range(len(kernel.store.lists))], parts


@pytest.mark.parametrize(("secret", "pages", "parts"), [(True, 100, 6), (False, 100, 2), (False, 1200, 4)])
def test_what_is_given_back_part_by_part_is_the_same(secret: bool, pages: int, parts: int) -> None:
    """The kernel may give way after each pagevec of a truncation but the last, and each batch of an unmapping."""
    in_parts, count = lists_after(pages, in_parts=True, secret=secret)
    assert count == parts
    assert in_parts == lists_after(pages, in_parts=False, secret=secret)[0]

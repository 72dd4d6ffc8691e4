"""Mappings beside each other and inside a reserved area: the tree of mappings keeps no node that it does not need."""

from __future__ import annotations

import pytest

from models.kernel.entities import Task
from models.kernel.kernel import Kernel
from models.kernel.limits import UNLIMITED, User
from models.kernel.mapping_tree import MappingTree
from tests.models.kernel.machines import boot

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

"""Plain tasks in compiled code against the kernel's face: the same steps leave the same state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.kernel.kernel import Kernel
from models.kernel.limits import Group, User
from models.kernel.plain_tasks import PLAN, end_task, fork_task, map_file, open_file, plan, reap_task, touch_file
from tests.models.kernel.machines import boot, check_pages
from tests.models.kernel.ownership import check_owners

MACHINE = {"memory": "256MiB", "cpus": 2}


def record(kernel: Kernel, fields: dict[str, Any]) -> Any:
    """Plain children's common record."""
    shared = np.zeros(1, PLAN)
    for name, value in fields.items():
        shared[0][name] = value
    return shared[0]


def test_a_plain_life_is_any_life() -> None:
    """Twenty children fork off, get a page each and end in another order: same owners, same slabs, same numbers."""
    by_face, compiled = boot(MACHINE), boot(MACHINE)
    one, other = by_face.first_task(User("a")), compiled.first_task(User("a"))
    fields = plan(compiled, other)
    assert fields is not None
    shared, handle = record(compiled, fields), compiled.handle
    lives: list[tuple[Any, Any, tuple[int, int, int]]] = []
    for number in range(20):
        cpu, by_face.now_ns = number % 2, number
        child = by_face.fork(one, cpu)
        by_face.start(child, cpu)
        file = by_face.memfd_secret(child, cpu)
        by_face.ftruncate(file, 1)
        mapping = by_face.mmap(child, file, 1, cpu)
        assert by_face.fault(child, mapping, cpu).done == 1
        task = fork_task(handle, shared, cpu, 0, number)
        inode = open_file(handle, shared, cpu, 0, task, number)
        area = map_file(handle, shared, cpu, 0, task, number)
        touch_file(handle, shared, cpu, 0, inode, area)
        lives.append((child, mapping, (task, inode, area)))
        assert (child.holder, file.holder, mapping.holder) == (task, inode, area)
        assert by_face.state_digest() == compiled.state_digest()
    for at in (*range(0, 20, 2), *range(1, 20, 2)):
        child, _, (task, inode, area) = lives[at]
        cpu = at % 3 % 2
        by_face.now_ns = 100 + at
        by_face.exit(child, cpu)
        by_face.reap(child, cpu)
        end_task(handle, shared, cpu, 0, task, inode, area, 100 + at)
        reap_task(handle, shared, cpu, 0, task, 100 + at)
        assert by_face.state_digest() == compiled.state_digest()
        assert by_face.open_files == compiled.open_files
    for kernel in (by_face, compiled):
        kernel.run_deferred(1 << 60)
        check_pages(kernel.store)
    assert by_face.state_digest() == compiled.state_digest()
    assert int(by_face.state.counts["tasks_alive"][0]) == int(compiled.state.counts["tasks_alive"][0]) == 1


def test_what_a_plain_task_holds_is_accounted_for() -> None:
    """Adopted by the kernel's face, a child has what compiled code gave it, and its end gives all of it back."""
    kernel = boot(MACHINE)
    parent = kernel.first_task(User("a"))
    fields = plan(kernel, parent)
    assert fields is not None
    shared = record(kernel, fields)
    before = kernel.state_digest()
    task = fork_task(kernel.handle, shared, 0, 0, 0)
    file = open_file(kernel.handle, shared, 0, 0, task, 0)
    area = map_file(kernel.handle, shared, 0, 0, task, 0)
    touch_file(kernel.handle, shared, 0, 0, file, area)
    parent.user.processes += 1
    parent.user.charge(1)
    child = kernel.adopt(parent, task, file, area, 1)
    check_owners(kernel, check_pages(kernel.store))
    assert kernel.held_pages(child) == child.locked_pages == 1
    kernel.exit(child, 0)
    kernel.reap(child, 0)
    kernel.run_deferred(1 << 60)
    assert parent.user.processes == 1
    assert parent.user.secret_pages == 0
    assert kernel.state_digest() != before  # the parent copied pages, and the map stays split
    check_owners(kernel, check_pages(kernel.store))


@pytest.mark.parametrize(
    ("why", "settings", "user"),
    [
        ("a group", {}, User("a", group=Group("g"))),
        ("accounting by user", {"secretmem": {"accounting": "per_user"}}, User("a")),
        ("a cap", {"secretmem": {"global_limit": "1MiB"}}, User("a")),
        ("a pool", {"secretmem": {"policy": "pmd_pool"}}, User("a")),
        ("merging", {"merging": "on_free"}, User("a")),
        ("no descriptors", {}, User("a", files_max=0)),
        ("no locked memory", {}, User("a", memlock_pages=0)),
        ("another workload's limits", {}, User("a", workloads=2)),
    ],
)
def test_whoever_has_limits_is_no_plain_task(why: str, settings: dict[str, Any], user: User) -> None:
    """Where a limit, a group or a policy has a say in every step, the kernel's face takes the steps."""
    kernel = boot(MACHINE, settings)
    assert plan(kernel, kernel.first_task(user)) is None, why


def test_what_children_inherit_is_not_plain() -> None:
    """A parent with secret files or shared mappings has children that hold more than their own page."""
    kernel = boot(MACHINE)
    parent = kernel.first_task(User("a"))
    file = kernel.memfd_secret(parent, 0)
    assert plan(kernel, parent) is None
    kernel.close(parent, file, 0)
    assert plan(kernel, parent) is not None
    kernel.map_shared(parent, 1)
    assert plan(kernel, parent) is None

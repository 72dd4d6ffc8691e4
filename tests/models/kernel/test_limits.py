"""Limits on secret memory, each with every policy: per process, per user, per group, machine-wide."""

from __future__ import annotations

from typing import Any

import pytest

from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.limits import Group
from tests.models.kernel.secret_steps import absent_pages, let_go, open_file, secret_kernel, task_of, touch

POLICIES: list[tuple[str, dict[str, Any]]] = [
    ("page", {}),
    ("pmd_pool", {}),
    ("pmd_pool_fallback", {}),
    ("boot_reserve", {"reserve": "256MiB"}),
    ("cma", {"reserve": "256MiB"}),
    ("unmapped_cache", {}),
]
each_policy = pytest.mark.parametrize(("policy", "options"), POLICIES, ids=[name for name, _ in POLICIES])


@each_policy
def test_per_mm_refuses_the_mapping_by_its_length(policy: str, options: dict[str, Any]) -> None:
    """EAGAIN at mmap, whether or not a page was ever touched; munmap gives the budget back."""
    kernel = secret_kernel(policy, options)
    task = task_of(kernel, memlock_pages=16)
    _, mapping = open_file(kernel, task, 10)
    with pytest.raises(KernelRefusal, match="EAGAIN"):
        open_file(kernel, task, 7)
    open_file(kernel, task, 6)
    kernel.munmap(task, mapping, 0)
    open_file(kernel, task, 10)


@each_policy
def test_per_mm_touch_unmap_keep_the_file(policy: str, options: dict[str, Any]) -> None:
    """The escape: the pages stay with the file, the budget returns, so a process is unbounded."""
    kernel = secret_kernel(policy, options)
    task = task_of(kernel, memlock_pages=4)
    for number in range(1, 9):
        _, mapping, got = touch(kernel, task, 4)
        assert got.result is FaultResult.DONE
        kernel.munmap(task, mapping, 0)
        assert task.user.secret_pages == 4 * number


@each_policy
def test_per_user_holds_a_user_at_the_fault(policy: str, options: dict[str, Any]) -> None:
    """No check at mmap; SIGBUS at the page over the limit, whichever file and process; given back at the release."""
    kernel = secret_kernel(policy, options, secretmem={"accounting": "per_user"})
    first = task_of(kernel, memlock_pages=10)
    second = kernel.fork(first, 0)
    file, mapping, got = touch(kernel, first, 6, 1000)
    assert got.result is FaultResult.DONE
    _, _, got = touch(kernel, second, 6)
    assert (got.done, got.result) == (4, FaultResult.SIGBUS)
    kernel.munmap(first, mapping, 0)
    assert touch(kernel, second, 1)[2].result is FaultResult.SIGBUS
    kernel.close(first, file, 0)
    assert touch(kernel, second, 6)[2].result is FaultResult.DONE


def test_per_user_holds_every_user_apart() -> None:
    """Many users at once: each has a budget of its own."""
    kernel = secret_kernel("page", secretmem={"accounting": "per_user"})
    tasks = [task_of(kernel, f"user{number}", memlock_pages=10 + number) for number in range(20)]
    got = [touch(kernel, task, 100)[2] for task in tasks]
    assert [faults.done for faults in got] == [10 + number for number in range(20)]
    assert {faults.result for faults in got} == {FaultResult.SIGBUS}
    assert len(absent_pages(kernel)) == sum(range(10, 30))


def test_cap_ipc_lock_lifts_per_mm_and_not_per_user() -> None:
    """Root is exempt under `per_mm` only."""
    kernel = secret_kernel("page")
    assert touch(kernel, task_of(kernel, memlock_pages=1, cap_ipc_lock=True), 50)[2].done == 50
    kernel = secret_kernel("page", secretmem={"accounting": "per_user"})
    got = touch(kernel, task_of(kernel, memlock_pages=1, cap_ipc_lock=True), 50)[2]
    assert (got.done, got.result) == (1, FaultResult.SIGBUS)


def test_a_child_has_a_new_budget_under_per_mm_only() -> None:
    """Its locked memory starts at 0, its inherited mappings are not locked."""
    kernel = secret_kernel("page")
    parent = task_of(kernel, memlock_pages=4)
    open_file(kernel, parent, 4)
    child = kernel.fork(parent, 0)
    assert child.locked_pages == 0
    assert not any(mapping.locked for mapping in child.mappings)
    open_file(kernel, child, 4)
    kernel = secret_kernel("page", secretmem={"accounting": "per_user"})
    parent = task_of(kernel, memlock_pages=4)
    _, mapping, _ = touch(kernel, parent, 4)
    assert not mapping.locked
    assert touch(kernel, kernel.fork(parent, 0), 1)[2].result is FaultResult.SIGBUS


@each_policy
def test_global_cap_in_the_system_call(policy: str, options: dict[str, Any]) -> None:
    """ENOMEM from memfd_secret once all secret pages of the machine reach the cap, whoever has them."""
    kernel = secret_kernel(policy, options, secretmem={"global_limit": "40KiB"})
    for number in range(10):
        touch(kernel, task_of(kernel, f"user{number}"), 1)
    with pytest.raises(KernelRefusal, match="ENOMEM"):
        kernel.memfd_secret(task_of(kernel, "late"), 0)


def test_global_cap_holds_open_files_only_when_checked_at_the_fault() -> None:
    """A file opened in time grows past a cap that only the system call knows."""
    done = {}
    for at_fault in (True, False):
        kernel = secret_kernel("page", secretmem={"global_limit": "40KiB", "global_limit_at_fault": at_fault})
        got = touch(kernel, task_of(kernel), 100)[2]
        done[at_fault] = (got.done, got.result)
    assert done == {True: (10, FaultResult.SIGBUS), False: (100, FaultResult.DONE)}


def test_global_cap_is_free_again_after_the_release() -> None:
    """The cap counts what there is, not what there was."""
    kernel = secret_kernel("page", secretmem={"global_limit": "40KiB"})
    task = task_of(kernel)
    file, mapping, _ = touch(kernel, task, 10)
    let_go(kernel, task, file, mapping)
    assert touch(kernel, task, 10)[2].result is FaultResult.DONE


def test_groups_nest() -> None:
    """A page counts for its group and for all around it; the nearest full one refuses and is told of it."""
    kernel = secret_kernel("page")
    outer = Group("outer", 15)
    left, right = Group("left", 10, outer), Group("right", 10, outer)
    assert touch(kernel, task_of(kernel, "l", group=left), 100)[2].done == 10
    got = touch(kernel, task_of(kernel, "r", group=right), 100)[2]
    assert (got.done, got.result) == (5, FaultResult.GROUP_OOM)
    assert (left.pages, right.pages, outer.pages, outer.peak_pages) == (10, 5, 15, 15)
    assert left.over_limit() is left
    assert right.over_limit() is outer
    assert left.lies_in(outer)
    assert not left.lies_in(right)


def test_group_is_charged_for_ordinary_pages_and_page_tables() -> None:
    """The adversary's filler counts too, unless kernel memory is not accounted for."""
    for kernel_memory, tables in ((True, 10), (False, 40)):
        kernel = secret_kernel("page", kernel_memory=kernel_memory)
        group = Group("g", 30)
        task = task_of(kernel, group=group)
        assert kernel.touch(task, 0, 20).done == 20
        mapping = kernel.map_ordinary(task, 1 << 20)
        room = kernel.ordinary_room_pages(task, 40, tables=True)
        assert room == tables
        kernel.charge_ordinary(task, mapping, room, tables=True)
        assert group.pages == (30 if kernel_memory else 20)
        assert kernel.touch(task, 0, 100).result is FaultResult.GROUP_OOM
        kernel.exit(task, 0)
        kernel.reap(task, 0)
        assert group.pages == 0


def test_group_without_room_for_a_task_refuses_the_fork() -> None:
    """A task's stack, page tables and copied pages count; ENOMEM when they do not fit, and all comes back."""
    kernel = secret_kernel("page")
    group = Group("g", 100)
    parent, children = task_of(kernel, group=group), []
    unmovable, movable = kernel.task_pages
    for _ in range(100 // (unmovable + movable)):
        children.append(kernel.fork(parent, 0))
    with pytest.raises(KernelRefusal, match="ENOMEM"):
        kernel.fork(parent, 0)
    assert 1 < len(children) <= 100 // 10
    assert group.pages <= 100
    for child in children:
        kernel.exit(child, 0)
        kernel.reap(child, 0)
    assert group.pages == 0


def test_rlimit_nproc() -> None:
    """EAGAIN at fork, per user."""
    kernel = secret_kernel("page")
    parent = task_of(kernel, processes_max=3)
    kernel.fork(parent, 0)
    child = kernel.fork(parent, 0)
    with pytest.raises(KernelRefusal, match="EAGAIN"):
        kernel.fork(parent, 0)
    kernel.exit(child, 0)
    kernel.reap(child, 0)
    kernel.fork(parent, 0)


def test_rlimit_nofile() -> None:
    """EMFILE at memfd_secret, per process."""
    kernel = secret_kernel("page")
    task = task_of(kernel, files_max=2)
    file = kernel.memfd_secret(task, 0)
    kernel.memfd_secret(task, 0)
    with pytest.raises(KernelRefusal, match="EMFILE"):
        kernel.memfd_secret(task, 0)
    kernel.close(task, file, 0)
    kernel.memfd_secret(task, 0)


def test_refusals_are_counted_by_name() -> None:
    """Summaries tell how often each error was given."""
    kernel = secret_kernel("page")
    task = task_of(kernel, memlock_pages=1)
    for _ in range(3):
        with pytest.raises(KernelRefusal):
            open_file(kernel, task, 2)
    assert kernel.limits.refusals == {"EAGAIN": 3}

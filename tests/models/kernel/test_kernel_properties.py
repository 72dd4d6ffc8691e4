"""Whatever tasks do, in whatever order: the books of pages and of the direct map stay right, after every step."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from models.kernel.chains import take
from models.kernel.direct_map import change_presence
from models.kernel.entities import Task
from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.limits import User
from models.kernel.pages.allocator import free_pages
from models.kernel.records import MAP_TABLE
from models.kernel.secret_pages import remove_range
from tests.models.kernel.machines import MapIdentity, absent_pages, boot, check_pages
from tests.models.kernel.ownership import check_owners

CPUS = st.integers(0, 1)
MAX_FORKS = 39
"""Below the first fork at which the kernel takes a page for itself, which no holder has."""


A_SECOND_NS = 1_000_000_000
"""More than any release takes: what a pool's file gives back waits from the end of its release on."""


class KernelMachine(RuleBasedStateMachine):
    """Random mixes of system calls, faults and plain allocations on a machine of 40 MiB."""

    policy: ClassVar[dict[str, Any]] = {"policy": "page"}
    machine: ClassVar[dict[str, Any]] = {"memory": "40MiB", "cpus": 2}

    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.kernel = boot(self.machine, {"secretmem": self.policy})
        self.identity = MapIdentity(self.kernel.state.direct_map)
        self.objects = int(self.kernel.state.caches["objects"].sum())
        self.held: set[int] = set()
        self.forks = 0
        self.zombies: list[Task] = []
        user = User("user", memlock_pages=1024, files_max=8, processes_max=12)
        self.tasks = [self.kernel.first_task(user)]

    def task(self, choice: int) -> Task:
        return self.tasks[choice % len(self.tasks)]

    @rule(target=blocks, cpu=CPUS, order=st.integers(0, 10), migratetype=st.integers(0, 2))
    def allocate(self, cpu: int, order: int, migratetype: int) -> Any:
        """Take a block, as some driver would."""
        pfn = int(take(self.kernel.handle, cpu, self.kernel.node_of[cpu], order, migratetype))
        if pfn < 0:
            return multiple()
        self.held.add(pfn)
        return pfn, order

    @rule(cpu=CPUS, block=consumes(blocks))
    def free(self, cpu: int, block: tuple[int, int]) -> None:
        """Give it back, perhaps on another CPU."""
        self.held.remove(block[0])
        free_pages(self.kernel.store.handle, cpu, *block)

    @rule(cpu=CPUS, block=blocks, part=st.integers(0, 10))
    def split(self, cpu: int, block: tuple[int, int], part: int) -> None:
        """Take part of a block out of the direct map and put it back."""
        pfn, order = block
        kernel, count = self.kernel, 1 << min(part, order)
        before = kernel.split_count()
        made = int(remove_range(kernel.handle, cpu, kernel.node_of[cpu], pfn, count))
        if made >= 0:
            assert kernel.split_count() == before + made
            assert absent_pages(kernel.store) == self.unmapped()
            change_presence(kernel.state.direct_map.handle, kernel.store.handle, pfn, count, True)

    @precondition(lambda self: self.tasks and self.forks < MAX_FORKS)
    @rule(cpu=CPUS, choice=st.integers(0, 11))
    def fork(self, cpu: int, choice: int) -> None:
        """Fork, up to the limit of processes or of memory."""
        parent = self.task(choice)
        self.forks += 1
        try:
            child = self.kernel.fork(parent, cpu)
        except KernelRefusal as refusal:
            assert refusal.name in {"EAGAIN", "ENOMEM"}  # noqa: PT017 - one of two answers, or none
            return
        self.kernel.start(child, cpu)
        assert child.locked_pages == 0
        assert [m.file for m in child.mappings] == [m.file for m in parent.mappings if m.file]
        self.tasks.append(child)

    @precondition(lambda self: len(self.tasks) > 1)
    @rule(cpu=CPUS, choice=st.integers(0, 11))
    def exit(self, cpu: int, choice: int) -> None:
        """End a task, whatever it has open and mapped."""
        task = self.task(choice)
        self.tasks.remove(task)
        self.kernel.exit(task, cpu)
        assert (task.mappings, list(task.files), task.locked_pages) == ([], [], 0)
        self.zombies.append(task)

    @precondition(lambda self: self.zombies)
    @rule(cpu=CPUS)
    def reap(self, cpu: int) -> None:
        """Collect the task that has been dead longest."""
        self.kernel.reap(self.zombies.pop(0), cpu)

    @rule(cpu=CPUS, choice=st.integers(0, 11), pages=st.integers(1, 700))
    def open_and_map(self, cpu: int, choice: int, pages: int) -> None:
        """A secret file, mapped once."""
        task = self.task(choice)
        try:
            file = self.kernel.memfd_secret(task, cpu)
            self.kernel.ftruncate(file, pages)
            self.kernel.mmap(task, file, pages, cpu)
        except KernelRefusal as refusal:
            assert refusal.name in {"EMFILE", "EAGAIN", "ENOMEM"}  # noqa: PT017 - or none

    @rule(cpu=CPUS, choice=st.integers(0, 11), which=st.integers(0, 7), pages=st.integers(1, 300))
    def map_again(self, cpu: int, choice: int, which: int, pages: int) -> None:
        """One more mapping of a file."""
        task = self.task(choice)
        if task.files:
            try:
                self.kernel.mmap(task, task.files[which % len(task.files)], pages, cpu)
            except KernelRefusal as refusal:
                assert refusal.name == "EAGAIN"  # noqa: PT017 - or none

    @rule(cpu=CPUS, choice=st.integers(0, 11), which=st.integers(0, 7), count=st.integers(1, 300))
    def fault(self, cpu: int, choice: int, which: int, count: int) -> None:
        """Touch pages of a secret mapping, perhaps one too many."""
        task = self.task(choice)
        mappings = [mapping for mapping in task.mappings if mapping.file]
        if mappings:
            mapping = mappings[which % len(mappings)]
            touched = mapping.touched
            faults = self.kernel.fault(task, mapping, cpu, count)
            assert mapping.touched == touched + faults.done
            assert (faults.done == count) == (faults.result is FaultResult.DONE)

    @rule(cpu=CPUS, choice=st.integers(0, 11), count=st.integers(1, 300))
    def touch(self, cpu: int, choice: int, count: int) -> None:
        """Touch ordinary memory."""
        self.kernel.touch(self.task(choice), cpu, count)

    @rule(cpu=CPUS, choice=st.integers(0, 11), count=st.integers(1, 60))
    def touch_tables(self, cpu: int, choice: int, count: int) -> None:
        """Read the zero page here and there."""
        task = self.task(choice)
        mapping = self.kernel.map_ordinary(task, count * 512)
        self.kernel.touch_tables(mapping, cpu, count)

    @rule(cpu=CPUS, choice=st.integers(0, 11), pages=st.integers(1, 40))
    def write_pipe(self, cpu: int, choice: int, pages: int) -> None:
        """Fill pipe buffers."""
        self.kernel.write_pipe(self.task(choice), cpu, pages)

    @rule(cpu=CPUS, choice=st.integers(0, 11), which=st.integers(0, 15))
    def munmap(self, cpu: int, choice: int, which: int) -> None:
        """Unmap something."""
        task = self.task(choice)
        if task.mappings:
            self.kernel.munmap(task, task.mappings[which % len(task.mappings)], cpu)

    @rule(cpu=CPUS, choice=st.integers(0, 11), which=st.integers(0, 7))
    def close(self, cpu: int, choice: int, which: int) -> None:
        """Close a file."""
        task = self.task(choice)
        if task.files:
            self.kernel.close(task, task.files[which % len(task.files)], cpu)

    @rule(passed_ns=st.integers(0, 20_000_000))
    def time_passes(self, passed_ns: int) -> None:
        """A while later, what is old enough is given back."""
        self.kernel.now_ns += passed_ns
        self.kernel.run_deferred(self.kernel.now_ns - 6_500_000)

    def unmapped(self) -> int:
        return int(self.kernel.state.direct_map.counters[0]["unmapped_pages"])

    @invariant()
    def books_are_right(self) -> None:
        """Counter identity, one place and one holder for every page, merged buddies, absent pages counted."""
        self.identity.check()
        census = check_pages(self.kernel.store)
        check_owners(self.kernel, census, self.held)
        assert absent_pages(self.kernel.store) == self.unmapped()
        secret = {
            file for task in self.kernel.tasks for file in [*task.files, *(m.file for m in task.mappings if m.file)]
        }
        assert int(self.kernel.state.counts[0]["secret_pages"]) == sum(file.present for file in secret)
        assert int(self.kernel.state.counts[0]["tasks_alive"]) == len(self.tasks) + len(self.zombies)
        assert all(self.kernel.store.pages["owner"][pfn] == MAP_TABLE for pfn in self.map_tables())

    def map_tables(self) -> list[int]:
        direct_map = self.kernel.state.direct_map
        return [int(pfn) for pfn in direct_map._mega_tables if pfn]

    def teardown(self) -> None:
        """With all tasks gone and all blocks given back, only tables of the direct map and empty slabs are in use."""
        kernel = self.kernel
        for task in self.tasks:
            kernel.exit(task, 0)
        for task in [*self.tasks, *self.zombies]:
            kernel.reap(task, 1)
        kernel.run_deferred(kernel.now_ns + A_SECOND_NS)
        assert not kernel.tasks
        assert absent_pages(kernel.store) == 0
        assert int(kernel.state.counts[0]["secret_pages"]) == 0
        check_owners(kernel, check_pages(kernel.store), self.held)
        # Every sixteenth fork fills a node of the table of process numbers, which is the kernel's own.
        left = int(kernel.state.caches["objects"].sum()) - self.objects
        assert left - kernel.vmap_areas.objects <= 1 + self.forks // 16


class PoolMachine(KernelMachine):
    """The same under pools of 2M chunks."""

    policy: ClassVar[dict[str, Any]] = {"policy": "pmd_pool", "accounting": "per_user"}


class PagewisePoolMachine(KernelMachine):
    """The same with chunks that leave the direct map page by page."""

    policy: ClassVar[dict[str, Any]] = {
        "policy": "pmd_pool",
        "options": {"removal": "page", "migratetype": "unmovable"},
    }


class TwoNodeMachine(KernelMachine):
    """The same on two nodes of one CPU each."""

    machine: ClassVar[dict[str, Any]] = {"memory": "64MiB", "cpus": 2, "nodes": 2}


_SETTINGS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestKernelUnderPage = KernelMachine.TestCase
TestKernelUnderPage.settings = _SETTINGS
TestKernelUnderPool = PoolMachine.TestCase
TestKernelUnderPool.settings = _SETTINGS
TestKernelUnderPagewisePool = PagewisePoolMachine.TestCase
TestKernelUnderPagewisePool.settings = _SETTINGS
TestKernelOnTwoNodes = TwoNodeMachine.TestCase
TestKernelOnTwoNodes.settings = _SETTINGS

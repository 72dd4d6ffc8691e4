"""The kernel's face: what each system call and fault does, refuses and gives back."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from models.kernel.direct_map import ABSENT, RESTORED
from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.errors import FaultResult, KernelRefusal
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.kernel.pages.fallback import FORKED
from models.kernel.pages.layout import NONE
from models.kernel.secret_files import O_CLOEXEC
from tests.models.kernel.machines import MapIdentity, absent_pages, boot, check_pages
from tests.models.kernel.ownership import check_owners

MACHINE = {"memory": "256MiB", "cpus": 2}
POLICIES = ("page", "pmd_pool")
EVER_AFTER_NS = 10**12


def kernel_with(policy: str = "page", machine: dict[str, Any] | None = None, **secretmem: Any) -> Kernel:
    return boot(machine or MACHINE, {"secretmem": {"policy": policy, **secretmem}})


def new_file(kernel: Kernel, task: Task, pages: int, mapped: int | None = None) -> tuple[SecretFile, Mapping]:
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, pages)
    return file, kernel.mmap(task, file, pages if mapped is None else mapped, 0)


def counters(kernel: Kernel) -> dict[str, int]:
    record: Any = kernel.state.direct_map.counters[0]
    return {name: int(record[name]) for name in kernel.state.direct_map.counters.dtype.names or ()}


def free_and_listed(kernel: Kernel) -> int:
    return int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"])


def refused(kernel: Kernel, number: int) -> Any:
    return pytest.raises(KernelRefusal, match=errno.errorcode[number])


class TestErrors:
    """One test for each answer that the facts list."""

    def test_memfd_secret_takes_only_o_cloexec(self) -> None:
        """EINVAL for any other flag; nothing is opened, and the answer is counted."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        with refused(kernel, errno.EINVAL):
            kernel.memfd_secret(task, 0, flags=1)
        assert not task.files
        assert kernel.limits.refusals == {"EINVAL": 1}
        assert kernel.memfd_secret(task, 0, flags=O_CLOEXEC) in task.files

    def test_no_secret_memory_where_the_direct_map_cannot_change(self) -> None:
        """ENOSYS on an arm64 machine whose linear map has blocks that cannot be split, or when it is switched off."""
        kernel = kernel_with(enabled=False)
        with refused(kernel, errno.ENOSYS):
            kernel.memfd_secret(kernel.first_task(User("user")), 0)

    def test_too_many_files(self) -> None:
        """EMFILE at RLIMIT_NOFILE."""
        kernel = kernel_with()
        task = kernel.first_task(User("user", files_max=2))
        for _ in range(2):
            kernel.memfd_secret(task, 0)
        with refused(kernel, errno.EMFILE):
            kernel.memfd_secret(task, 0)

    def test_the_length_is_set_once(self) -> None:
        """To 0 while empty is allowed, once to a size, then EINVAL; so is a negative size."""
        kernel = kernel_with()
        file = kernel.memfd_secret(kernel.first_task(User("user")), 0)
        with refused(kernel, errno.EINVAL):
            kernel.ftruncate(file, -1)
        kernel.ftruncate(file, 0)
        kernel.ftruncate(file, 5)
        for size in (0, 5, 6):
            with refused(kernel, errno.EINVAL):
                kernel.ftruncate(file, size)
        assert file.size_pages == 5

    def test_how_a_file_may_be_mapped(self) -> None:
        """MAP_PRIVATE and an empty mapping: EINVAL; PROT_EXEC: EPERM."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        file = kernel.memfd_secret(task, 0)
        with refused(kernel, errno.EINVAL):
            kernel.mmap(task, file, 1, 0, private=True)
        with refused(kernel, errno.EPERM):
            kernel.mmap(task, file, 1, 0, executable=True)
        with refused(kernel, errno.EINVAL):
            kernel.mmap(task, file, 0, 0)
        assert task.mappings == []
        assert task.locked_pages == 0

    @pytest.mark.parametrize("policy", POLICIES)
    def test_the_default_limit_ends_at_2048_pages(self, policy: str) -> None:
        """Under `per_mm`, EAGAIN at mmap for page 2,049, whatever the policy takes for it."""
        kernel = kernel_with(policy)
        task = kernel.first_task(User("user"))
        file = kernel.memfd_secret(task, 0)
        for _ in range(2048):
            kernel.mmap(task, file, 1, 0)
        with refused(kernel, errno.EAGAIN):
            kernel.mmap(task, file, 1, 0)
        assert task.locked_pages == 2048

    def test_the_capability_lifts_the_limit_per_mm(self) -> None:
        """CAP_IPC_LOCK: no EAGAIN."""
        kernel = kernel_with()
        task = kernel.first_task(User("root", cap_ipc_lock=True))
        assert kernel.mmap(task, kernel.memfd_secret(task, 0), 100_000, 0).pages == 100_000

    def test_unmapping_gives_the_budget_back_and_keeps_the_pages(self) -> None:
        """Touch, munmap, keep the descriptor: even one process is unbounded under `per_mm`."""
        kernel = kernel_with()
        task = kernel.first_task(User("user", memlock_pages=10))
        for count in range(1, 5):
            _, mapping = new_file(kernel, task, 10)
            assert kernel.fault(task, mapping, 0, 10).done == 10
            kernel.munmap(task, mapping, 0)
            assert task.locked_pages == 0
            assert absent_pages(kernel.store) == 10 * count

    def test_per_user_counts_pages_not_mappings(self) -> None:
        """Under `per_user`, mmap never refuses; the fault over the limit is SIGBUS, capability or not."""
        kernel = kernel_with(accounting="per_user")
        user = User("root", memlock_pages=20, cap_ipc_lock=True)
        first, second = kernel.first_task(user), kernel.first_task(user)
        _, mapping = new_file(kernel, first, 100)
        assert kernel.fault(first, mapping, 0, 15) == (15, FaultResult.DONE)
        _, other = new_file(kernel, second, 100)
        assert kernel.fault(second, other, 0, 15) == (5, FaultResult.SIGBUS)
        assert user.secret_pages == 20
        assert first.locked_pages == 0

    def test_per_user_refunds_at_the_release_alone(self) -> None:
        """munmap gives nothing back; the file's release does."""
        kernel = kernel_with(accounting="per_user")
        user = User("user", memlock_pages=20)
        task = kernel.first_task(user)
        file, mapping = new_file(kernel, task, 20)
        kernel.fault(task, mapping, 0, 20)
        kernel.munmap(task, mapping, 0)
        assert user.secret_pages == 20
        kernel.close(task, file, 0)
        assert user.secret_pages == 0

    @pytest.mark.parametrize("policy", POLICIES)
    def test_beyond_the_end_of_the_file(self, policy: str) -> None:
        """SIGBUS, after the pages that the file has."""
        kernel = kernel_with(policy)
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 3, mapped=8)
        assert kernel.fault(task, mapping, 0, 5) == (3, FaultResult.SIGBUS)
        assert kernel.fault(task, mapping, 0) == (0, FaultResult.SIGBUS)
        assert kernel.limits.refusals == {"SIGBUS": 2}

    def test_an_empty_file_has_no_page(self) -> None:
        """SIGBUS at once."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        file = kernel.memfd_secret(task, 0)
        assert kernel.fault(task, kernel.mmap(task, file, 1, 0), 0) == (0, FaultResult.SIGBUS)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_no_memory(self, policy: str) -> None:
        """The fault ends with VM_FAULT_OOM, with the pages that it got, and the books in order."""
        kernel = kernel_with(policy, {"memory": "64MiB", "cpus": 1})
        task = kernel.first_task(User("root", cap_ipc_lock=True))
        _, mapping = new_file(kernel, task, 1 << 20)
        faults = kernel.fault(task, mapping, 0, 1 << 20)
        assert faults.result is FaultResult.OOM
        assert faults.done == mapping.touched > 0
        census = check_pages(kernel.store)
        check_owners(kernel, census)
        if policy == "pmd_pool":
            assert faults.done % 512 == 0
            assert absent_pages(kernel.store) == faults.done

    def test_no_memory_for_a_process(self) -> None:
        """Fork answers ENOMEM and leaves nothing behind."""
        kernel = kernel_with(machine={"memory": "64MiB", "cpus": 1})
        task = kernel.first_task(User("user"))
        kernel.touch(task, 0, 1 << 20)
        alive = int(kernel.state.counts[0]["tasks_alive"])
        with refused(kernel, errno.ENOMEM):
            kernel.fork(task, 0)
        assert int(kernel.state.counts[0]["tasks_alive"]) == alive == task.user.processes
        kernel.run_deferred(EVER_AFTER_NS)
        check_owners(kernel, check_pages(kernel.store))

    def test_no_more_processes(self) -> None:
        """EAGAIN at RLIMIT_NPROC."""
        kernel = kernel_with()
        task = kernel.first_task(User("user", processes_max=2))
        kernel.fork(task, 0)
        with refused(kernel, errno.EAGAIN):
            kernel.fork(task, 0)

    def test_the_machine_wide_cap_is_in_the_system_call(self) -> None:
        """With the cap used up, memfd_secret answers ENOMEM; releasing a file makes room again."""
        kernel = kernel_with(global_limit="40KiB")
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 10)
        kernel.fault(task, mapping, 0, 10)
        with refused(kernel, errno.ENOMEM):
            kernel.memfd_secret(task, 0)
        kernel.munmap(task, mapping, 0)
        kernel.close(task, file, 0)
        assert kernel.memfd_secret(task, 0) is not None

    def test_a_refused_system_call_costs_time_too(self) -> None:
        """Being told no is not free."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        kernel.spent_ns = 0
        with refused(kernel, errno.EINVAL):
            kernel.memfd_secret(task, 0, flags=1)
        assert kernel.spent_ns > 0


class TestPage:
    """Lifecycle of `page`."""

    def test_each_fault_takes_one_page_out(self) -> None:
        """Absent pages are the file's pages; the first splits its entry, its neighbours do not."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 8)
        for count in range(1, 9):
            kernel.fault(task, mapping, 0)
            assert counters(kernel)["unmapped_pages"] == absent_pages(kernel.store) == count
        assert counters(kernel)["level2_splits"] == 1

    def test_a_table_lies_in_the_region_that_it_describes(self) -> None:
        """The direct map's table is the frame after the secret page that split the region."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 1)
        kernel.fault(task, mapping, 0)
        secret = int((kernel.store.pages["flags"] & ABSENT).nonzero()[0][0])
        assert kernel.state.direct_map.table(secret, 2) == secret + 1

    def test_release_restores_and_merges_nothing(self) -> None:
        """Everything is present again, marked for good; tables and splits stay."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 700)
        kernel.fault(task, mapping, 0, 700)
        before = counters(kernel)
        kernel.munmap(task, mapping, 0)
        assert counters(kernel)["unmapped_pages"] == 700
        kernel.close(task, file, 0)
        after = counters(kernel)
        assert after == {**before, "unmapped_pages": 0}
        assert (kernel.store.pages["flags"] & RESTORED != 0).sum() == 700

    def test_the_same_pages_again_split_nothing(self) -> None:
        """Freed pages below the high mark are taken again, last in first out."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        splits = []
        for _ in range(3):
            file, mapping = new_file(kernel, task, 200)
            kernel.fault(task, mapping, 0, 200)
            kernel.munmap(task, mapping, 0)
            kernel.close(task, file, 0)
            splits.append(counters(kernel)["level2_splits"])
        assert splits[0] == splits[1] == splits[2] > 0

    def test_release_takes_the_last_reference(self) -> None:
        """A mapping keeps the pages after the descriptor is closed."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 5)
        kernel.fault(task, mapping, 0, 5)
        kernel.close(task, file, 0)
        assert absent_pages(kernel.store) == 5
        kernel.munmap(task, mapping, 0)
        assert absent_pages(kernel.store) == 0
        assert file.holder == 0


class TestPool:
    """Lifecycle of `pmd_pool`."""

    @pytest.fixture
    def kernel(self) -> Kernel:
        """A machine with 2M entries."""
        return kernel_with("pmd_pool")

    def test_a_chunk_leaves_whole_and_without_a_split(self, kernel: Kernel) -> None:
        """512 pages at once, aligned, no 4K entry."""
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 3)
        kernel.fault(task, mapping, 0)
        absent = (kernel.store.pages["flags"] & ABSENT).nonzero()[0]
        assert len(absent) == 512
        assert absent[0] % 512 == 0
        assert absent[-1] - absent[0] == 511
        assert counters(kernel)["level2_splits"] == 0

    def test_pages_are_handed_out_first_fit(self, kernel: Kernel) -> None:
        """A chunk serves 512 faults from its lowest page on; the next one takes another chunk."""
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 600)
        kernel.fault(task, mapping, 0, 512)
        first, *_ = file.pool.chunks[0]
        assert (kernel.store.pages["owner"][first : first + 512] == file.holder).all()
        assert len(file.pool.chunks) == 1
        kernel.fault(task, mapping, 0, 1)
        assert len(file.pool.chunks) == 2
        assert file.pool.next_pfn == file.pool.chunks[1][0] + 1

    def test_each_file_has_a_pool_of_its_own(self, kernel: Kernel) -> None:
        """Two files of one page take 4 MiB: the amplification that the limit does not see."""
        task = kernel.first_task(User("user"))
        for _ in range(2):
            _, mapping = new_file(kernel, task, 1)
            kernel.fault(task, mapping, 0)
        assert absent_pages(kernel.store) == 1024
        assert task.locked_pages == 2

    def test_chunks_stay_until_the_file_is_gone(self, kernel: Kernel) -> None:
        """munmap gives nothing back; the last close gives all, present and restored, and no split was made."""
        task = kernel.first_task(User("user"))
        free = free_and_listed(kernel)
        file, mapping = new_file(kernel, task, 600)
        kernel.fault(task, mapping, 0, 600)
        kernel.munmap(task, mapping, 0)
        assert absent_pages(kernel.store) == 1024
        kernel.close(task, file, 0)
        assert absent_pages(kernel.store) == 0
        kernel.run_deferred(EVER_AFTER_NS)
        assert free - free_and_listed(kernel) <= sum(
            int(cache["slabs"]) << int(cache["order"]) for cache in kernel.state.caches
        )
        assert counters(kernel)["level2_splits"] == 0

    @pytest.mark.parametrize(("removal", "splits"), [("chunk", 0), ("page", 1)])
    def test_removal_page_by_page_is_a_what_if(self, removal: str, splits: int) -> None:
        """Then the chunk's region is split, and only pages in use are absent."""
        kernel = kernel_with("pmd_pool", options={"removal": removal})
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 3)
        kernel.fault(task, mapping, 0, 3)
        assert counters(kernel)["level2_splits"] == splits
        assert absent_pages(kernel.store) == (3 if removal == "page" else 512)
        kernel.munmap(task, mapping, 0)
        kernel.close(task, file, 0)
        assert absent_pages(kernel.store) == 0

    @pytest.mark.parametrize(("flush", "reaches_others"), [("local", False), ("all", True)])
    def test_who_is_flushed(self, flush: str, reaches_others: bool) -> None:
        """v6 flushes the local CPU alone; v7 and later interrupt all, once per chunk."""
        kernel = kernel_with("pmd_pool", options={"flush": flush})
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 3)
        kernel.fault(task, mapping, 0, 3)
        assert bool(kernel.state.charge[0]["flushes"]) is reaches_others
        assert kernel.state.charge[0]["after_ns"] > 0


class TestProcesses:
    """fork, exit, wait."""

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_child_inherits_mappings_with_a_fresh_budget(self, policy: str) -> None:
        """The pages are the parent's; the child's locked memory starts at 0, so it can lock as much again."""
        kernel = kernel_with(policy)
        user = User("user", memlock_pages=10)
        parent = kernel.first_task(user)
        file, mapping = new_file(kernel, parent, 10)
        kernel.fault(parent, mapping, 0, 4)
        child = kernel.fork(parent, 0)
        (inherited,) = child.mappings
        assert (inherited.file, inherited.pages, inherited.start) == (file, 10, mapping.start)
        assert (child.locked_pages, parent.locked_pages) == (0, 10)
        absent = absent_pages(kernel.store)
        assert kernel.fault(child, inherited, 0, 4) == (4, FaultResult.DONE)
        assert absent_pages(kernel.store) == absent
        new_file(kernel, child, 10)
        assert child.locked_pages == 10
        with refused(kernel, errno.EAGAIN):
            new_file(kernel, child, 1)

    @pytest.mark.parametrize("costs", ["recorded_emulation", "zen5_guest_2cpu"])
    def test_a_forked_task_and_its_parent_pay_for_what_they_copy(self, costs: str) -> None:
        """Where that is known apart from the fork; and pages that the parent copied know that it has forked."""
        kernel = kernel_with(machine={"memory": "64MiB", "cpus": 1, "costs": costs})
        parent = kernel.first_task(User("user"))
        child = kernel.fork(parent, 0)
        spent = list[int]()
        for step, task in ((kernel.start, child), (kernel.resume, parent), (kernel.read_counters, parent)):
            kernel.spent_ns = 0
            step(task, 0)
            spent.append(kernel.spent_ns)
        fault_ns, call_ns = kernel.costs.ns("ordinary_fault"), kernel.costs.ns("null_syscall")
        assert spent == [kernel.costs.part_ns("start"), kernel.costs.part_ns("resume"), 4 * fault_ns + call_ns]
        assert (spent[0] > 4 * fault_ns and spent[1] > fault_ns) == (costs == "recorded_emulation")
        assert not (kernel.store.pages["flags"] & FORKED).any()
        kernel.fork(parent, 0)
        assert (kernel.store.pages["flags"] & FORKED).any()

    def test_a_file_lives_until_the_last_process_is_gone(self) -> None:
        """Pages that a parent made stay while a child has the file open or mapped."""
        kernel = kernel_with()
        parent = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, parent, 3)
        kernel.fault(parent, mapping, 0, 3)
        child = kernel.fork(parent, 0)
        kernel.exit(parent, 0)
        kernel.reap(parent, 0)
        assert absent_pages(kernel.store) == 3
        kernel.exit(child, 0)
        assert absent_pages(kernel.store) == 0

    def test_pages_that_are_there_are_not_made_again(self) -> None:
        """A second mapping of a file finds the pages of the first, and only as far as it reaches."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        file, mapping = new_file(kernel, task, 10)
        kernel.fault(task, mapping, 0, 10)
        short = kernel.mmap(task, file, 4, 0)
        assert kernel.fault(task, short, 0, 4) == (4, FaultResult.DONE)
        assert kernel.fault(task, short, 0, 1).done == 0
        assert (file.present, absent_pages(kernel.store)) == (10, 10)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_fork_bomb_gives_all_its_memory_back(self, policy: str) -> None:
        """When all tasks are gone and grace periods are over, only tables of the direct map and spare slabs remain."""
        kernel = kernel_with(policy, {"memory": "512MiB", "cpus": 2})
        identity = MapIdentity(kernel.state.direct_map)
        parent = kernel.first_task(User("user"))
        before, objects = free_and_listed(kernel), int(kernel.state.caches["objects"].sum())
        children = []
        for number in range(39):
            child = kernel.fork(parent, 0)
            kernel.start(child, 1)
            kernel.touch(child, 1, 5)
            _, mapping = new_file(kernel, child, 2)
            assert kernel.fault(child, mapping, number % 2, 2).done == 2
            children.append(child)
        for child in children:
            kernel.exit(child, 1)
            kernel.reap(child, 0)
        kernel.exit(parent, 0)
        kernel.reap(parent, 0)
        kernel.now_ns = EVER_AFTER_NS
        for _ in range(3):
            kernel.run_deferred(EVER_AFTER_NS)
        assert absent_pages(kernel.store) == 0
        identity.check()
        check_owners(kernel, check_pages(kernel.store))
        spare = sum(
            int(slab["pfn"] != NONE) << int(kernel.state.caches[int(slab["cache"])]["order"])
            for slab in kernel.state.slabs[: int(kernel.state.slab_ids[0])]
        )
        assert before - free_and_listed(kernel) <= kernel.split_count() + spare
        left = int(kernel.state.caches["objects"].sum()) - objects
        assert left - kernel.vmap_areas.objects <= 1 + len(children) // 16

    def test_the_oom_killer_takes_the_largest(self) -> None:
        """The task with the most pages is chosen once; one that nobody acts for is not."""
        kernel = kernel_with()
        user = User("user")
        small, large, absent = (kernel.first_task(user) for _ in range(3))
        small.process = large.process = object()
        for task, pages in ((small, 10), (large, 20), (absent, 30)):
            kernel.touch(task, 0, pages)
        assert kernel.oom_victim() is large
        assert large.killed
        assert kernel.oom_victim() is small
        assert kernel.oom_victim() is None
        assert kernel.oom_kills == 2

    def test_pipes_are_unmovable_pages_that_go_with_the_task(self) -> None:
        """No limit on locked memory applies to them."""
        kernel = kernel_with()
        task = kernel.first_task(User("user", memlock_pages=0))
        free = free_and_listed(kernel)
        assert kernel.write_pipe(task, 0, 100) == 100
        assert free - free_and_listed(kernel) == 100
        kernel.exit(task, 0)
        assert task.pipes == 0
        check_owners(kernel, check_pages(kernel.store))

    def test_page_tables_without_pages(self) -> None:
        """Reading zero pages 2 MiB apart takes a page table each, and unmapping gives them back."""
        kernel = kernel_with()
        task = kernel.first_task(User("user"))
        mapping = kernel.map_ordinary(task, 512 * 300)
        free = free_and_listed(kernel)
        assert kernel.touch_tables(mapping, 0, 300).done == 300
        assert 300 <= free - free_and_listed(kernel) <= 303
        kernel.munmap(task, mapping, 0)
        assert free == free_and_listed(kernel)


class TestNodes:
    """Two NUMA nodes."""

    MACHINE = {"memory": "8GiB", "cpus": 2, "nodes": 2}  # noqa: RUF012 - a table of the tests

    def zone_of(self, kernel: Kernel, pfn: int) -> int:
        return next(
            number for number, zone in enumerate(kernel.store.zones) if zone["start_pfn"] <= pfn < zone["end_pfn"]
        )

    def nodes_of_absent(self, kernel: Kernel) -> list[int]:
        pfns = (kernel.store.pages["flags"][: 1 << 22] & ABSENT).nonzero()[0].tolist()
        return [int(kernel.store.zones[self.zone_of(kernel, pfn)]["node"]) for pfn in pfns]

    @pytest.mark.parametrize("cpu", [0, 1])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_pages_come_from_the_cpus_node(self, policy: str, cpu: int) -> None:
        """Secret pages and tables lie on the node of the CPU that faults."""
        kernel = kernel_with(policy, self.MACHINE)
        task = kernel.first_task(User("user"))
        _, mapping = new_file(kernel, task, 1000)
        assert kernel.fault(task, mapping, cpu, 1000).done == 1000
        assert set(self.nodes_of_absent(kernel)) == {cpu}

    @pytest.mark.parametrize("cpu", [0, 1])
    def test_the_other_node_when_the_own_one_is_low(self, cpu: int) -> None:
        """At the low watermark of all its zones, requests go to the other node's, as the zone lists say."""
        kernel = kernel_with("page", self.MACHINE)
        task = kernel.first_task(User("root", cap_ipc_lock=True))
        own = [number for number, zone in enumerate(kernel.store.zones) if zone["node"] == cpu]
        wanted = sum(int(kernel.store.zones[number]["managed"]) for number in own)
        assert kernel.touch(task, cpu, wanted).result is FaultResult.DONE
        for number in own:
            zone = kernel.store.zones[number]
            free = int(zone["free_pages"]) - int(zone["lowmem_reserve"][int(kernel.store.config[0]["highest_kind"])])
            assert abs(free - int(zone["wmark"][1] + zone["boost"])) <= 1024
        _, mapping = new_file(kernel, task, 100)
        kernel.fault(task, mapping, cpu, 100)
        assert set(self.nodes_of_absent(kernel)) == {1 - cpu}

    def test_splits_are_counted_for_the_whole_machine(self) -> None:
        """One set of counters, whichever node the entry is on."""
        kernel = kernel_with("page", self.MACHINE)
        identity = MapIdentity(kernel.state.direct_map)
        task = kernel.first_task(User("user"))
        seen = [kernel.split_count()]
        for cpu in (0, 1):
            _, mapping = new_file(kernel, task, 1)
            kernel.fault(task, mapping, cpu)
            seen.append(kernel.split_count())
        assert seen[0] < seen[1] < seen[2]
        identity.check()

    def test_zones_from_the_highest_down_before_the_other_node(self) -> None:
        """Node 0 has two zones: Normal until its low watermark, then DMA32, then the other node."""
        kernel = kernel_with("page", {"memory": "12GiB", "cpus": 2, "nodes": 2})
        zones = kernel.store.zones
        order = [number for number in kernel.store.zonelists[0].tolist() if number != NONE]
        assert [(int(zones[number]["node"]), int(zones[number]["kind"])) for number in order] == [
            (0, 1),
            (0, 0),
            (1, 1),
        ]
        task = kernel.first_task(User("root", cap_ipc_lock=True))
        used = []
        for _ in range(12):
            kernel.touch(task, 0, 200_000)
            used.append([int(zones[number]["managed"] - zones[number]["free_pages"]) for number in order])
        begun = [next(step for step, row in enumerate(used) if row[place] > 60_000) for place in range(3)]
        assert begun == sorted(begun)
        assert begun[0] < begun[1] < begun[2]


def test_a_table_of_descriptors_grows_once_and_stays_as_large() -> None:
    """Closing files makes room, so that later ones need no larger table; the smaller one goes after a grace period."""
    kernel = kernel_with()
    task = kernel.first_task(User("user"))
    cache = kernel.programs.caches["kmalloc_1k"]

    def arrays() -> int:
        return int(kernel.state.caches[cache]["objects"])

    before = arrays()
    files = [kernel.memfd_secret(task, 0) for _ in range(61)]
    assert (task.max_fds, arrays()) == (64, before)
    files.append(kernel.memfd_secret(task, 0))
    assert (task.max_fds, arrays()) == (128, before + 1)
    for _ in range(3):
        kernel.close(task, files.pop(), 0)
        files.append(kernel.memfd_secret(task, 0))
    assert (task.max_fds, arrays()) == (128, before + 1)
    files += [kernel.memfd_secret(task, 0) for _ in range(64)]
    assert task.max_fds == 256
    kernel.run_deferred(EVER_AFTER_NS)
    assert arrays() == before

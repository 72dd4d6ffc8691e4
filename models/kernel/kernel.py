"""The kernel's face: one method per system call, fault or kernel thread's round; plain state, no time.

Every operation changes state at once and adds what it costs to ``charge`` (compiled parts) and ``spent_ns``; whoever
calls pays with simulated time. CPUs are given by number.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from models.kernel.address_space import adopt_tables, cover, place, touch_anon, touch_table, unmap
from models.kernel.areas import PINNED_TABLE, Areas
from models.kernel.chains import move
from models.kernel.code import CodeSpace
from models.kernel.deferral import RCU, WORKER, oldest_ns
from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.errors import FaultResult
from models.kernel.footprints import Footprints, fdtable_orders
from models.kernel.grace_period import give_due
from models.kernel.layout import ANON, FIRST_RUN, INHERITED, MAX_TASKS, PINNED, State
from models.kernel.limits import Group, Limits, User
from models.kernel.merging import MergeNever, MergingConfig
from models.kernel.migration import Compactor
from models.kernel.pages.layout import NONE, Store
from models.kernel.pipes import drain_pipe, fill_pipe
from models.kernel.pool_chunks import forget_pages
from models.kernel.programs import SCRATCH, Programs, reset_holder, run_program
from models.kernel.secretmem.base import Faults, Policy
from models.machine.costs import CostPreset

__all__ = ["Kernel"]

SMALL_FDTABLE = 64
"""Descriptors that fit into a task itself (`NR_OPEN_DEFAULT`)."""
ORDINARY_MAPPING_PAGES = 1 << 30
"""Length of the mapping that a task's ordinary memory grows in."""


class Kernel:
    """A running kernel.

    Attributes:
        state: its arrays; ``handle`` is their address.
        programs: footprints of its operations.
        limits: accounting and the machine-wide cap.
        policy: where secret pages come from; set once by whoever builds the kernel.
        compactor: what makes blocks of 2 MiB; set likewise.
        node_of: NUMA node of each CPU.
        spent_ns: CPU time of the operations since it was last taken.
        now_ns: time, as the caller last told it.
        oom_kills: tasks that the OOM killer chose, those of control groups included.
        secretmem_enabled: False: memfd_secret is ENOSYS, since it is switched off or the architecture cannot change
            its direct map.
        can_set_direct_map: whether pages of the direct map can be changed one by one.
        merging: whether and when entries of the direct map become one again.
        costs: what operations cost.
        open_files: secret files that exist.
    """

    policy: Policy
    compactor: Compactor
    secretmem_enabled = True

    def __init__(
        self,
        state: State,
        programs: Programs,
        footprints: Footprints,
        limits: Limits,
        costs: CostPreset,
        node_of: Sequence[int],
    ) -> None:
        self.state = state
        self.handle = state.handle
        self._alive = state.counts["tasks_alive"]
        self.programs = programs
        self._spans = programs.spans
        self.limits = limits
        self.node_of = tuple(node_of)
        self.spent_ns = 0
        self.now_ns = 0
        self.oom_kills = 0
        self.forked = False
        self.reported = False
        self.open_files = 0
        self.costs = costs
        self.task_pages = programs.pages_of_a_task("fork", "child_starts")
        self.node_cache = programs.caches[footprints.xarray.cache]
        self.node_shift = footprints.xarray.slots.bit_length() - 1
        self.can_set_direct_map = True
        self.merging = MergeNever(self, MergingConfig())
        self.tasks: set[Task] = set()
        self._task_holders = _Numbers(1, MAX_TASKS)
        self._holders = _Numbers(MAX_TASKS, FIRST_RUN)
        self._tables = _Numbers(PINNED_TABLE + 1, len(state.tables))
        state.tables[PINNED_TABLE] = PINNED
        reset_holder(state.handle, SCRATCH)
        self.footprints = footprints
        self._always = programs.flag(*footprints.flags)
        names = ("memfd_secret", "ftruncate", "mmap", "fork", "exit", "wait", "null_syscall")
        self._ns = {name: costs.ns(name) for name in names}

    # Holders and footprints

    def new_holder(self) -> int:
        """Number for a file, a mapping or a pool's chunk."""
        holder = self._holders.take()
        reset_holder(self.handle, holder)
        return holder

    def drop_holder(self, holder: int) -> None:
        """Give a number back whose pages and objects are gone."""
        self._holders.give(holder)

    @cached_property
    def code(self) -> CodeSpace:
        """Memory for modules, BPF programs and trampolines."""
        return CodeSpace(self)

    def forget_pages(self, file: SecretFile) -> None:
        """Count a file's pages as gone."""
        forget_pages(self.handle, file.holder)

    def _new_table(self) -> int:
        number = self._tables.take()
        self.state.tables[number] = NONE
        return number

    def run(
        self, operation: str, holder: int, cpu: int, flags: int = 0, generation: int = 1, order: int = NONE
    ) -> bool:
        """Take and give what an operation does besides its own pages; false when memory ran out on the way."""
        program, start, end = self._spans[operation]
        return run_program(
            self.handle, program, start, end, cpu, self.node_of[cpu], holder, flags | self._always, generation, order,
            self.now_ns,
        )  # fmt: skip

    def vmap_flags(self) -> int:
        """Whether addresses of the kernel are handed out without gaps: stacks, aligned to their size, leave some."""
        return 0 if self.forked else self.programs.flag("no_vmap_holes")

    # Tasks

    def first_task(self, user: User) -> Task:
        """A task that exists when the simulation begins; what it holds is part of the boot."""
        task = self._new_task(user, 1)
        self._adopt(task)
        return task

    def _new_task(self, user: User, generation: int) -> Task:
        return Task(self._task_holders.take(), user, generation, Areas(self._new_table, self._tables.give))

    def _adopt(self, task: Task) -> None:
        reset_holder(self.handle, task.holder)
        task.user.processes += 1
        self.tasks.add(task)
        self._alive[0] += 1

    def fork(self, parent: Task, cpu: int) -> Task:
        """Create a process that inherits the parent's files and mappings; its locked memory starts at 0.

        Raises:
            KernelRefusal: EAGAIN over RLIMIT_NPROC; ENOMEM, also over a control group's limit (where 6.1 ends a task
                of the group first).
        """
        self.limits.check_process(parent.user)
        unmovable, movable = self.task_pages
        charged = movable + (unmovable if self.limits.kernel_memory else 0)
        group = parent.user.group
        if group is not None and group.room_pages() < charged:
            group.failures += 1
            raise self.limits.refuse(errno.ENOMEM, f"group {group.name} has no room for a new process")
        self.spent_ns += self._ns["fork"]
        task = self._new_task(parent.user, parent.generation + 1)
        self._adopt(task)
        if group is not None:
            group.charge(charged)
            task.charged_pages = charged
        many_files = parent.descriptors + len(parent.files) > SMALL_FDTABLE
        flags = self.programs.flag("large_fdtable") if many_files else 0
        if not self.run("fork", task.holder, cpu, flags, parent.generation):
            self._bury(task, cpu)
            if self.policy.shrink(cpu):
                return self.fork(parent, cpu)
            raise self.limits.refuse(errno.ENOMEM, "no memory for a new process")
        for file in parent.files:
            file.references += 1
            task.files.append(file)
        for mapping in parent.mappings:
            if mapping.file is not None or mapping.shared:
                copy = self._map(task, mapping.file, mapping.pages, locked=False, start=mapping.start)
                copy.shared = mapping.shared
        task.descriptors = parent.descriptors
        parent.forks += 1
        self.forked = True
        # What the parent has copied since its last fork, it copies again when it writes; the child keeps it.
        move(self.handle, parent.holder, ANON, task.holder, INHERITED)
        self.run("fork_returns", parent.holder, cpu)
        return task

    def start(self, task: Task, cpu: int) -> None:
        """First steps of a new process: it copies the pages that it writes to."""
        self.run("child_starts", task.holder, cpu)

    def open_report_pipes(self, cpu: int) -> None:
        """A task opens the pipes through which its children will report."""
        self.run("workload_start_fork", SCRATCH, cpu)

    def report(self, cpu: int) -> None:
        """A child reports through the pipe: the first one to do so fills a page with it."""
        if not self.reported:
            self.reported = True
            self.run("child_writes_first_pipe_page", SCRATCH, cpu)

    def resume(self, parent: Task, cpu: int) -> None:
        """A task that has waited for its child reads what the child wrote, into a page that they share."""
        self.run("parent_resumes", parent.holder, cpu)

    def read_counters(self, task: Task, cpu: int) -> None:
        """Read the kernel's counters in /proc: a task that has forked writes to pages that it shares."""
        self.spent_ns += self._ns["null_syscall"]
        if task.forks:
            self.run("parent_samples", task.holder, cpu)

    def read_proc(self, cpu: int) -> None:
        """Look into /proc for the first time."""
        self.spent_ns += self._ns["null_syscall"]
        self.run("read_proc", SCRATCH, cpu)

    def read_pagemap(self, cpu: int) -> None:
        """Look up a process's frames in /proc."""
        self.spent_ns += self._ns["null_syscall"]
        holder = self.new_holder()
        self.run("read_pagemap", holder, cpu)
        self.drop_holder(holder)

    def exit(self, task: Task, cpu: int) -> None:
        """End a process: its memory, then its files; `reap` takes the rest."""
        self.spent_ns += self._ns["exit"]
        task.ending = True
        for mapping in reversed(task.mappings):
            self._unmap(task, mapping, cpu)
        task.mappings.clear()
        task.ordinary = None
        self.run("exit", task.holder, cpu)
        self.close_pipes(task, cpu)
        for file in task.files:
            self._drop(file, cpu)
        task.files.clear()
        task.locked_pages = 0
        self.run("exit_switched_away", task.holder, cpu)
        task.exited = True

    def reap(self, task: Task, cpu: int) -> None:
        """Collect an exited process (`wait`)."""
        self.spent_ns += self._ns["wait"]
        self._bury(task, cpu)

    def _bury(self, task: Task, cpu: int) -> None:
        if not task.holder:
            return
        if not task.exited:
            # It never ran: what its fork had taken goes the same way.
            self.run("exit", task.holder, cpu)
            self.run("exit_switched_away", task.holder, cpu)
        self.run("reap", task.holder, cpu)
        self._task_holders.give(task.holder)
        task.holder = 0
        task.killed = True
        task.user.processes -= 1
        if task.user.group is not None:
            task.user.group.charge(-task.charged_pages)
        self.tasks.discard(task)
        self._alive[0] -= 1

    # Secret memory

    def memfd_secret(self, task: Task, cpu: int, flags: int = 0) -> SecretFile:
        """Open a secret file of length 0.

        Raises:
            KernelRefusal: ENOSYS when there is no secret memory; EINVAL for unknown flags; EMFILE; ENOMEM.
        """
        self.spent_ns += self._ns["memfd_secret"]
        if not self.secretmem_enabled:
            raise self.limits.refuse(errno.ENOSYS, "secret memory is switched off, or this machine cannot have any")
        if flags & ~O_CLOEXEC:
            raise self.limits.refuse(errno.EINVAL, f"flags {flags:#x}: only O_CLOEXEC is allowed")
        self.limits.check_file(task.user, len(task.files))
        self.limits.check_system_call()
        for order in fdtable_orders(task.descriptors + len(task.files)):
            self.run("expand_fdtable", task.holder, cpu, order=order)
        file = SecretFile(self.new_holder(), task.user)
        try:
            self.policy.open(file)
            flags = 0 if file.pool is None else self.programs.flag("pool")
            if not self.run("memfd_secret", file.holder, cpu, flags):
                raise self.limits.refuse(errno.ENOMEM, "no memory for an inode")
        except Exception:
            self.run("close_file", file.holder, cpu)
            self.drop_holder(file.holder)
            raise
        self.open_files += 1
        task.files.append(file)
        return file

    def ftruncate(self, file: SecretFile, size_pages: int) -> None:
        """Set a file's length, once; a length of 0 may be set as long as it has none.

        Raises:
            KernelRefusal: EINVAL when it has one already.
        """
        self.spent_ns += self._ns["ftruncate"]
        if file.size_pages or size_pages < 0:
            raise self.limits.refuse(errno.EINVAL, f"the file has {file.size_pages} pages and keeps them")
        file.size_pages = size_pages

    def mmap(
        self, task: Task, file: SecretFile, pages: int, cpu: int, *, private: bool = False, executable: bool = False,
        within: Mapping | None = None,
    ) -> Mapping:
        """Map a secret file; nothing is populated.

        Args:
            within: a reserved area (`reserve`) whose next free pages it takes (MAP_FIXED).
            private: MAP_PRIVATE instead of MAP_SHARED.
            executable: with PROT_EXEC.

        Raises:
            KernelRefusal: EPERM for an executable mapping; EINVAL for a private one or one of no pages; EAGAIN over
                RLIMIT_MEMLOCK (`per_mm`).
        """
        self.spent_ns += self._ns["mmap"]
        if executable:
            raise self.limits.refuse(errno.EPERM, "secret files lie on a mount without execution")
        if pages <= 0 or private:
            raise self.limits.refuse(errno.EINVAL, f"a mapping of {pages} pages, {'private' if private else 'shared'}")
        self.limits.check_mapping(task.user, task.locked_pages, pages)
        locked = self.limits.accounting == "per_mm"
        leaf_full = task.generation > 1 and task.mapped == 1
        task.mapped += 1
        mapping = self._map(task, file, pages, locked=locked, within=within)
        if within is None:
            self.run("mmap_file", mapping.holder, cpu, self.programs.flag("leaf_full") if leaf_full else 0)
        else:
            # What lies there is split and unmapped first.
            self.spent_ns += 2 * self._ns["mmap"]
            self.run("mmap_fixed", mapping.holder, cpu)
        if locked:
            task.locked_pages += pages
        return mapping

    def reserve(self, task: Task, pages: int, cpu: int) -> Mapping:
        """Reserve address space for secret files to be mapped into, one behind the other (PROT_NONE)."""
        self.spent_ns += self._ns["mmap"]
        mapping = self._map(task, None, pages, locked=False)
        self.run("mmap_anon", mapping.holder, cpu)
        return mapping

    def _map(
        self, task: Task, file: SecretFile | None, pages: int, *, locked: bool, start: int | None = None,
        within: Mapping | None = None,
    ) -> Mapping:  # fmt: skip
        mapping = Mapping(self.new_holder(), file, pages, locked=locked)
        if within is not None:
            used = within.inside[-1].start + within.inside[-1].pages if within.inside else within.start
            if used + pages > within.start + within.pages:
                raise self.limits.refuse(errno.ENOMEM, f"{pages} pages do not fit into the reserved area")
            mapping.start = used
            within.inside.append(mapping)
        else:
            if start is None:
                mapping.start = task.areas.place(pages)
            else:
                mapping.start = start
                task.areas.occupy(start, pages)
            task.mappings.append(mapping)
        mapping.tables = task.areas.share(mapping.start, pages, inside=within is not None)
        place(self.handle, task.holder, mapping.holder, mapping.start, pages, *mapping.tables)
        if file is not None:
            file.references += 1
        return mapping

    def fault(self, task: Task, mapping: Mapping, cpu: int, count: int = 1) -> Faults:
        """Touch the next pages of a mapping of a secret file, one fault each.

        Returns:
            Pages got, and how the last fault ended: SIGBUS beyond the file's end or over the limit, OOM without memory.
        """
        file = mapping.file
        assert file is not None
        done = 0
        there = min(count, min(file.present, mapping.pages) - mapping.touched)
        if there > 0:
            # The pages exist already, through another mapping: they are only mapped.
            for done in range(there):
                if not cover(self.handle, cpu, self.node_of[cpu], mapping.holder, mapping.touched):
                    return Faults(done, FaultResult.OOM)
                mapping.touched += 1
                self.spent_ns += self._ns["null_syscall"]
            done = there
        wanted = min(count - done, min(file.size_pages, mapping.pages) - mapping.touched)
        room = self.fault_room_pages(mapping, wanted)
        if room > 0:
            got = self.policy.fault(cpu, mapping, room)
            self.charge_pages(file, got.done)
            done += got.done
            if got.result is not FaultResult.DONE:
                return Faults(done, got.result)
        if done == count:
            return Faults(done, FaultResult.DONE)
        group = file.user.group
        if room < wanted and group is not None and self.limits.fault_room_pages(file.user) > 0:
            group.failures += 1
            return Faults(done, FaultResult.GROUP_OOM)
        self.limits.count("SIGBUS")
        return Faults(done, FaultResult.SIGBUS)

    def fault_room_pages(self, mapping: Mapping, wanted: int) -> int:
        """How many of the next pages of a secret mapping may be faulted in: by its length, the limits and the group."""
        file = mapping.file
        assert file is not None
        room = min(wanted, file.size_pages - mapping.touched, mapping.pages - mapping.touched)
        room = min(room, self.limits.fault_room_pages(file.user))
        if file.user.group is None or self.policy.group_charge != "page":
            return room
        return min(room, file.user.group.room_pages())

    def charge_pages(self, file: SecretFile, pages: int) -> None:
        """Charge pages of a file to its user, to all secret memory, and, where the policy does, to the user's group.

        Args:
            pages: negative: give back.
        """
        file.user.charge(pages)
        self.limits.reserved_pages += pages
        if file.user.group is not None and self.policy.group_charge == "page":
            file.user.group.charge(pages)

    def ordinary_room_pages(self, task: Task, wanted: int, *, tables: bool = False) -> int:
        """How many ordinary pages (or page tables) of those wanted the task's control group has room for."""
        group = task.user.group
        if group is None or (tables and not self.limits.kernel_memory):
            return wanted
        return min(wanted, group.room_pages())

    def charge_ordinary(self, task: Task, mapping: Mapping, pages: int, *, tables: bool = False) -> None:
        """Charge ordinary pages (or page tables) of a mapping to the task's control group."""
        group = task.user.group
        if group is not None and (self.limits.kernel_memory or not tables):
            group.charge(pages)
            mapping.charged_pages += pages

    def munmap(self, task: Task, mapping: Mapping, cpu: int) -> None:
        """Unmap; a secret file's pages stay with the file."""
        task.mappings.remove(mapping)
        if mapping is task.ordinary:
            task.ordinary = None
        if mapping.locked:
            task.locked_pages -= mapping.pages
        self._unmap(task, mapping, cpu)

    def _unmap(self, task: Task, mapping: Mapping, cpu: int) -> None:
        if task.user.group is not None:
            task.user.group.charge(-mapping.charged_pages)
        file_pages = mapping.touched if mapping.file else 0
        for inner in mapping.inside:
            left = task.areas.leave(inner.start, inner.pages, *inner.tables)
            adopt_tables(self.handle, inner.holder, mapping.holder, left)
            file_pages += inner.touched
            if inner.locked:
                task.locked_pages -= inner.pages
        gone = task.areas.leave(mapping.start, mapping.pages, *mapping.tables)
        task.areas.vacate(mapping.start, mapping.pages)
        unmap(self.handle, cpu, self.node_of[cpu], mapping.holder, file_pages, gone)
        if not task.ending:
            self.run("munmap", mapping.holder, cpu)
        for each in (*mapping.inside, mapping):
            self.run("munmap_anon" if each.file is None else "munmap_file", each.holder, cpu)
            self.drop_holder(each.holder)
            if each.file is not None:
                self._drop(each.file, cpu)
        mapping.inside.clear()

    def close(self, task: Task, file: SecretFile, cpu: int) -> None:
        """Close a file; with its last descriptor and mapping gone, its pages are given back."""
        task.files.remove(file)
        self._drop(file, cpu)

    def _drop(self, file: SecretFile, cpu: int) -> None:
        file.references -= 1
        if file.references:
            return
        self.policy.release(cpu, file)
        self.merging.changed(cpu)
        self.run("close_file", file.holder, cpu)
        self.charge_pages(file, -file.present)
        file.present = 0
        self.open_files -= 1
        self.drop_holder(file.holder)
        file.holder = 0

    # Ordinary memory

    def ordinary(self, task: Task) -> Mapping:
        """The mapping of a task's ordinary pages, made when it is first asked for."""
        if task.ordinary is None:
            task.ordinary = self._map(task, None, ORDINARY_MAPPING_PAGES, locked=False)
        return task.ordinary

    def touch(self, task: Task, cpu: int, count: int = 1) -> Faults:
        """Touch new ordinary pages."""
        mapping = self.ordinary(task)
        room = self.ordinary_room_pages(task, count)
        done = int(touch_anon(self.handle, cpu, self.node_of[cpu], mapping.holder, room))
        mapping.touched += done
        self.charge_ordinary(task, mapping, done)
        if done == room < count:
            return Faults(done, FaultResult.GROUP_OOM)
        return Faults(done, FaultResult.DONE if done == count else FaultResult.OOM)

    def map_ordinary(self, task: Task, pages: int, cpu: int = 0) -> Mapping:
        """Map ordinary memory of a length."""
        mapping = self._map(task, None, pages, locked=False)
        task.mapped += 1
        self.run("mmap_anon", mapping.holder, cpu)
        self.run("first_anon_fault", mapping.holder, cpu)
        return mapping

    def map_shared(self, task: Task, pages: int) -> Mapping:
        """Map ordinary memory that the task will share with its children."""
        mapping = self._map(task, None, pages, locked=False)
        mapping.shared = True
        return mapping

    def touch_tables(self, mapping: Mapping, cpu: int, count: int = 1) -> Faults:
        """Read one zero page at each of the next 2 MiB of a mapping: takes page tables alone."""
        done = int(touch_table(self.handle, cpu, self.node_of[cpu], mapping.holder, count))
        mapping.touched += done
        return Faults(done, FaultResult.DONE if done == count else FaultResult.OOM)

    def write_pipe(self, task: Task, cpu: int, pages: int) -> int:
        """Write to pipes, one unmovable page of buffer each; returns pages got."""
        if not task.pipes:
            task.pipes = self.new_holder()
        self.spent_ns += self._ns["null_syscall"] * pages
        return int(fill_pipe(self.handle, cpu, self.node_of[cpu], task.pipes, pages))

    def close_pipes(self, task: Task, cpu: int) -> None:
        """Close the pipes that a task has filled."""
        if task.pipes:
            drain_pipe(self.handle, cpu, task.pipes)
            self.drop_holder(task.pipes)
            task.pipes = 0

    # What the kernel does by itself

    def oom_victim(self, group: Group | None = None) -> Task | None:
        """The OOM killer's choice: the task that holds the most pages and has not been chosen yet.

        Args:
            group: a control group at its limit: only its tasks, and those of groups inside it, may be chosen.
        """
        candidates = [
            task
            for task in self.tasks
            if not task.killed
            and task.process is not None
            and (group is None or (task.user.group is not None and task.user.group.lies_in(group)))
        ]
        if not candidates:
            return None
        victim = max(candidates, key=lambda task: (self.held_pages(task), -task.holder))
        victim.killed = True
        self.oom_kills += 1
        if group is not None:
            group.kills += 1
        return victim

    def held_pages(self, task: Task) -> int:
        """Pages mapped by a task: its resident set."""
        return sum(mapping.touched for mapping in task.mappings)

    def deferred_since_ns(self) -> int | None:
        """Since when something waits for a grace period or a worker; None: nothing does."""
        times = [time for time in (oldest_ns(self.handle, RCU), oldest_ns(self.handle, WORKER)) if time >= 0]
        return min(times, default=None)

    def deferred_count(self) -> int:
        """How many things wait for a grace period."""
        ends = self.state.deferred_ends
        return int(ends[0] - ends[1])

    def run_deferred(self, cpu: int, noted_until_ns: int) -> int:
        """Give back what has waited since before a time; returns how many things that were."""
        return sum(
            int(give_due(self.handle, when, cpu, noted_until_ns, self.now_ns)) for when in (RCU, WORKER)
        )

    def split_count(self) -> int:
        """Entries of the direct map split so far."""
        counters = self.state.direct_map.counters[0]
        return int(counters["level2_splits"]) + int(counters["level3_splits"])

    @property
    def store(self) -> Store:
        """State of the page allocator."""
        return self.state.pages

    def state_digest(self) -> bytes:
        """Owner of every page that is in use, and the tiling: what a fingerprint covers beside the series."""
        from models.kernel.digest import digest  # noqa: PLC0415 - only a finished run needs it

        return digest(self.state)

    def settings(self) -> dict[str, Any]:
        """What the kernel counts outside the series."""
        return {"oom_kills": self.oom_kills, "refusals": dict(self.limits.refusals)}


O_CLOEXEC = 0o2000000


class _Numbers:
    """Numbers handed out, the ones given back last first."""

    def __init__(self, first: int, end: int) -> None:
        self._next = first
        self._end = end
        self._back: list[int] = []

    def take(self) -> int:
        if self._back:
            return self._back.pop()
        if self._next == self._end:
            raise OverflowError(f"more than {self._end} holders of pages")
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        self._back.append(number)

"""Tasks: fork, exit, wait, and whom the OOM killer chooses."""

from __future__ import annotations

import errno
from typing import Final

from models.kernel.areas import Areas
from models.kernel.chains import move
from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.faults import Faulting
from models.kernel.limits import Group, User
from models.kernel.pages.fallback import FORKED
from models.kernel.program_steps import reset_holder
from models.kernel.records import ANON, INHERITED

__all__ = ["Tasks"]

SMALL_FDTABLE: Final = 64
"""Descriptors that fit into a task itself (`NR_OPEN_DEFAULT`)."""


class Tasks(Faulting):
    """A kernel that has tasks."""

    def first_task(self, user: User) -> Task:
        """A task that exists when the simulation begins; what it holds is part of the boot."""
        task = self._new_task(user, 1)
        self._adopt(task)
        self.state.counts["first_tasks"][0] += 1
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
        self.spent_ns += self._ns["fork"] + self._ns["descriptor"] * parent.descriptors
        task = self._new_task(parent.user, parent.generation + 1)
        self._adopt(task)
        if group is not None:
            group.charge(charged)
            task.charged_pages = charged
        if not self.run("fork", task.holder, cpu, self.fork_flags(parent), parent.generation):
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
        task.descriptors, task.max_fds = parent.descriptors, parent.max_fds
        parent.forks += 1
        self.forked = True
        # What the parent has copied since its last fork, it copies again when it writes; the child keeps it.
        move(self.handle, parent.holder, ANON, task.holder, INHERITED, FORKED)
        self.run("fork_returns", parent.holder, cpu)
        return task

    def fork_flags(self, parent: Task) -> int:
        """Conditions that hold when a task forks: a table of many descriptors is copied."""
        many_files = parent.descriptors + len(parent.files) > SMALL_FDTABLE
        return self.programs.flag("large_fdtable") if many_files else 0

    def adopt(self, parent: Task, holder: int, file_holder: int, mapping_holder: int, touched: int) -> Task:
        """Make a task of a child that compiled code has made (`models.kernel.plain_tasks`), and accounted for.

        Args:
            parent: who forked it.
            holder: of its pages; 0: it is gone but for its last moments on a CPU.
            file_holder, mapping_holder: of its secret file and the mapping of that; 0: it has none, or has ended.
            touched: pages of the file.
        """
        task = Task(holder, parent.user, parent.generation + 1, Areas(self._new_table, self._tables.give))
        task.descriptors, task.max_fds = parent.descriptors, parent.max_fds
        if holder:
            self.tasks.add(task)
        if file_holder:
            file = SecretFile(file_holder, parent.user)
            file.size_pages, file.present = 1, touched
            task.files.append(file)
        if mapping_holder:
            mapping = Mapping(mapping_holder, file, 1, locked=True)
            mapping.start, mapping.touched = task.areas.place(1), touched
            mapping.tables = task.areas.share(mapping.start, 1)
            task.mappings.append(mapping)
            file.references += 1
            task.mapped = task.locked_pages = 1
        return task

    def start(self, task: Task, cpu: int) -> None:
        """First steps of a new process: it copies the pages that it writes to."""
        self.run("child_starts", task.holder, cpu)
        self.spent_ns += self._ns["start"]

    def exit(self, task: Task, cpu: int) -> None:
        """End a process: its memory, then its files; `reap` takes the rest."""
        self.spent_ns += self._ns["exit"] + self._ns["descriptor"] * task.descriptors
        task.ending = True
        for mapping in reversed(task.mappings):
            self._unmap(task, mapping, cpu)
        task.mappings.clear()
        self._drop_vmas(task, cpu)
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
        if task.generation == 1:
            self.state.counts["first_tasks"][0] -= 1

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

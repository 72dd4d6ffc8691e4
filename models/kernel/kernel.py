"""The kernel's face: one method per system call, fault or kernel thread's round; plain state, no time.

Every operation changes state at once and adds what it costs to ``charge`` (compiled parts) and ``spent_ns``; whoever
calls pays with simulated time. CPUs are given by number. The calls are in `secret_files`, `mappings`, `faults` and
`tasks`, each standing on the one before; here is what user programs do to look at them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from models.kernel.code import CodeSpace
from models.kernel.entities import Task
from models.kernel.merging import MergeNever, MergingConfig
from models.kernel.program_steps import SCRATCH
from models.kernel.tasks import Tasks

__all__ = ["Kernel"]


class Kernel(Tasks):
    """A running kernel; see `models.kernel.core.Core` for its other attributes.

    Attributes:
        copies_ns: what a look at the counters takes more of a task that has forked: it writes to pages that it shares.
    """

    def __init__(self, *parts: Any) -> None:
        """As `Core`; nothing merges until whoever builds the kernel says otherwise."""
        super().__init__(*parts)
        self.merging = MergeNever(self, MergingConfig())
        self._knows_proc = False
        self.copies_ns = self.programs.pages_of_a_task("parent_samples")[1] * self.costs.ns("ordinary_fault")

    @cached_property
    def code(self) -> CodeSpace:
        """Memory for modules, BPF programs and trampolines."""
        return CodeSpace(self)

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
        self.spent_ns += self._ns["resume"]

    def read_counters(self, task: Task, cpu: int) -> None:
        """Read the kernel's counters in /proc: a task that has forked writes to pages that it shares."""
        self.spent_ns += self._ns["null_syscall"]
        if task.forks:
            self.run("parent_samples", task.holder, cpu)
            self.spent_ns += self.copies_ns

    def read_proc(self, cpu: int) -> None:
        """Look into /proc: what the first look takes stays in the caches of names and inodes."""
        self.spent_ns += self._ns["null_syscall"]
        if not self._knows_proc:
            self._knows_proc = True
            self.run("read_proc", SCRATCH, cpu)

    def read_pagemap(self, cpu: int) -> None:
        """Look up a process's frames in /proc."""
        self.spent_ns += self._ns["null_syscall"]
        holder = self.new_holder()
        self.run("read_pagemap", holder, cpu)
        self.drop_holder(holder)

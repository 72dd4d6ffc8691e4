"""Workload `fork_bomb`: many tasks, each with a few secret pages in a file of its own."""

from __future__ import annotations

import errno
from typing import Literal

import simpy

from models.kernel.code_pages import give_area, take_area
from models.kernel.entities import Task
from models.kernel.errors import KernelRefusal
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.brood import Brood
from models.workloads.brood_steps import STAND
from models.workloads.fork_bomb_census import Census
from models.workloads.fork_bomb_child import Child
from models.workloads.resumed import Resumed
from models.workloads.thread import Thread
from models.workloads.waits import Killed
from simcore.units import Nanoseconds

__all__ = ["ForkBomb", "ForkBombConfig"]


_REPORT_HEAD_BYTES = 64
_REPORT_BYTES = 16
_PAGE_BYTES = 4096


class ForkBombConfig(WorkloadConfig):
    """``tasks`` tasks, each with ``ordinary_before`` pages, one file of ``secret_pages``, ``ordinary_after`` pages.

    Attributes:
        hold: how long a task lives once it has its pages; None: until all tasks are there.
        growth: `parent`: one task forks all others; `tree`: every task forks ``branches`` more.
        in_step: the forking task waits until the new one has its pages before it forks the next.
        in_phases: when all are there, each frees its ordinary memory, and only when all have does the first one end.
        report: tasks also report in memory that they share with the forking task, which it has mapped first.
        inherit: the forking task touches one secret page of its own first, which all others inherit.
        kernel_pages: unmovable pages that a fork takes besides: page tables and slabs of a program larger than the
            footprints'.
    """

    kind: Literal["fork_bomb"] = "fork_bomb"
    tasks: Positive = 256
    secret_pages: Count = 1
    ordinary_before: Count = 0
    ordinary_after: Count = 0
    hold: Nanoseconds | None = None
    growth: Literal["parent", "tree"] = "parent"
    branches: Positive = 2
    in_step: bool = False
    in_phases: bool = False
    report: bool = False
    inherit: bool = False
    kernel_pages: Count = 0


class ForkBomb(Workload):
    """See `ForkBombConfig`.

    Attributes:
        census: where its tasks are.
        ended: tasks that have ended in phases and are not collected yet.
    """

    Config = ForkBombConfig
    config: ForkBombConfig
    census: Census
    ended: list[Task]

    def run(self, thread: Thread) -> Wait:
        """Fork until all tasks are there, or until the kernel refuses; wait for them to end."""
        self.census = Census(self.system.env)
        self._parent = thread
        self.ended = []
        self._brood = self._begin_brood(thread.task)
        try:
            yield from self._grow(thread)
        except (Killed, simpy.Interrupt):
            self._let_go()
            raise

    def _begin_brood(self, parent: Task) -> Brood | None:
        """Children need no process each when all they do is get one page, and nobody asks for more."""
        config = self.config
        wants_more = (
            config.ordinary_before or config.ordinary_after or config.in_step or config.in_phases or config.report
            or config.inherit or config.growth == "tree" or config.hold or self.watchers or self._sample_at
            or config.kernel_pages
        )  # fmt: skip
        if config.secret_pages != 1 or wants_more:
            return None
        brood = self.system.broods.begin(
            parent, holds=config.hold is None, all_standing=self.census.all_there, all_gone=self.census.all_gone
        )
        if brood is not None:
            brood.count, brood.resume, brood.disbanded = self.count, self._resume, self._disbanded
            self.census.growing = 0
        return brood

    def _disbanded(self, growing: int, alive: int) -> None:
        """Children have processes from now on."""
        self._brood, self.census.growing, self.census.alive = None, growing, alive

    def _resume(self, resumed: Resumed) -> None:
        """Give a child a process that goes on where it stands."""
        process = self.system.env.process(Child(self, resumed.task, resumed=resumed).life())
        if resumed.stage <= STAND or resumed.asleep:
            resumed.task.process = process

    def _grow(self, thread: Thread) -> Wait:
        kernel, config = self.system.kernel, self.config
        if config.in_step:
            kernel.open_report_pipes(thread.cpu)
        if config.report:
            pages = -(-(_REPORT_HEAD_BYTES + config.tasks * _REPORT_BYTES) // _PAGE_BYTES)
            yield from thread.touch(pages, kernel.map_shared(thread.task, pages))
        yield from self.look_into_proc(thread)
        yield from self.sample(thread, "ready")
        if config.inherit:
            file = yield from thread.open_secret(1)
            mapping = yield from thread.map_secret(file, 1)
            yield from thread.touch_secret(mapping)
        try:
            if config.growth == "tree":
                yield from self.branch(thread)
            else:
                while self.census.begun < config.tasks:
                    yield from self.paced(thread, self.census.begun)
                    if (forked := (yield from self._fork_brood(thread))) > 0:
                        self.census.begun += forked
                        continue
                    ready = yield from self._fork(thread)
                    if config.in_step:
                        if not ready.processed:
                            thread.sleep()
                            yield ready
                            yield from thread.run()
                        kernel.resume(thread.task, thread.cpu)
                        yield from self.sample(thread, "fork", self.census.begun)
        except KernelRefusal as refusal:
            self.count(f"refused_{refusal.name}")
        finally:
            self.stand_up()
        if config.in_phases:
            yield from self._end_in_phases(thread)
        thread.sleep()
        if self.census.alive if self._brood is None else self._brood.alive:
            yield self.census.all_gone
        yield from thread.run()
        half = len(self.ended) // 2
        yield from self._collect(thread, self.ended[:half])
        yield from self.sample(thread, "halfexit")
        yield from self._collect(thread, self.ended[half:])
        self.ended.clear()
        yield from self.sample(thread, "allexit")

    def _collect(self, thread: Thread, ended: list[Task]) -> Wait:
        """Wait for tasks that have ended."""
        for task in ended:
            self.system.kernel.reap(task, thread.cpu)
            yield from thread.spend()

    def _end_in_phases(self, thread: Thread) -> Wait:
        """Look the frames up, let all tasks free their ordinary memory, then let them end."""
        yield from self.sample(thread, "peak")
        if self._sample_at:
            for _ in range(self.census.alive):
                self.system.kernel.read_pagemap(thread.cpu)
                yield from thread.spend()
        yield from self.sample(thread, "pfnread")
        self.census.all_there.succeed()
        thread.sleep()
        if self.census.alive:
            yield self.census.all_freed
        yield from thread.run()
        yield from self.sample(thread, "anonfreed")
        self.census.may_end.succeed()

    def branch(self, thread: Thread) -> Wait:
        """Fork the children of one task of a tree."""
        for _ in range(self.config.branches):
            if self.census.begun >= self.config.tasks:
                return
            try:
                yield from self._fork(thread)
            except KernelRefusal as refusal:
                self.count(f"refused_{refusal.name}")
                return

    def _fork_brood(self, thread: Thread) -> Wait:
        """Fork children that need no process, as many as may be; returns how many."""
        brood = self._brood
        if brood is None:
            return 0
        room = brood.room(thread.cpu, 1 if self.config.rate else self.config.tasks - self.census.begun)
        if room > 0:
            return (yield from brood.fork(thread, room))
        self.system.broods.disband(brood)
        return 0

    def _fork(self, thread: Thread) -> Wait:
        """Fork one task and start its process; returns, for work in step, the event that it has its pages."""
        kernel, env = self.system.kernel, self.system.env
        larger = None
        try:
            larger = self._take_kernel_pages(thread.cpu)
            child = kernel.fork(thread.task, thread.cpu)
        except KernelRefusal:
            if larger is not None:
                give_area(kernel.handle, thread.cpu, larger)
                kernel.drop_holder(larger)
            yield from thread.spend()
            raise
        self.census.fork()
        self.count("tasks")
        ready = env.event() if self.config.in_step else None
        try:
            yield from thread.spend()
        finally:
            # Whatever becomes of the parent meanwhile, the child is there.
            new = Child(self, child, ready=ready, larger=larger)
            new.thread.wake()
            child.process = env.process(new.life())
        return ready

    def _take_kernel_pages(self, cpu: int) -> int | None:
        """Take the pages of a larger program; returns who holds them."""
        kernel, pages = self.system.kernel, self.config.kernel_pages
        if not pages:
            return None
        holder = kernel.new_holder()
        if not take_area(kernel.handle, cpu, kernel.node_of[cpu], holder, pages, False):
            kernel.drop_holder(holder)
            raise kernel.limits.refuse(errno.ENOMEM, f"no memory for {pages} kernel pages of a task")
        return holder

    def stand_up(self, ready: simpy.Event | None = None) -> None:
        """One more task has its pages and forks no more, or has died trying; with the last one, all are there."""
        if ready is not None:
            self._parent.wake()
            ready.succeed()
        left = self._brood.stand_up() if self._brood is not None else self.census.stand_up()
        if left == 0 and not self.config.in_phases and not self.census.all_there.triggered:
            self.census.all_there.succeed()

    def _let_go(self) -> None:
        """The forking task has died."""
        self.system.broods.disband()
        self.census.let_go()

"""Workload `fork_bomb`: many tasks, each with a few secret pages in a file of its own."""

from __future__ import annotations

import errno
from typing import Literal

import simpy

from models.kernel.code_pages import give_area, take_area
from models.kernel.entities import Mapping, Task
from models.kernel.errors import KernelRefusal
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.brood import Brood
from models.workloads.brood_steps import END, MAP, OPEN, REAP, STAND, TOUCH
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
    """See `ForkBombConfig`."""

    Config = ForkBombConfig
    config: ForkBombConfig

    def run(self, thread: Thread) -> Wait:
        """Fork until all tasks are there, or until the kernel refuses; wait for them to end."""
        env = self.system.env
        self._begun = self._alive = 0
        self._growing = 1
        self._all_there = env.event()
        self._all_freed, self._may_end = env.event(), env.event()
        self._all_gone = env.event()
        self._freed = 0
        self._ended: list[Task] = []
        self._shared: Mapping | None = None
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
            parent, holds=config.hold is None, all_standing=self._all_there, all_gone=self._all_gone
        )
        if brood is not None:
            brood.count, brood.resume, brood.disbanded = self.count, self._resume, self._disbanded
            self._growing = 0
        return brood

    def _disbanded(self, growing: int, alive: int) -> None:
        """Children have processes from now on."""
        self._brood, self._growing, self._alive = None, growing, alive

    def _resume(self, resumed: Resumed) -> None:
        """Give a child a process that goes on where it stands."""
        process = self.system.env.process(self._child(resumed.task, None, resumed))
        if resumed.stage <= STAND or resumed.asleep:
            resumed.task.process = process

    def _grow(self, thread: Thread) -> Wait:
        kernel, config = self.system.kernel, self.config
        if config.in_step:
            kernel.open_report_pipes(thread.cpu)
        if config.report:
            pages = -(-(_REPORT_HEAD_BYTES + config.tasks * _REPORT_BYTES) // _PAGE_BYTES)
            self._shared = kernel.map_shared(thread.task, pages)
            yield from thread.touch(pages, self._shared)
        yield from self.look_into_proc(thread)
        yield from self.sample(thread, "ready")
        if config.inherit:
            file = yield from thread.open_secret(1)
            mapping = yield from thread.map_secret(file, 1)
            yield from thread.touch_secret(mapping)
        try:
            if config.growth == "tree":
                yield from self._branch(thread)
            else:
                while self._begun < config.tasks:
                    yield from self.paced(thread, self._begun)
                    if (forked := (yield from self._fork_brood(thread))) > 0:
                        self._begun += forked
                        continue
                    ready = yield from self._fork(thread)
                    if config.in_step:
                        if not ready.processed:
                            thread.sleep()
                            yield ready
                            yield from thread.run()
                        kernel.resume(thread.task, thread.cpu)
                        yield from self.sample(thread, "fork", self._begun)
        except KernelRefusal as refusal:
            self.count(f"refused_{refusal.name}")
        finally:
            self._stand_up()
        if config.in_phases:
            yield from self._end_in_phases(thread)
        thread.sleep()
        if self._alive if self._brood is None else self._brood.alive:
            yield self._all_gone
        yield from thread.run()
        half = len(self._ended) // 2
        yield from self._collect(thread, self._ended[:half])
        yield from self.sample(thread, "halfexit")
        yield from self._collect(thread, self._ended[half:])
        self._ended.clear()
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
            for _ in range(self._alive):
                self.system.kernel.read_pagemap(thread.cpu)
                yield from thread.spend()
        yield from self.sample(thread, "pfnread")
        self._all_there.succeed()
        thread.sleep()
        if self._alive:
            yield self._all_freed
        yield from thread.run()
        yield from self.sample(thread, "anonfreed")
        self._may_end.succeed()

    def _branch(self, thread: Thread) -> Wait:
        for _ in range(self.config.branches):
            if self._begun >= self.config.tasks:
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
        room = brood.room(thread.cpu, 1 if self.config.rate else self.config.tasks - self._begun)
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
            self._give_kernel_pages(larger, thread.cpu)
            yield from thread.spend()
            raise
        self._begun += 1
        self._alive += 1
        self._growing += 1
        self.count("tasks")
        ready = env.event() if self.config.in_step else None
        try:
            yield from thread.spend()
        finally:
            # Whatever becomes of the parent meanwhile, the child is there.
            child.process = env.process(self._child(child, ready, larger=larger))
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

    def _give_kernel_pages(self, holder: int | None, cpu: int) -> None:
        if holder is not None:
            give_area(self.system.kernel.handle, cpu, holder)
            self.system.kernel.drop_holder(holder)

    def _child(
        self, task: Task, ready: simpy.Event | None, resumed: Resumed | None = None, larger: int | None = None
    ) -> Wait:
        """A child's life.

        Args:
            ready: for work in step: succeeds when it has its pages.
            resumed: where it stands if it had no process so far.
            larger: who holds the pages that it takes as a larger program.
        """
        thread = Thread(self.system, task, -1 if resumed is None else resumed.last_cpu)
        config, stage = self.config, OPEN if resumed is None else resumed.stage
        standing = stage > STAND
        try:
            yield from (thread.run() if resumed is None else self._arrive(thread, resumed))
            ordinary: list[Mapping | None] = []
            if not standing:
                yield from self._get_pages(thread, resumed, ordinary)
                standing = True
                self._stand_up(ready)
                for leaver in self.leavers:
                    yield from leaver(thread)
            if config.hold is None and (stage <= STAND or (resumed is not None and resumed.asleep)):
                thread.sleep()
                yield self._all_there
            elif config.hold:
                thread.sleep()
                yield self.system.env.timeout(config.hold)
            if config.in_phases:
                yield from self._free_ordinary(thread, ordinary)
        except KernelRefusal as refusal:
            self.count(f"refused_{refusal.name}")
        except Killed as death:
            self._died(death.signal)
        except simpy.Interrupt as interrupt:
            self._died(str(interrupt.cause))
        if not standing:
            self._stand_up(ready)
        task.process = None
        if larger is not None:
            yield from thread.run()
            self._give_kernel_pages(larger, thread.cpu)
        if stage <= END:
            yield from thread.exit(collected=not config.in_phases)
        else:
            yield from thread.leave(collected=stage == REAP)
        if config.in_phases:
            self._ended.append(task)
        self._alive -= 1
        if config.in_phases and 0 < self._alive == self._freed and not self._all_freed.triggered:
            self._all_freed.succeed()
        if self._alive == 0 and self._all_there.triggered:
            self._all_gone.succeed()

    def _arrive(self, thread: Thread, resumed: Resumed) -> Wait:
        """Go on where a child stood; a fault that it was in counts, even if it is killed before that ends."""
        try:
            yield from thread.arrive(resumed)
        finally:
            if resumed.stage == STAND:
                self.system.secret_faults += 1
                self.system.secret_fault_ns += self.system.env.now - resumed.touched_ns

    def _get_pages(self, thread: Thread, resumed: Resumed | None, ordinary: list[Mapping | None]) -> Wait:
        """Get what a child wants, from where it stands; the mappings of its ordinary pages go into ``ordinary``."""
        kernel, config, task = self.system.kernel, self.config, thread.task
        stage = OPEN if resumed is None else resumed.stage
        if stage == OPEN:
            kernel.start(task, thread.cpu)
            ordinary.append((yield from self._touch_ordinary(thread, config.ordinary_before)))
        if config.secret_pages:
            file = (yield from thread.open_secret(config.secret_pages)) if stage == OPEN else task.files[-1]
            mapping = (yield from thread.map_secret(file, config.secret_pages)) if stage <= MAP else task.mappings[-1]
            if stage <= TOUCH:
                yield from thread.touch_secret(mapping, config.secret_pages)
            self.filled(file)
            self.count("secret_pages", config.secret_pages)
        ordinary.append((yield from self._touch_ordinary(thread, config.ordinary_after)))
        if self._shared is not None:
            inherited = next(mapping for mapping in task.mappings if mapping.shared)
            yield from thread.touch_tables(inherited, 1)
        if config.in_step:
            kernel.report(thread.cpu)
        if config.growth == "tree":
            yield from self._branch(thread)

    def _touch_ordinary(self, thread: Thread, pages: int) -> Wait:
        if not pages:
            return None
        mapping = self.system.kernel.map_ordinary(thread.task, pages, thread.cpu)
        yield from thread.touch(pages, mapping)
        return mapping

    def _free_ordinary(self, thread: Thread, mappings: list[Mapping | None]) -> Wait:
        """Free a task's ordinary memory, and wait until all tasks have."""
        yield from thread.run()
        for mapping in mappings:
            if mapping is not None:
                yield from thread.unmap(mapping)
        thread.sleep()
        self._freed += 1
        if self._freed == self._alive:
            self._all_freed.succeed()
        yield self._may_end

    def _stand_up(self, ready: simpy.Event | None = None) -> None:
        """One more task has its pages and forks no more, or has died trying; with the last one, all are there."""
        if ready is not None:
            ready.succeed()
        if self._brood is not None:
            left = self._brood.stand_up()
        else:
            self._growing -= 1
            left = self._growing
        if left == 0 and not self.config.in_phases and not self._all_there.triggered:
            self._all_there.succeed()

    def _let_go(self) -> None:
        """The forking task has died: nobody waits for it any longer."""
        self.system.broods.disband()
        for event in (self._all_there, self._may_end):
            if not event.triggered:
                event.succeed()

"""One task of a fork bomb: it gets its pages, says so, stays, and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from models.kernel.code_pages import give_area
from models.kernel.entities import Mapping, Task
from models.kernel.errors import KernelRefusal
from models.workloads.brood_steps import END, MAP, OPEN, REAP, STAND, TOUCH
from models.workloads.resumed import Resumed
from models.workloads.thread import Thread
from models.workloads.waits import Killed, Wait

if TYPE_CHECKING:
    from models.workloads.fork_bomb import ForkBomb

__all__ = ["Child"]


class Child:
    """A task with a process of its own.

    Attributes:
        thread: its thread.
    """

    def __init__(
        self, bomb: ForkBomb, task: Task, *, ready: simpy.Event | None = None, resumed: Resumed | None = None,
        larger: int | None = None,
    ) -> None:  # fmt: skip
        """Take part in a bomb.

        Args:
            ready: for work in step: succeeds when the task has its pages.
            resumed: where it stands if it had no process so far.
            larger: who holds the pages that it takes as a larger program.
        """
        self._bomb, self._task, self._ready, self._resumed, self._larger = bomb, task, ready, resumed, larger
        self._system, self._config, self._census = bomb.system, bomb.config, bomb.census
        self._stage = OPEN if resumed is None else resumed.stage
        self._ordinary: list[Mapping] = []
        self.thread = Thread(self._system, task, -1 if resumed is None else resumed.last_cpu)

    def life(self) -> Wait:
        """All that it does."""
        resumed, config, thread = self._resumed, self._config, self.thread
        standing = self._stage > STAND
        try:
            yield from (thread.run() if resumed is None else self._arrive(thread, resumed))
            if not standing:
                yield from self._get_pages(thread)
                standing = True
                self._bomb.stand_up(self._ready)
                if self._system.fair is not None:  # whom it reports to has slept, and preempts it
                    yield from thread.give_way()
                for leaver in self._bomb.leavers:
                    yield from leaver(thread)
            if config.hold is None and (self._stage <= STAND or (resumed is not None and resumed.asleep)):
                thread.sleep()
                yield self._census.all_there
            elif config.hold:
                thread.sleep()
                yield self._system.env.timeout(config.hold)
            if config.in_phases:
                yield from self._free_ordinary(thread)
        except KernelRefusal as refusal:
            self._bomb.count(f"refused_{refusal.name}")
        except Killed as death:
            self._bomb.died(death.signal)
        except simpy.Interrupt as interrupt:
            self._bomb.died(str(interrupt.cause))
        if not standing:
            self._bomb.stand_up(self._ready)
        yield from self._end(thread)

    def _end(self, thread: Thread) -> Wait:
        task, in_phases = self._task, self._config.in_phases
        task.process = None
        if self._larger is not None:
            yield from thread.run()
            give_area(self._system.kernel.handle, thread.cpu, self._larger)
            self._system.kernel.drop_holder(self._larger)
        if self._stage <= END:
            yield from thread.exit(collected=not in_phases)
        else:
            yield from thread.leave(collected=self._stage == REAP)
        if in_phases:
            self._bomb.ended.append(task)
        self._census.end(in_phases=in_phases)

    def _arrive(self, thread: Thread, resumed: Resumed) -> Wait:
        """Go on where it stood; a fault that it was in counts, even if it is killed before that ends."""
        try:
            yield from thread.arrive(resumed)
        finally:
            if resumed.stage == STAND:
                self._system.secret_faults += 1
                self._system.secret_fault_ns += self._system.env.now - resumed.touched_ns

    def _get_pages(self, thread: Thread) -> Wait:
        """Get what it wants, from where it stands."""
        kernel, config, task, stage = self._system.kernel, self._config, self._task, self._stage
        if stage == OPEN:
            kernel.start(task, thread.cpu)
            yield from self._touch_ordinary(thread, config.ordinary_before)
        if config.secret_pages:
            file = (yield from thread.open_secret(config.secret_pages)) if stage == OPEN else task.files[-1]
            mapping = (yield from thread.map_secret(file, config.secret_pages)) if stage <= MAP else task.mappings[-1]
            if stage <= TOUCH:
                yield from thread.touch_secret(mapping, config.secret_pages)
            self._bomb.filled(file)
            self._bomb.count("secret_pages", config.secret_pages)
        yield from self._touch_ordinary(thread, config.ordinary_after)
        if config.report:
            inherited = next(mapping for mapping in task.mappings if mapping.shared)
            yield from thread.touch_tables(inherited, 1)
        if config.in_step:
            kernel.report(thread.cpu)
        if config.growth == "tree":
            yield from self._bomb.branch(thread)

    def _touch_ordinary(self, thread: Thread, pages: int) -> Wait:
        if pages:
            mapping = self._system.kernel.map_ordinary(self._task, pages, thread.cpu)
            yield from thread.touch(pages, mapping)
            self._ordinary.append(mapping)

    def _free_ordinary(self, thread: Thread) -> Wait:
        """Free its ordinary memory, and wait until all tasks have."""
        yield from thread.run()
        for mapping in self._ordinary:
            yield from thread.unmap(mapping)
        thread.sleep()
        self._census.free()
        yield self._census.may_end

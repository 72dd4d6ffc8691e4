"""Getting a CPU, letting the time of operations pass on it, and giving it up [design rule 3]."""

from __future__ import annotations

from typing import cast

import simpy

from models.kernel.entities import Task
from models.workloads.clocks import pay
from models.workloads.resumed import Resumed
from models.workloads.running import push
from models.workloads.system import System
from models.workloads.waits import AT_ONCE, Wait
from simcore.environment import LateTimeout

__all__ = ["OnCpu"]


class OnCpu:
    """Somebody who runs on a CPU. All methods that take time are generators, to be used with ``yield from``.

    Attributes:
        task: what it executes.
        cpu: the CPU it has, or -1.
        began_ns: when it got it.
    """

    __slots__ = ("_given", "_last", "began_ns", "cpu", "system", "task")

    def __init__(self, system: System, task: Task, last_cpu: int = -1) -> None:
        self.system = system
        self.task = task
        self.cpu = -1
        self._last = last_cpu
        self._given: simpy.Event | None = None
        self.began_ns = 0

    def run(self) -> Wait:
        """Get a CPU."""
        if self.cpu >= 0:
            return AT_ONCE
        if self._given is not None:
            event, self._given = self._given, None
            return self._wait_for_cpu(event)
        system = self.system
        self.cpu = system.cpus.try_acquire(self._last, self, new=self._last < 0)
        if self.cpu < 0:
            return self._wait_for_cpu()
        self._got_cpu(system.env.now)
        return AT_ONCE

    def wake(self) -> None:
        """It wants a CPU from now on, before it comes to `run`: a fair one may go to it at once."""
        fair = self.system.fair
        if fair is not None and self.cpu < 0 and self._given is None:
            self._given = fair.acquire(self, new=self._last < 0)

    def _wait_for_cpu(self, event: simpy.Event | None = None) -> Wait:
        system = self.system
        asked_ns = system.env.now
        if event is None:
            event = system.cpus.acquire(self, new=self._last < 0)
        try:
            self.cpu = yield event
        except simpy.Interrupt:
            if event.triggered:
                system.cpus.release(cast(int, event.value))  # killed after it was given a CPU, and before it knew
            else:
                system.cpus.leave_queue(event)
            raise
        self._got_cpu(asked_ns)

    def _got_cpu(self, asked_ns: int) -> None:
        system = self.system
        self.began_ns = system.kernel.now_ns = system.env.now
        if system.tracer is not None:
            system.tracer.got_cpu(self.task, self.cpu, asked_ns, self.began_ns)

    def sleep(self) -> None:
        """Give the CPU up until there is something to do again."""
        self._release(sleeps=True)

    def _release(self, *, sleeps: bool) -> None:
        if self.cpu >= 0:
            self._last = self.cpu
            self.system.clocks.clock["switches"] += 1
            if self.system.tracer is not None:
                self.system.tracer.left_cpu(self.task, self.cpu, self.system.env.now)
            self.system.cpus.release(self.cpu, sleeps=sleeps)
            self.cpu = -1

    def arrive(self, resumed: Resumed) -> Wait:
        """Go on where a child stood that had no thread."""
        event = resumed.event
        if resumed.cpu >= 0:
            self.cpu, self.began_ns = resumed.cpu, resumed.began_ns
            yield from self.wait_for(event)
            yield from self.give_way()
        elif event is not None:
            yield from self._wait_for_cpu(event)
        elif not resumed.asleep:
            yield from self.run()

    def give_way(self) -> Wait:
        """Sleep until it is this thread's turn again, if its time slice is over and others wait."""
        system = self.system
        cpus, began_ns = system.cpus, self.began_ns
        if system.env._now - began_ns >= cpus.slice_ns and cpus.gives_way(began_ns):
            self._release(sleeps=False)
            return self._wait_for_cpu()
        return AT_ONCE

    def wait_for(self, end: simpy.Event | None) -> Wait:
        """Wait for the end of this CPU's operation; None: it has ended."""
        system = self.system
        if end is not None:
            try:
                yield end
            except simpy.Interrupt:
                system.operations.forget(self.cpu)
                raise
        system.kernel.now_ns = system.env.now

    def spend(self) -> Wait:
        """Let the time pass that the last operation takes, interrupts of this CPU included."""
        system = self.system
        env, kernel = system.env, system.kernel
        spent_ns, kernel.spent_ns = kernel.spent_ns, 0
        now_ns = env._now
        delay_ns = pay(kernel.handle, system.clocks.handle, now_ns, spent_ns)
        if system.direct and not system.operations.in_progress and env.pass_time(delay_ns):
            # Nobody else does anything, and nothing is due before: there is nobody to be asked.
            kernel.now_ns = now_ns + delay_ns
            return self.give_way()
        return self.wait_out(delay_ns)

    def wait_out(self, delay_ns: int) -> Wait:
        """Let the time pass that an operation takes which begins now and is paid for, while others may do something."""
        system = self.system
        if system.single:
            return self._wait_alone(delay_ns)
        push(system.clocks.handle, self.cpu, system.env.now + delay_ns)
        return self._pass("" if system.tracer is None else system.tracer.operation(), delay_ns)

    def _pass(self, operation: str, delay_ns: int) -> Wait:
        """Let the time of an operation pass: at once when nothing else can happen meanwhile.

        Args:
            operation: what a trace calls it.
            delay_ns: time that it takes without interrupts; less than 0: not known.
        """
        system = self.system
        began_ns = system.env.now
        event = system.operations.end_of(self.cpu)
        if event is not None:
            return self._wait(event, operation, began_ns, delay_ns)
        now_ns = system.kernel.now_ns = system.env.now
        if system.tracer is not None:
            system.tracer.worked(self.task, self.cpu, began_ns, now_ns, operation)
        return self.give_way()

    def _wait_alone(self, delay_ns: int) -> Wait:
        """Wait on a machine's only CPU: nobody else can interrupt it."""
        system = self.system
        system.call_ends_ns = system.env.now + delay_ns
        yield LateTimeout(system.env, delay_ns)
        system.kernel.now_ns = system.env.now
        yield from self.give_way()

    def _wait(self, event: simpy.Event, operation: str, began_ns: int, delay_ns: int) -> Wait:
        system = self.system
        yield from self.wait_for(event)
        if system.tracer is not None:
            now_ns = system.env.now
            system.tracer.worked(self.task, self.cpu, began_ns, now_ns, operation)
            if 0 <= delay_ns < now_ns - began_ns:
                system.tracer.interrupted(self.cpu, began_ns + delay_ns, now_ns)
        yield from self.give_way()

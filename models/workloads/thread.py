"""A task in time: it runs kernel operations on a CPU and waits for as long as they take."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, cast

import simpy

from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.errors import FaultResult
from models.kernel.kernel import Kernel
from models.kernel.observe import observe
from models.workloads.burst import ANON, SECRET, TABLE, next_fault, set_range
from models.workloads.clocks import Clocks, pay
from models.workloads.cpus import SLICE_NS, Cpus
from models.workloads.fault_ranges import FaultRanges
from models.workloads.operations import Operations
from models.workloads.running import push
from models.workloads.tracer import Tracer
from simcore.environment import Environment, LateTimeout

__all__ = ["Killed", "System", "Thread"]

Wait = Generator[simpy.Event, Any, Any]
_AT_ONCE: Final = cast(Wait, ())
"""What there is to wait for when time has passed already."""
_OOM_PAUSE_NS: Final = 1_000_000
"""How long an allocation waits for the OOM killer's victim before it tries again [6.1: a jiffy or more]."""


_FAULTS: Final = {SECRET: "secret faults", ANON: "faults", TABLE: "faults on zero pages"}
"""What a trace calls them."""


class Killed(Exception):  # noqa: N818 - an end that a task may meet, not a fault of the program
    """The task got a signal that ends it: SIGBUS, or SIGKILL from the OOM killer."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal


class System:
    """What all threads share: kernel, CPUs, time.

    Attributes:
        batching: whether one event may do the work of many.
        on_fault_oom: `kill`: a fault without memory calls the OOM killer whatever order it wanted (kernels of 2020);
            `retry`: only for small orders, and a pool's fault is retried for ever (6.1).
        operations: what is in progress on the CPUs.
        ranges: what threads are faulting in.
        killed: tasks ended by a signal, by signal.
        livelocked: tasks that spin in a fault that can never succeed.
        grace: when callbacks run that wait for a grace period.
        tick_ns: time between two ticks of the timer.
        switches: how often a task gave its CPU up.
        secret_faults: secret pages touched.
        secret_fault_ns: time from touching them until they were there, waits for CPUs, locks and flushes included.
        tracer: told what threads do, when the run is traced.
        single: there is one CPU, so that operations end when they are due, one after the other.
        direct: an operation of one task alone may move the clock by itself, since nobody watches.
    """

    def __init__(
        self,
        env: Environment,
        kernel: Kernel,
        cpus: int,
        *,
        batching: bool = True,
        on_fault_oom: str = "retry",
    ) -> None:
        self.env = env
        self.kernel = kernel
        self.cpus = Cpus(env, cpus)
        self.clocks = Clocks(cpus)
        self.batching = batching
        self.operations = Operations(env, kernel, self.clocks, self.cpus, batching)
        self.ranges = FaultRanges(env, kernel, self.clocks, self.operations, batching)
        self.on_fault_oom = on_fault_oom
        self.killed: dict[str, int] = {}
        self.livelocked = 0
        self.secret_faults = 0
        self.secret_fault_ns = 0
        self.grace = kernel.footprints.grace_period
        self.tick_ns = self.grace.tick_ns
        self.switches = 0
        self.tracer = None if env.trace is None else Tracer(env.trace, kernel, cpus)
        self.direct = batching and self.tracer is None
        self.single = cpus == 1 and self.tracer is None
        self._ticking = False
        self._rounds = 0
        self._last_round_ns: int | None = None

    def note_death(self, signal: str) -> None:
        """Count a task that a signal ended."""
        self.killed[signal] = self.killed.get(signal, 0) + 1

    def wake_softirq(self) -> None:
        """Something waits for a grace period: make sure that somebody looks after it at every tick."""
        if not self._ticking:
            self._ticking = True
            self.env.process(self._tick())

    def _tick(self) -> Wait:
        """Give back what a grace period has passed for, tick by tick, until nothing waits.

        A CPU lets a grace period pass when it changes tasks or idles. Where one task runs on without sleeping, grace
        periods are longer, and all that waits is given back in one round.
        """
        env, kernel, grace = self.env, self.kernel, self.grace
        seen = self.switches
        while (since_ns := kernel.deferred_since_ns()) is not None:
            now_ns = env.now
            wait_ns = self.tick_ns - now_ns % self.tick_ns
            if self.switches == seen and self.cpus.running > 0:
                pause_ns = grace.alone_ns[min(self._rounds, len(grace.alone_ns) - 1)]
                due_ns = max(since_ns, (since_ns if self._last_round_ns is None else self._last_round_ns) + pause_ns)
                if due_ns <= now_ns:
                    self._end_grace_period(now_ns)
                    continue
                wait_ns = min(wait_ns, due_ns - now_ns)
            yield env.timeout(wait_ns)
            if env.now % self.tick_ns == 0:
                if self.switches != seen or self.cpus.running == 0 or kernel.deferred_count() > grace.many_callbacks:
                    self._end_grace_period(env.now - grace.switching_age_ns)
                seen = self.switches
        self._ticking = False

    def _end_grace_period(self, noted_until_ns: int) -> None:
        env, kernel = self.env, self.kernel
        self._rounds += 1
        self._last_round_ns = kernel.now_ns = env.now
        kernel.run_deferred(0, noted_until_ns)
        observe(kernel.handle, env.now)


class Thread:
    """A task's thread of execution. All its methods that take time are generators, to be used with ``yield from``.

    Attributes:
        task: what it executes.
        cpu: the CPU it has, or -1.
    """

    __slots__ = ("_began_ns", "_last", "cpu", "system", "task")

    def __init__(self, system: System, task: Task, last_cpu: int = -1) -> None:
        self.system = system
        self.task = task
        self.cpu = -1
        self._last = last_cpu
        self._began_ns = 0

    def run(self) -> Wait:
        """Get a CPU."""
        if self.cpu >= 0:
            return _AT_ONCE
        system = self.system
        self.cpu = system.cpus.try_acquire(self._last)
        if self.cpu < 0:
            return self._wait_for_cpu()
        self._got_cpu(system.env.now)
        return _AT_ONCE

    def _wait_for_cpu(self) -> Wait:
        system = self.system
        asked_ns, event = system.env.now, system.cpus.acquire()
        try:
            self.cpu = yield event
        except simpy.Interrupt:
            if event.triggered:
                system.cpus.release(cast(int, event.value))  # killed after it was given a CPU, and before it knew
            raise
        self._got_cpu(asked_ns)

    def _got_cpu(self, asked_ns: int) -> None:
        system = self.system
        self._began_ns = system.kernel.now_ns = system.env.now
        if system.tracer is not None:
            system.tracer.got_cpu(self.task, self.cpu, asked_ns, self._began_ns)

    def sleep(self) -> None:
        """Give the CPU up."""
        if self.cpu >= 0:
            self._last = self.cpu
            self.system.switches += 1
            if self.system.tracer is not None:
                self.system.tracer.left_cpu(self.task, self.cpu, self.system.env.now)
            self.system.cpus.release(self.cpu)
            self.cpu = -1

    def spend(self) -> Wait:
        """Let the time pass that the last operation takes, interrupts of this CPU included."""
        system = self.system
        env, kernel = system.env, system.kernel
        spent_ns, kernel.spent_ns = kernel.spent_ns, 0
        now_ns = env._now
        delay_ns = pay(kernel.handle, system.clocks.handle, now_ns, spent_ns)
        if system.direct and not system.operations.in_progress and env.pass_time(delay_ns):
            # Nobody else does anything, and nothing is due before: there is nobody to be asked.
            now_ns = kernel.now_ns = now_ns + delay_ns
            if now_ns - self._began_ns >= SLICE_NS and system.cpus.contended:
                self.sleep()
                return self._wait_for_cpu()
            return _AT_ONCE
        if system.single:
            return self._wait_alone(delay_ns)
        push(system.clocks.handle, self.cpu, now_ns + delay_ns)
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
        if now_ns - self._began_ns >= SLICE_NS and system.cpus.contended:
            self.sleep()
            return self._wait_for_cpu()
        return _AT_ONCE

    def _wait_alone(self, delay_ns: int) -> Wait:
        """Wait on a machine's only CPU: nobody else can interrupt it."""
        system = self.system
        yield LateTimeout(system.env, delay_ns)
        now_ns = system.kernel.now_ns = system.env.now
        if now_ns - self._began_ns >= SLICE_NS and system.cpus.contended:
            self.sleep()
            yield from self._wait_for_cpu()

    def _wait(self, event: simpy.Event, operation: str, began_ns: int, delay_ns: int) -> Wait:
        system = self.system
        try:
            yield event
        except simpy.Interrupt:
            system.operations.forget(self.cpu)
            raise
        now_ns = system.kernel.now_ns = system.env.now
        if system.tracer is not None:
            system.tracer.worked(self.task, self.cpu, began_ns, now_ns, operation)
            if 0 <= delay_ns < now_ns - began_ns:
                system.tracer.interrupted(self.cpu, began_ns + delay_ns, now_ns)
        if now_ns - self._began_ns >= SLICE_NS and system.cpus.contended:
            self.sleep()
            yield from self._wait_for_cpu()

    def touch_secret(self, mapping: Mapping, count: int = 1) -> Wait:
        """Fault in the next pages of a secret mapping.

        Raises:
            Killed: SIGBUS beyond the file's end or over the limit, SIGKILL by the OOM killer.
        """
        kernel, file = self.system.kernel, mapping.file
        assert file is not None
        began_ns, before = self.system.env.now, mapping.touched
        try:
            while count > 0:
                room = 0
                alone = count == 1 and not self.system.ranges.active
                if kernel.policy.compiled and file.present == mapping.touched and not alone:
                    room = self.system.ranges.room_pages(mapping, count)
                if room > 0:
                    done, result = yield from self._fault_range(SECRET, mapping, room)
                else:
                    self.system.ranges.cut()
                    done, result = kernel.fault(self.task, mapping, self.cpu)
                    yield from self.spend()
                count -= done
                if result is FaultResult.SIGBUS:
                    raise Killed("SIGBUS")
                if result is FaultResult.GROUP_OOM:
                    yield from self._group_out_of_memory()
                elif result is FaultResult.OOM:
                    yield from self._out_of_memory(costly=kernel.policy.costly)
        finally:
            self.system.secret_faults += mapping.touched - before
            self.system.secret_fault_ns += self.system.env.now - began_ns

    def touch(self, count: int, mapping: Mapping | None = None) -> Wait:
        """Touch new ordinary pages, of a mapping or of the task's memory in general."""
        if mapping is None:
            mapping = self.system.kernel.ordinary(self.task)
        yield from self._touch_ordinary(ANON, mapping, count)

    def touch_tables(self, mapping: Mapping, count: int) -> Wait:
        """Read a zero page in each of the next 2 MiB of a mapping."""
        yield from self._touch_ordinary(TABLE, mapping, count)

    def _touch_ordinary(self, kind: int, mapping: Mapping, count: int) -> Wait:
        kernel = self.system.kernel
        while count > 0:
            room = kernel.ordinary_room_pages(self.task, count, tables=kind == TABLE)
            if room <= 0:
                self.task.user.group.failures += 1  # type: ignore[union-attr]  # only a group can have no room
                yield from self._group_out_of_memory()
                continue
            done, result = yield from self._fault_range(kind, mapping, room)
            count -= done
            if result is FaultResult.OOM:
                yield from self._out_of_memory(costly=False)

    def write_pipe(self, pages: int) -> Wait:
        """Fill pages of pipe buffers."""
        while pages > 0:
            done = self.system.kernel.write_pipe(self.task, self.cpu, pages)
            pages -= done
            yield from self.spend()
            if pages > 0:
                yield from self._out_of_memory(costly=False)

    def _fault_range(self, kind: int, mapping: Mapping, count: int) -> Wait:
        """Fault in pages, as many as may be without asking again; returns pages got, and OOM when memory ran out.

        A task that is killed while the time passes has all of them that it began to fault in.
        """
        system = self.system
        if system.single and not system.batching and self.task.user.group is None:
            return self._fault_singly(kind, mapping, count)
        return self._fault_together(kind, mapping, count)

    def _fault_together(self, kind: int, mapping: Mapping, count: int) -> Wait:
        """Fault in pages beside what other CPUs do."""
        system, cpu = self.system, self.cpu
        ranges, before, began_ns = system.ranges, mapping.touched, system.env.now
        ranges.begin(self.task, cpu, kind, mapping, count, self._began_ns + SLICE_NS)
        event = system.operations.end_of(cpu)
        if event is not None:
            try:
                yield event
            except simpy.Interrupt:
                system.operations.forget(cpu)
                ranges.end(cpu)
                raise
        out_of_memory = ranges.end(cpu)
        now_ns = system.kernel.now_ns = system.env.now
        done = mapping.touched - before
        if system.tracer is not None:
            system.tracer.worked(self.task, cpu, began_ns, now_ns, _FAULTS[kind], done)
        if now_ns - self._began_ns >= SLICE_NS and system.cpus.contended:
            self.sleep()
            yield from self._wait_for_cpu()
        return done, FaultResult.OOM if out_of_memory else FaultResult.DONE

    def _fault_singly(self, kind: int, mapping: Mapping, count: int) -> Wait:
        """Fault in pages on a machine's only CPU, one per event.

        Nobody else runs before this thread gives its CPU up, so what there was room for at the start stays there, and
        the pages are accounted for together.
        """
        system, cpu = self.system, self.cpu
        env, kernel, clocks, file = system.env, system.kernel, system.clocks.handle, mapping.file
        holder = 0 if file is None else file.holder
        handle, cache, shift = kernel.handle, kernel.node_cache, kernel.node_shift
        slice_end_ns, cpus = self._began_ns + SLICE_NS, system.cpus
        set_range(clocks, cpu, kernel.node_of[cpu], kind, mapping.holder, holder, mapping.touched, count)
        done, timer = 0, None
        try:
            while done < count:
                delay_ns = next_fault(handle, clocks, cpu, env._now, cache, shift)
                if delay_ns < 0:
                    break
                done += 1
                timer = LateTimeout(env, delay_ns) if timer is None else timer.again(delay_ns)
                yield timer
                if env._now >= slice_end_ns and cpus.contended:
                    break
        finally:
            kernel.now_ns = env._now
            mapping.touched += done
            if file is not None and done:
                file.present += done
                kernel.charge_pages(file, done)
        if delay_ns < 0:
            yield from self._wait_alone(-1 - delay_ns)
            return done, FaultResult.OOM
        if env._now >= slice_end_ns and cpus.contended:
            self.sleep()
            yield from self._wait_for_cpu()
        return done, FaultResult.DONE

    def _out_of_memory(self, *, costly: bool) -> Wait:
        """A fault found no memory: call the OOM killer and try again, or spin for ever.

        Raises:
            Killed: this task is the victim, or there is none.
        """
        system = self.system
        if system.kernel.policy.shrink(self.cpu):
            yield from self.spend()
            return
        if costly and system.on_fault_oom == "retry":
            system.livelocked += 1
            # It spins, and every tick the scheduler gives its CPU to whoever can make use of it: others go on.
            self.sleep()
            yield system.env.event()
        system.ranges.tell()
        yield from self._kill(system.kernel.oom_victim())

    def _group_out_of_memory(self) -> Wait:
        """A charge met the limit of a control group: its OOM killer ends a task of the group; try again.

        Raises:
            Killed: this task is the victim, or there is none.
        """
        group = self.task.user.group
        full = None if group is None else group.over_limit() or group
        self.system.ranges.tell()
        yield from self._kill(self.system.kernel.oom_victim(full))

    def _kill(self, victim: Task | None) -> Wait:
        if victim is None or victim is self.task:
            raise Killed("SIGKILL")
        victim.process.interrupt("SIGKILL")
        self.sleep()  # so that the victim can run, and die
        yield self.system.env.timeout(_OOM_PAUSE_NS)
        yield from self.run()

    def open_secret(self, pages: int) -> Wait:
        """memfd_secret and ftruncate; returns the file.

        Raises:
            KernelRefusal: as the system calls do.
        """
        kernel = self.system.kernel
        try:
            file = kernel.memfd_secret(self.task, self.cpu)
            kernel.ftruncate(file, pages)
        finally:
            yield from self.spend()  # a refusal takes its time too
        return file

    def map_secret(self, file: SecretFile, pages: int, within: Mapping | None = None) -> Wait:
        """mmap, anywhere or inside a reserved area; returns the mapping.

        Raises:
            KernelRefusal: EAGAIN over RLIMIT_MEMLOCK.
        """
        try:
            mapping = self.system.kernel.mmap(self.task, file, pages, self.cpu, within=within)
        finally:
            self.system.wake_softirq()
            yield from self.spend()
        return mapping

    def unmap(self, mapping: Mapping) -> Wait:
        """Munmap."""
        self.system.ranges.tell()
        self.system.kernel.munmap(self.task, mapping, self.cpu)
        self.system.wake_softirq()
        yield from self.spend()

    def close(self, file: SecretFile) -> Wait:
        """Close."""
        self.system.ranges.tell()
        self.system.kernel.close(self.task, file, self.cpu)
        self.system.wake_softirq()
        yield from self.spend()

    def exit(self, *, collected: bool = True) -> Wait:
        """End the task and give the CPU up.

        Args:
            collected: its parent waits for it, and collects it at once; otherwise somebody calls `Kernel.reap` later.
        """
        kernel = self.system.kernel
        yield from self.run()
        self.system.ranges.tell()
        kernel.exit(self.task, self.cpu)
        yield from self.spend()
        if collected:
            kernel.reap(self.task, self.cpu)
            yield from self.spend()
        self.system.wake_softirq()
        self.sleep()

"""A task's thread of execution: it makes system calls and faults, and waits for as long as they take."""

from __future__ import annotations

from typing import Final

import simpy

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult
from models.kernel.limits import Group
from models.workloads.burst import ANON, SECRET, TABLE, next_fault, set_range
from models.workloads.cpus import SLICE_NS
from models.workloads.on_cpu import OnCpu
from models.workloads.waits import Killed, Wait
from simcore.environment import LateTimeout

__all__ = ["Thread"]

_OOM_PAUSE_NS: Final = 1_000_000
"""How long an allocation waits for the OOM killer's victim before it tries again [6.1: a jiffy or more]."""
_FAULTS: Final = {SECRET: "secret faults", ANON: "faults", TABLE: "faults on zero pages"}
"""What a trace calls them."""


class Thread(OnCpu):
    """A task in time."""

    __slots__ = ()

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
                    yield from self.find_memory(costly=kernel.policy.costly)
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
                yield from self.find_memory(costly=False)

    def write_pipe(self, pages: int) -> Wait:
        """Fill pages of pipe buffers."""
        while pages > 0:
            done = self.system.kernel.write_pipe(self.task, self.cpu, pages)
            pages -= done
            yield from self.spend()
            if pages > 0:
                yield from self.find_memory(costly=False)

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
        ranges.begin(self.task, cpu, kind, mapping, count, self.began_ns + SLICE_NS)
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
        yield from self.give_way()
        return done, FaultResult.OOM if out_of_memory else FaultResult.DONE

    def _fault_singly(self, kind: int, mapping: Mapping, count: int) -> Wait:
        """Fault in pages on a machine's only CPU, one per event.

        Nobody else runs before this thread gives its CPU up, so what there was room for at the start stays there, and
        the pages are accounted for together, or when somebody looks.
        """
        system, cpu = self.system, self.cpu
        env, kernel, clocks, file = system.env, system.kernel, system.clocks.handle, mapping.file
        holder = 0 if file is None else file.holder
        handle, cache, shift = kernel.handle, kernel.node_cache, kernel.node_shift
        cpus, began_ns = system.cpus, self.began_ns
        slice_end_ns = began_ns + cpus.slice_ns
        set_range(clocks, cpu, kernel.node_of[cpu], kind, mapping.holder, holder, mapping.touched, count)
        system.ranges.watch(self.task, cpu, kind, mapping)
        done, timer = 0, None
        try:
            while done < count:
                delay_ns = next_fault(handle, clocks, cpu, env._now, cache, shift)
                if delay_ns < 0:
                    break
                done += 1
                timer = LateTimeout(env, delay_ns) if timer is None else timer.again(delay_ns)
                yield timer
                if env._now >= slice_end_ns and cpus.gives_way(began_ns):
                    break
        finally:
            kernel.now_ns = env._now
            system.ranges.end(cpu)
        if delay_ns < 0:
            yield from self._wait_alone(-1 - delay_ns)
            return done, FaultResult.OOM
        yield from self.give_way()
        return done, FaultResult.DONE

    def find_memory(self, *, costly: bool) -> Wait:
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
        yield from self._kill(None)

    def _group_out_of_memory(self) -> Wait:
        """A charge met the limit of a control group: its OOM killer ends a task of the group; try again.

        Raises:
            Killed: this task is the victim, or there is none.
        """
        group = self.task.user.group
        full = None if group is None else group.over_limit() or group
        yield from self._kill(full)

    def _kill(self, full: Group | None) -> Wait:
        """Let the OOM killer end a task, of a full control group if there is one, and wait a while.

        Raises:
            Killed: this task is the victim, or there is none.
        """
        system = self.system
        system.ranges.tell()
        system.broods.disband()
        victim = system.kernel.oom_victim(full)
        if victim is None or victim is self.task:
            raise Killed("SIGKILL")
        victim.process.interrupt("SIGKILL")
        self.sleep()  # so that the victim can run, and die
        yield system.env.timeout(_OOM_PAUSE_NS)
        yield from self.run()

    def open_secret(self, pages: int) -> Wait:
        """memfd_secret and ftruncate; returns the file.

        Raises:
            KernelRefusal: as the system calls do.
        """
        kernel = self.system.kernel
        if kernel.limits.global_pages is not None:
            self.system.ranges.tell()  # the cap is checked here
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
            self.system.start_ticks()
            yield from self.spend()
        return mapping

    def unmap(self, mapping: Mapping) -> Wait:
        """Munmap; on a fair CPU part by part, since the kernel asks in between whether to give way."""
        system = self.system
        system.ranges.tell()
        if system.fair is None:
            system.kernel.munmap(self.task, mapping, self.cpu)
        else:
            parts = system.kernel.munmap_parts(self.task, mapping, self.cpu)
            try:
                for _ in parts:
                    yield from self.spend()
            finally:  # who is killed meanwhile comes to the call's end before it ends itself
                for _ in parts:
                    pass
        system.start_ticks()
        yield from self.spend()

    def close(self, file: SecretFile) -> Wait:
        """Close; on a fair CPU part by part, since the kernel asks in between whether to give way."""
        self.system.ranges.tell()
        while self.system.fair is not None and self.system.kernel.truncates(file, self.cpu):
            yield from self.spend()
        self.system.kernel.close(self.task, file, self.cpu)
        self.system.start_ticks()
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
        yield from self.leave(collected=collected)

    def leave(self, *, collected: bool) -> Wait:
        """Be collected, if somebody waits for that, and give the CPU up for good; the task has ended."""
        kernel = self.system.kernel
        if collected:
            kernel.reap(self.task, self.cpu)
            yield from self.spend()
        self.system.start_ticks()
        self.sleep()

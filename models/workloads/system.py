"""What all threads of a machine share: its kernel, its CPUs, its time, and who looks after grace periods."""

from __future__ import annotations

from typing import Final

from models.kernel.kernel import Kernel
from models.kernel.observe import observe
from models.kernel.rcu import NONE_RUN, GracePeriods
from models.kernel.records import DEFERRED_SLOTS
from models.workloads.broods import Broods
from models.workloads.clocks import Clocks
from models.workloads.cpus import Cpus
from models.workloads.fault_ranges import FaultRanges
from models.workloads.operations import Operations
from models.workloads.run_queue import RunQueue
from models.workloads.ticks import Ticks
from models.workloads.tracer import Tracer
from models.workloads.waits import Wait
from simcore.environment import Environment

__all__ = ["System"]

_KTHREAD: Final = "kthread of grace periods"
_SOFTIRQD: Final = "ksoftirqd"
_SOFTIRQ_ROUNDS: Final = 10
"""How often a softirq begins anew while nobody wants the CPU (`MAX_SOFTIRQ_RESTART`)."""


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
        ticks: when the timer ticks.
        call_ends_ns: when the call ends that the task on a machine's only CPU is in; not kept for ordinary faults.
        run_queue: when kernel threads that a tick wakes get the CPU, in a kernel that is not preemptible and has one,
            untraced; None: at once.
        secret_faults: secret pages touched.
        secret_fault_ns: time from touching them until they were there, waits for CPUs, locks and flushes included.
        tracer: told what threads do, when the run is traced.
        single: there is one CPU, so that operations end when they are due, one after the other.
        direct: an operation of one task alone may move the clock by itself, since nobody watches.
        broods: children that have no process of their own.
    """

    def __init__(
        self,
        env: Environment,
        kernel: Kernel,
        cpus: int,
        *,
        batching: bool = True,
        on_fault_oom: str = "retry",
        cpus_type: type[Cpus] = Cpus,
    ) -> None:
        self.env = env
        self.kernel = kernel
        self.clocks = Clocks(cpus)
        self.clocks.seats["node"] = kernel.node_of[:cpus]
        self.cpus = cpus_type(env, self.clocks)
        self.batching = batching
        self.operations = Operations(env, kernel, self.clocks, batching)
        self.ranges = FaultRanges(env, kernel, self.clocks, self.operations, batching)
        self.on_fault_oom = on_fault_oom
        self.killed: dict[str, int] = {}
        self.livelocked = 0
        self.secret_faults = 0
        self.secret_fault_ns = 0
        self.grace = GracePeriods(kernel.footprints.grace_period.batch)
        self.ticks = Ticks(kernel.footprints.grace_period.tick_ns)
        self.call_ends_ns = 0
        self.run_queue: RunQueue | None = None
        self.tracer = None if env.trace is None else Tracer(env.trace, kernel, cpus)
        self.direct = batching and self.tracer is None
        self.single = cpus == 1 and self.tracer is None
        self.broods = Broods(self)

    def note_death(self, signal: str) -> None:
        """Count a task that a signal ended."""
        self.killed[signal] = self.killed.get(signal, 0) + 1

    @property
    def switches(self) -> int:
        """How often a task gave its CPU up."""
        return int(self.clocks.clock["switches"][0])

    @switches.setter
    def switches(self, count: int) -> None:
        self.clocks.clock["switches"][0] = count

    def wake_softirq(self) -> None:
        """Something waits for a grace period: make sure that somebody looks after it at every tick."""
        clock = self.clocks.clock[0]
        if not clock["ticking"]:
            clock["ticking"] = 1
            self.env.process(self._tick())

    def _tick(self) -> Wait:
        """Give back what a grace period has passed for, tick by tick, until nothing waits."""
        env, kernel, queue = self.env, self.kernel, self.run_queue
        while kernel.deferred_since_ns() is not None:
            yield env.timeout(self.ticks.after(env.now) - env.now)
            idle = 1 < self.cpus.count > self.cpus.running
            self._softirq(idle=idle)
            if queue is None:
                self._run_threads(idle=idle)
            elif queue.resched or not self.cpus.running:
                yield from self._wait_for_call()
                queue.switch(env.now, self._run_thread, idle=not self.cpus.running)
        self.grace.rest()
        if queue is not None:
            queue.clear()
        self.clocks.clock[0]["ticking"] = 0

    def _softirq(self, *, idle: bool = False) -> None:
        """Do what a tick and its softirq do, and wake kernel threads.

        It runs beside a ksoftirqd that waits, too; that 6.1 may leave it out then (`ksoftirqd_running`) made no
        difference to the recordings.
        """
        now_ns, grace, queue, waiting = self.env.now, self.grace, self.run_queue, self.kernel.deferred_until
        if queue is not None:
            queue.tick(now_ns)
        done_ns, most = grace.tick(now_ns, waiting, idle=idle), grace.batch
        if queue is not None and grace.kthread_woken:
            queue.wake(_KTHREAD, now_ns)
        if queue is not None and not queue.resched:
            most *= _SOFTIRQ_ROUNDS
        self._give_back(done_ns, most)
        grace.softirqd_woken = waiting(done_ns) > 0
        if queue is not None and grace.softirqd_woken:
            queue.wake(_SOFTIRQD, now_ns)

    def _run_threads(self, *, idle: bool) -> None:
        """Let the kernel threads run that want to, each as soon as it does."""
        grace = self.grace
        while grace.kthread_woken or grace.softirqd_woken:
            self._run_thread(_KTHREAD if grace.kthread_woken else _SOFTIRQD, idle=idle)

    def _run_thread(self, thread: str, *, idle: bool = False) -> None:
        """Let a kernel thread run whose turn it is."""
        now_ns, grace, queue = self.env.now, self.grace, self.run_queue
        if thread == _KTHREAD:
            grace.run_kthread(now_ns, self.kernel.deferred_until)
        elif grace.softirqd_woken:  # else a softirq has done its work
            done_ns = grace.run_softirqd(idle=idle)
            if queue is not None and grace.kthread_woken:
                queue.wake(_KTHREAD, now_ns)
            self._give_back(done_ns)

    def _wait_for_call(self) -> Wait:
        """Wait until the call in progress asks whether to give way, while softirqs of further ticks run."""
        env, kernel = self.env, self.kernel
        while kernel.busy_from_ns <= env.now < self.call_ends_ns:
            gives_way_ns = kernel.busy_until_ns if env.now < kernel.busy_until_ns else self.call_ends_ns
            tick_ns = self.ticks.after(env.now)
            yield env.timeout(min(gives_way_ns, tick_ns) - env.now)
            if gives_way_ns <= tick_ns:
                break
            self._softirq()

    def _give_back(self, noted_until_ns: int, most: int = DEFERRED_SLOTS) -> None:
        if noted_until_ns > NONE_RUN:
            env, kernel = self.env, self.kernel
            kernel.now_ns = env.now
            kernel.run_deferred(noted_until_ns, most)
            observe(kernel.handle, env.now)

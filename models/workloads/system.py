"""What all threads of a machine share: its kernel, its CPUs, its time, and who looks after grace periods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from models.kernel.kernel import Kernel
from models.kernel.observe import observe
from models.kernel.rcu import NONE_RUN, GracePeriods
from models.kernel.records import DEFERRED_SLOTS
from models.workloads.broods import Broods
from models.workloads.clocks import Clocks
from models.workloads.cpus import Cpus
from models.workloads.fair_cpus import FairCpu
from models.workloads.fault_ranges import FaultRanges
from models.workloads.operations import Operations
from models.workloads.run_queue import Entity
from models.workloads.ticks import Ticks
from models.workloads.tracer import Tracer
from models.workloads.waits import Wait
from simcore.environment import Environment

__all__ = ["System"]

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
        fair: the only CPU, if it is given away as a kernel does that is not preemptible; None: others wait in a row,
            and kernel threads that a tick wakes run at once.
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
        cpus_type: Callable[[Environment, Clocks], Cpus] = Cpus,
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
        self.fair = self.cpus if isinstance(self.cpus, FairCpu) else None
        if self.fair is not None:
            self.fair.contend = self.start_ticks
        self._kthread, self._softirqd = Entity(self._run_kthread), Entity(self._run_softirqd)
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

    def start_ticks(self) -> None:
        """Something waits for a grace period, or somebody for a fair CPU: look after it at every tick from now on."""
        clock = self.clocks.clock[0]
        if not clock["ticking"]:
            clock["ticking"] = 1
            self.env.process(self._tick())

    def _tick(self) -> Wait:
        """Do what ticks do until nothing waits, neither for a grace period nor for a fair CPU."""
        env, kernel, fair = self.env, self.kernel, self.fair
        while kernel.deferred_since_ns() is not None or (fair is not None and fair.contended):
            yield env.timeout(self.ticks.after(env.now) - env.now)
            idle = 1 < self.cpus.count > self.cpus.running
            self._softirq(idle=idle)
            if fair is None:
                self._run_threads(idle=idle)
            elif fair.queue.resched:
                yield from self._settle()
        self.grace.rest()
        self.clocks.clock[0]["ticking"] = 0

    def _softirq(self, *, idle: bool = False) -> None:
        """Do what a tick and its softirq do, and wake kernel threads.

        It runs beside a ksoftirqd that waits, too; that 6.1 may leave it out then (`ksoftirqd_running`) made no
        difference to the recordings.
        """
        now_ns, grace, waiting = self.env.now, self.grace, self.kernel.deferred_until
        queue = None if self.fair is None else self.fair.queue
        if queue is not None:
            queue.tick(now_ns)
        done_ns, most = grace.tick(now_ns, waiting, idle=idle), grace.batch
        if queue is not None and grace.kthread_woken:
            queue.wake(self._kthread, now_ns)
        if queue is not None and not queue.resched:
            most *= _SOFTIRQ_ROUNDS
        self._give_back(done_ns, most)
        grace.softirqd_woken = waiting(done_ns) > 0
        if queue is not None and grace.softirqd_woken:
            queue.wake(self._softirqd, now_ns)

    def _run_threads(self, *, idle: bool) -> None:
        """Let the kernel threads run that want to, each as soon as it does."""
        grace = self.grace
        while grace.kthread_woken or grace.softirqd_woken:
            if grace.kthread_woken:
                self._run_kthread()
            else:
                self._run_softirqd(idle=idle)

    def _run_kthread(self) -> None:
        self.grace.run_kthread(self.env.now, self.kernel.deferred_until)

    def _run_softirqd(self, *, idle: bool = False) -> None:
        grace = self.grace
        if grace.softirqd_woken:  # else a softirq has done its work
            done_ns = grace.run_softirqd(idle=idle)
            if self.fair is not None and grace.kthread_woken:
                self.fair.queue.wake(self._kthread, self.env.now)
            self._give_back(done_ns)

    def _settle(self) -> Wait:
        """Let kernel threads run when the call in progress asks whether to give way; its end sees to that itself."""
        env, kernel, fair = self.env, self.kernel, self.fair
        assert fair is not None
        while kernel.busy_from_ns <= env.now < self.call_ends_ns:
            if env.now >= kernel.busy_until_ns:
                return
            tick_ns = self.ticks.after(env.now)
            yield env.timeout(min(kernel.busy_until_ns, tick_ns) - env.now)
            if kernel.busy_until_ns <= tick_ns:
                break
            self._softirq()
        if fair.queue.resched:  # it may have given way meanwhile
            fair.settle()

    def _give_back(self, noted_until_ns: int, most: int = DEFERRED_SLOTS) -> None:
        if noted_until_ns > NONE_RUN:
            env, kernel = self.env, self.kernel
            kernel.now_ns = env.now
            kernel.run_deferred(noted_until_ns, most)
            observe(kernel.handle, env.now)

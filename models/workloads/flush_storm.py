"""Workload `flush_storm`: threads of a process that flush all the time, as will-it-scale's `tlb_flush2_threads`."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Literal

from pydantic import Field
from simpy import Event

from models.machine.costs import FlushCost, FlushKind
from models.workloads.base import Count, Positive, Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Nanoseconds

__all__ = ["FlushStorm", "FlushStormConfig"]


class FlushStormConfig(WorkloadConfig):
    """For each number in ``threads``, so many threads go ``loops`` times round together: work, a shared part, a flush.

    The flush is one page's, on the CPUs of the process. The summary has ``loops_per_s_<threads>``.

    Attributes:
        work: mean time of a loop that threads spend side by side, the thread's own flush included; exponential, else
            threads would fall into step and never meet.
        shared: time of a loop that only one thread can be in: reference counts, the page-table lock; always the same.
            Whom an interrupt meets there keeps the others waiting for as long; who spins for it loses nothing by one.
        flush: how other CPUs flush; None: as on the machine.
        broadcast_from: threads from which on a CPU with INVLPGB broadcasts; processes on fewer CPUs are flushed by
            interrupts [6.15: more than 3].
        cores: of the machine; with more threads than cores, two of them share one. 0: threads never share a core.
        sharing: by how much a thread is slower on a shared core.
    """

    kind: Literal["flush_storm"] = "flush_storm"
    threads: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4)
    loops: Positive = 10_000
    work: Nanoseconds = 3000
    shared: Nanoseconds = 0
    flush: FlushKind | None = None
    broadcast_from: Positive = 4
    cores: Count = 0
    sharing: Annotated[float, Field(ge=1)] = 1.0


class _Phase:
    """The threads of one phase."""

    def __init__(self, count: int, slower: float) -> None:
        self.count = count
        self.slower = slower
        self.shared_held = False
        self.waiting: deque[Event] = deque()
        self.interrupted_ns = 0  # by all flushes so far
        self.own_ns = [0] * count  # part of it that a thread caused itself
        self.seen_ns = [0] * count


class FlushStorm(Workload):
    """See `FlushStormConfig`."""

    Config = FlushStormConfig
    config: FlushStormConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.progress |= {f"loops_per_s_{count}": 0 for count in self.config.threads}

    def run(self, thread: Thread) -> Wait:
        """Run phase after phase."""
        env, config = self.system.env, self.config
        costs = self.system.kernel.costs
        self._flush = (costs if config.flush is None else costs.with_flush(config.flush)).flush
        thread.sleep()
        for count in config.threads:
            shared = max(0, 2 * (count - config.cores)) / count if config.cores else 0.0
            phase = _Phase(count, 1 + shared * (config.sharing - 1))
            began_ns = env.now
            yield env.all_of([env.process(self._loop(phase, number)) for number in range(count)])
            loops = config.loops // count * count
            self.count(f"loops_per_s_{count}", round(loops * 1e9 / (env.now - began_ns)))
        yield from thread.run()

    def _loop(self, phase: _Phase, number: int) -> Wait:
        config, flush = self.config, self._flush
        work_ns = config.work * phase.slower
        shared_ns = round(config.shared * phase.slower)
        wait_ns, lost_ns = self._costs(flush, phase)
        for _ in range(config.loops // phase.count):
            yield from self._spend(phase, number, round(self.random.exponential(work_ns)) if work_ns else 0)
            yield from self._share(phase, number, shared_ns)
            # The others are interrupted half way through the round trip.
            yield from self._spend(phase, number, wait_ns // 2)
            phase.interrupted_ns += lost_ns
            phase.own_ns[number] += lost_ns
            yield from self._spend(phase, number, wait_ns - wait_ns // 2)

    def _share(self, phase: _Phase, number: int, shared_ns: int) -> Wait:
        """Wait for one's turn at the shared part, and go through it."""
        if phase.shared_held:
            turn = self.system.env.event()
            phase.waiting.append(turn)
            yield turn
            phase.seen_ns[number] = phase.interrupted_ns - phase.own_ns[number]
        phase.shared_held = True
        yield from self._spend(phase, number, shared_ns)
        if phase.waiting:
            phase.waiting.popleft().succeed()
        else:
            phase.shared_held = False

    def _costs(self, flush: FlushCost, phase: _Phase) -> tuple[int, int]:
        """What a flush takes beside the thread's own, and what every other thread loses."""
        others = phase.count - 1
        if others == 0:
            return 0, 0
        if flush.kind == "invlpgb" and phase.count < self.config.broadcast_from:
            flush = flush.model_copy(update={"kind": "ipi"})
        wait_ns = flush.initiator_ns(1, others) - flush.local_ns(1)
        return wait_ns, round(flush.receiver_ns(1) * phase.slower)

    def _spend(self, phase: _Phase, number: int, delay_ns: int) -> Wait:
        """Let time pass, and the time that others' flushes take away meanwhile."""
        env = self.system.env
        yield env.timeout(delay_ns)
        while True:
            behind_ns = phase.interrupted_ns - phase.own_ns[number]
            owed_ns = behind_ns - phase.seen_ns[number]
            phase.seen_ns[number] = behind_ns
            if owed_ns == 0:
                return
            yield env.timeout(owed_ns)

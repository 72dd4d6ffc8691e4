"""Several CPUs of a recorded machine: what the boot left on each, and how the emulator lets them take turns."""

from __future__ import annotations

from typing import Final

import numpy as np
import simpy

from models.kernel.entities import SecretFile
from models.kernel.kernel import Kernel
from models.kernel.slab_caches import prime
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.waits import Wait

__all__ = ["Turns", "share_slabs", "takes_turns"]

#: What recordings say of an emulator that runs all CPUs in one thread: in words, or as QEMU's option.
_IN_ONE_THREAD: Final = ("round robin", "thread=single")

#: In how many cases a tick ends a CPU's turn between a task's waking another one and its going to sleep. Fitted to the
#: column `cpu` of the events of the one recording with forks on two CPUs: how often parent and child changed places
#: there. Its splits and frames, which this predicts, were not looked at.
_TICK_BETWEEN: Final = 1 / 40


def takes_turns(emulator: str) -> bool:
    """Whether CPUs take turns in an emulator, by what a recording says of it."""
    return any(words in emulator for words in _IN_ONE_THREAD)


def share_slabs(kernel: Kernel, first_cpu: int) -> None:
    """Let the boot leave free objects on all CPUs.

    Those that are known (`boot_free`) are left on the CPU of the program, which is as good as the boot's only one. Of
    what it left on others nothing is recorded: half a slab of each cache is what to expect.
    """
    slabs = kernel.state.cpu_slabs
    slabs[:, [0, first_cpu]] = slabs[:, [first_cpu, 0]]
    for cache in range(len(kernel.footprints.caches)):
        half = int(kernel.state.caches[cache]["objects_per_slab"]) // 2
        for cpu in range(len(kernel.node_of)):
            if cpu != first_cpu:
                prime(kernel.state.handle, cpu, cache, half)


class Turns:
    """An emulator that executes one CPU at a time, each in its turn (QEMU's single-threaded TCG).

    A CPU's turn ends when it halts, when it waits for others (a flush: `PAUSE` in the loop that waits), and when a
    timer rings. A task that has woken another one is usually asleep before that one has its turn. If a tick comes in
    between, it is still on its CPU when the other one forks: 6.1 finds no idle CPU, and leaves the new task where its
    parent is (`find_idlest_group`). That task's secret fault waits for a flush, the first task gets to sleep, and the
    parent is woken on the CPU that now idles, since its own has the waker (`select_idle_sibling`): the two have changed
    places. On real CPUs, which run at the same time, it does not happen.

    The ticks of such an emulation are real time, unlike its instructions: whether one comes in between is drawn.
    """

    def __init__(self, system: System, random: np.random.Generator) -> None:
        self._system = system
        self._random = random
        self._stalled: list[simpy.Event] = []

    def leave(self, thread: Thread) -> Wait:
        """A thread that has woken another one goes to sleep: at once, or when its CPU has another turn."""
        system = self._system
        env = system.env
        if self._random.random() >= _TICK_BETWEEN:
            yield env.timeout(system.kernel.costs.ns("null_syscall"))
            return
        turn = env.event()
        self._stalled.append(turn)
        yield turn | env.timeout(system.ticks.period_ns)

    def flushed(self, file: SecretFile) -> None:
        """A CPU has waited for the others to flush: each had its turn."""
        del file
        for turn in self._stalled:
            turn.succeed()
        self._stalled.clear()

"""All children of a system that have no process: who they belong to, and what happens when one of them asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from models.kernel.entities import Task
from models.kernel.plain_tasks import plan
from models.kernel.room import plenty
from models.workloads.brood import Brood
from models.workloads.cpu_queue import wait
from models.workloads.cpus import SLICE_NS
from models.workloads.seats import MAX_BROODS, NOBODY

if TYPE_CHECKING:
    from models.workloads.system import System

__all__ = ["Broods"]


class Broods:
    """All broods of a system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._all: list[Brood | None] = []
        system.cpus.start = self._start
        system.operations.child_ended = self._ended

    def begin(self, parent: Task, *, holds: bool, all_standing: simpy.Event, all_gone: simpy.Event) -> Brood | None:
        """A brood for the children of a task; None: they have to be tasks like any other.

        Args:
            holds: children that have their page sleep until all have.
            all_standing: succeeds when all children have their page.
            all_gone: succeeds when all have ended after that.
        """
        system = self._system
        shared = plan(system.kernel, parent) if system.direct and system.fair is None else None
        if shared is None or len(self._all) == MAX_BROODS:
            return None
        brood = Brood(system, len(self._all), parent, shared, holds, all_standing, all_gone)
        self._all.append(brood)
        return brood

    def tell(self) -> None:
        """Tell the kernel's accounts what children have done by now."""
        for brood in self._all:
            if brood is not None:
                brood.tell()

    @property
    def count(self) -> int:
        """Broods that there are."""
        return sum(brood is not None for brood in self._all)

    @property
    def alive(self) -> int:
        """Children of all of them that have not ended."""
        return sum(brood.alive for brood in self._all if brood is not None)

    def disband(self, only: Brood | None = None) -> None:
        """Give every child a process of its own, or those of one brood only."""
        for at, brood in enumerate(self._all):
            if brood is not None and only in (None, brood):
                self._all[at] = None
                brood.disband()

    def _of(self, row: int) -> Brood:
        brood = self._all[int(self._system.clocks.rows[row]["brood"])]
        assert brood is not None
        return brood

    def _start(self, row: int, cpu: int) -> None:
        """A child that has waited gets a CPU."""
        system = self._system
        seat = system.clocks.seats[cpu]
        seat["row"], seat["began_ns"] = row, system.env.now
        self._go_on(row, cpu)
        system.operations.attend()

    def _ended(self, cpu: int) -> None:
        """The operation of the child on a CPU has ended."""
        system = self._system
        seat = system.clocks.seats[cpu]
        row = int(seat["row"])
        if system.env.now - int(seat["began_ns"]) >= SLICE_NS and system.cpus.contended:
            seat["row"] = NOBODY
            system.clocks.rows[row]["cpu"] = cpu
            system.switches += 1
            system.cpus.release(cpu)
            wait(system.clocks.handle, row)
            return
        self._go_on(row, cpu)

    def _go_on(self, row: int, cpu: int) -> None:
        system = self._system
        if not plenty(system.kernel.handle, system.kernel.node_of[cpu]):
            self.disband()
            return
        self._of(row).go_on(row, cpu)

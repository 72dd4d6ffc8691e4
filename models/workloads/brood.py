"""Children of a task that all live the same plain life: rows of an array instead of processes, until somebody looks.

What they do is in `models.workloads.brood_steps`. Here is what compiled code cannot: wake threads, start processes,
tell the kernel's accounts, and give every child a process of its own when memory runs short, so that it may be
refused, wait or be killed like any other task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import simpy

from models.kernel.entities import Task
from models.kernel.room import plenty
from models.workloads.brood_steps import GONE, MAP, STAND, begin_forks, proceed, start_child, wake_all
from models.workloads.burst import end_range
from models.workloads.cpus import SLICE_NS
from models.workloads.resumed import Resumed, resume
from models.workloads.running import push
from models.workloads.seats import NOBODY

if TYPE_CHECKING:
    from models.workloads.system import System
    from models.workloads.thread import Thread
    from models.workloads.waits import Wait

__all__ = ["Brood"]

_MANY: Final = 10_000
"""Children from which on it pays to commit memory for them in large pieces."""


class Brood:
    """The children of one task.

    Attributes:
        count: called with what children have done, and how often.
        resume: called with each child that gets a process of its own.
        disbanded: called before that, with `growing` and `alive`.
        growing: children that do not have their page yet, and the parent as long as it forks.
        alive: children that have not ended.
    """

    count: Callable[[str, int], None]
    resume: Callable[[Resumed], None]
    disbanded: Callable[[int, int], None]

    def __init__(
        self, system: System, index: int, parent: Task, shared: dict[str, Any], holds: bool,
        all_standing: simpy.Event, all_gone: simpy.Event,
    ) -> None:  # fmt: skip
        self._system, self._index, self._parent = system, index, parent
        self._clocks, self._kernel = system.clocks.handle, system.kernel.handle
        self._record = system.clocks.broods[index]
        self._record["growing"], self._record["holds"] = 1, holds
        self._record["first"] = self._record["last"] = NOBODY
        for name, value in shared.items():
            self._record["plan"][name] = value
        self._all_standing, self._all_gone = all_standing, all_gone
        all_standing.callbacks.append(self._wake)
        self._forking = self._last_forked = NOBODY
        self._newborn: dict[int, simpy.Event] = {}
        self._unborn: Resumed | None = None
        self._disbanded = False

    @property
    def growing(self) -> int:
        """See the class."""
        return int(self._record["growing"])

    @property
    def alive(self) -> int:
        """See the class."""
        return int(self._record["alive"])

    def room(self, cpu: int, wanted: int) -> int:
        """How many of the children wanted the parent may fork now: while memory, limits and numbers last."""
        kernel, user = self._system.kernel, self._parent.user
        if self._disbanded or not plenty(self._kernel, kernel.node_of[cpu]):
            return 0
        processes = user.processes + int(self._record["forked"]) - int(self._record["ended"])
        # Each child takes a number for its file and one for its mapping, those alive perhaps later; and other broods
        # fork meanwhile.
        tasks = kernel.state.task_numbers.room()
        others = (kernel.state.other_numbers.room() - 2 * self._system.broods.alive) // 2
        share = min(tasks, others) // self._system.broods.count
        return max(0, min(wanted, user.processes_max - processes, share))

    def stand_up(self) -> int:
        """The parent forks no more; returns how many still grow."""
        self._record["growing"] -= 1
        return self.growing

    def fork(self, thread: Thread, count: int) -> Wait:
        """The parent forks children, one after the other, and is asked before its time slice ends or memory does.

        Returns:
            How many it has forked.
        """
        system, cpu = self._system, thread.cpu
        if count >= _MANY:
            system.kernel.state.expect_many()
        begin_forks(self._kernel, self._clocks, cpu, self._index, count, system.env.now, thread.began_ns + SLICE_NS)
        self._forking = cpu
        try:
            yield from thread.wait_for(system.operations.end_of(cpu))
            done = end_range(self._clocks, cpu)
            self._last_forked, self._forking = self._pending, NOBODY
            yield from thread.give_way()
        finally:
            # Whatever becomes of the parent meanwhile, the last child is there.
            self._bear(self._pending)
        return done

    @property
    def _pending(self) -> int:
        """The child being forked, or forked and not yet let go; NOBODY: there is none."""
        if self._forking == NOBODY:
            return self._last_forked
        return int(self._system.clocks.ranges[self._forking]["file"])

    def _bear(self, row: int) -> None:
        self._forking = self._last_forked = NOBODY
        if self._unborn is not None:
            self.resume(self._unborn)
            return
        system = self._system
        birth = self._newborn[row] = simpy.Event(system.env)

        def begin(_: simpy.Event) -> None:
            del self._newborn[row]
            start_child(self._kernel, self._clocks, row, system.env.now)
            system.operations.attend()

        birth._ok, birth._value, birth.callbacks = True, None, [begin]
        system.env.schedule(birth, simpy.events.URGENT)

    def go_on(self, row: int, cpu: int) -> None:
        """The child that has a CPU takes its next step."""
        system, stage = self._system, int(self._system.clocks.rows[row]["stage"])
        if stage in (MAP, GONE):
            system.start_ticks()
        end_ns = proceed(self._kernel, self._clocks, cpu, system.env.now)
        if stage == STAND and self.growing == 0 and not self._all_standing.triggered:
            self._all_standing.succeed()
        if end_ns != NOBODY:
            push(self._clocks, cpu, end_ns)
            return
        system.cpus.release(cpu)
        if stage == GONE and self.alive == 0 and self._all_standing.triggered:
            self._all_gone.succeed()

    def _wake(self, _: simpy.Event) -> None:
        system = self._system
        if self._disbanded:
            return
        if not all(plenty(self._kernel, node) for node in set(system.kernel.node_of)):
            system.broods.disband()
            return
        wake_all(self._kernel, self._clocks, self._index, system.env.now)
        system.operations.attend()

    def tell(self) -> None:
        """Tell the accounts of kernel, system and workload what children have done since it was last told."""
        record, system, user = self._record, self._system, self._parent.user
        forked, filled, ended, pages = (int(record[name]) for name in ("forked", "filled", "ended", "secret_pages"))
        user.processes += forked - ended
        user.secret_pages_peak = max(user.secret_pages_peak, user.secret_pages + int(record["secret_pages_peak"]))
        user.secret_pages += pages
        system.kernel.limits.reserved_pages += pages
        system.secret_faults += filled
        system.secret_fault_ns += int(record["fault_ns"])
        self._parent.forks += forked
        system.kernel.forked |= forked > 0
        for what, number in (("tasks", forked), ("secret_pages", filled)):
            if number:
                self.count(what, number)
        for name in ("forked", "filled", "ended", "secret_pages", "secret_pages_peak", "fault_ns"):
            record[name] = 0

    def disband(self) -> None:
        """Give every child a process of its own: it will go on as if it always had one."""
        self.tell()
        self._disbanded = True
        self.disbanded(self.growing, self.alive)
        clocks = self._system.clocks
        if self._forking != NOBODY:
            # Memory may be plentiful: the parent is asked before it forks another one all the same.
            clocks.ranges[self._forking]["left"] = 0
        sleepers, row = [], int(self._record["first"])
        while row != NOBODY:
            sleepers.append(row)
            row = int(clocks.rows[row]["next"])
        known = set(sleepers)
        used = clocks.rows[: int(clocks.queue[0]["rows"])]
        others = [row for row in np.flatnonzero(used["brood"] == self._index).tolist() if row not in known]
        unborn = self._pending
        for row in (*sleepers, *others):
            birth = self._newborn.pop(row, None)
            if birth is not None:
                birth.callbacks.clear()
            waits = row not in known and row != unborn and birth is None
            resumed = resume(self._system, self._parent, row, asleep=row in known, waits=waits)
            if row == unborn:
                self._unborn = resumed
            else:
                self.resume(resumed)

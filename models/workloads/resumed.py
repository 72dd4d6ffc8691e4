"""A child that had no process gets one: where it stands, read off its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simpy

from models.kernel.entities import Task
from models.workloads.brood_steps import GONE, MAP, OPEN, REAP, TOUCH
from models.workloads.cpu_queue import drop_row
from models.workloads.seats import NOBODY

if TYPE_CHECKING:
    from models.workloads.system import System

__all__ = ["Resumed", "resume"]


class Resumed(NamedTuple):
    """Where a child stands that gets a process of its own.

    Attributes:
        task: what the process acts for.
        cpu: the CPU that it has, or NOBODY; last_cpu: the one it had last.
        began_ns: when it got it.
        stage: what it does next.
        event: for what it waits now: a CPU, the event's value, or the end of its operation; None: for nothing.
        asleep: it has its page and waits for all others.
        touched_ns: when it touched its page.
    """

    task: Task
    cpu: int
    last_cpu: int
    began_ns: int
    stage: int
    event: simpy.Event | None
    asleep: bool
    touched_ns: int


def resume(system: System, parent: Task, row: int, *, asleep: bool, waits: bool) -> Resumed:
    """Turn a row into somebody who can have a process; the row goes, unless it waits for a CPU.

    Args:
        parent: who forked it.
        asleep: it has its page and waits for all others.
        waits: where it has no CPU, it waits for one.
    """
    clocks, cpus = system.clocks, system.cpus
    record = clocks.rows[row].copy()
    stage, cpu, began_ns = int(record["stage"]), NOBODY, 0
    event: simpy.Event | None = None
    on = np.flatnonzero(clocks.seats["row"] == row)
    if len(on):
        cpu = int(on[0])
        seat = clocks.seats[cpu]
        began_ns, seat["row"] = int(seat["began_ns"]), NOBODY
        event = system.operations.wait_for(cpu) if clocks.is_running(cpu) else None
    else:
        event = cpus.hand_over(row, waits=waits)
    if row not in cpus.waiting:
        drop_row(clocks.handle, row)
    task = system.kernel.adopt(
        parent,
        int(record["task"]) if stage < GONE else 0,
        int(record["file"]) if OPEN < stage < REAP else 0,
        int(record["mapping"]) if MAP < stage < REAP else 0,
        int(stage > TOUCH),
    )
    task.exited = task.ending = stage >= REAP
    last_cpu = int(record["cpu"]) if asleep else NOBODY
    return Resumed(task, cpu, last_cpu, began_ns, stage, event, asleep, int(record["touched_ns"]))

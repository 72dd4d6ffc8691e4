"""Who has a CPU and who waits for one, in arrays: first come, first served.

Threads and children without a thread wait in the same queue, as rows. A CPU that nobody wants idles; the one idle
longest is taken first, unless the task's last one is idle.
"""

from typing import Final

from models.workloads.clocks import clock_of
from models.workloads.seats import NOBODY, queue_of, rows, seats
from simcore.compiled import jit

__all__ = [
    "THREAD", "add_thread", "adopt_thread", "drop_row", "idle", "next_waiting", "release", "set_up", "take_idle",
    "take_row", "wait",
]  # fmt: skip

THREAD: Final = 7
"""Stage of a row that stands for a thread, see `models.workloads.brood_steps`."""


@jit
def set_up(clocks: int) -> None:
    """Let all CPUs idle, in their order."""
    queue = queue_of(clocks)[0]
    queue.first = queue.last = queue.first_idle = queue.last_idle = queue.unused = NOBODY
    for cpu in range(clock_of(clocks)[0].cpus):
        seats(clocks)[cpu].row = NOBODY
        idle(clocks, cpu)


@jit
def idle(clocks: int, cpu: int) -> None:
    """A CPU idles from now on."""
    queue, seat = queue_of(clocks)[0], seats(clocks)
    seat[cpu].idle, seat[cpu].next, seat[cpu].prev = 1, NOBODY, queue.last_idle
    if queue.last_idle == NOBODY:
        queue.first_idle = cpu
    else:
        seat[queue.last_idle].next = cpu
    queue.last_idle = cpu
    queue.idle += 1


@jit
def take_idle(clocks: int, last: int) -> int:
    """An idle CPU: the given one if it is idle, else the one idle longest; NOBODY: none is."""
    queue, seat = queue_of(clocks)[0], seats(clocks)
    cpu = queue.first_idle
    if cpu == NOBODY:
        return NOBODY
    if last >= 0 and seat[last].idle:
        cpu = last
    before, after = seat[cpu].prev, seat[cpu].next
    if before == NOBODY:
        queue.first_idle = after
    else:
        seat[before].next = after
    if after == NOBODY:
        queue.last_idle = before
    else:
        seat[after].prev = before
    seat[cpu].idle = 0
    queue.idle -= 1
    return int(cpu)


@jit
def take_row(clocks: int) -> int:
    """A row that nobody uses."""
    queue = queue_of(clocks)[0]
    row = queue.unused
    if row == NOBODY:
        queue.rows += 1
        return int(queue.rows - 1)
    queue.unused = rows(clocks)[row].next
    return int(row)


@jit
def drop_row(clocks: int, row: int) -> None:
    """Nobody uses a row any longer."""
    queue = queue_of(clocks)[0]
    rows(clocks)[row].next = queue.unused
    rows(clocks)[row].brood = NOBODY
    queue.unused = row


@jit
def wait(clocks: int, row: int) -> None:
    """Put a row at the end of the queue."""
    queue = queue_of(clocks)[0]
    rows(clocks)[row].next = NOBODY
    if queue.first == NOBODY:
        queue.first = row
    else:
        rows(clocks)[queue.last].next = row
    queue.last = row


@jit
def next_waiting(clocks: int) -> int:
    """Take the row out of the queue that has waited longest; NOBODY: none waits."""
    queue = queue_of(clocks)[0]
    row = queue.first
    if row != NOBODY:
        queue.first = rows(clocks)[row].next
        if queue.first == NOBODY:
            queue.last = NOBODY
    return int(row)


@jit
def release(clocks: int, cpu: int) -> int:
    """A CPU has nobody: the row that gets it, out of the queue; NOBODY: none waits, and it idles."""
    row = next_waiting(clocks)
    if row == NOBODY:
        idle(clocks, cpu)
    return row


@jit
def add_thread(clocks: int) -> int:
    """Put a thread at the end of the queue; returns its row."""
    row = take_row(clocks)
    adopt_thread(clocks, row)
    wait(clocks, row)
    return row


@jit
def adopt_thread(clocks: int, row: int) -> None:
    """A row stands for a thread from now on."""
    rows(clocks)[row].brood, rows(clocks)[row].stage = NOBODY, THREAD

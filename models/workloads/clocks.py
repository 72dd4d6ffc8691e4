"""Where charges become time: CPU work, the queue of the global map lock, waits for flushes, interrupts [design rule 3].

The map lock is one FIFO server, kept as the time from which it is free. Time that interrupts cost a CPU is an account:
all operations in progress are put off by each interrupt alike, but for the one that caused it, so that an operation
keeps the time at which it would end if no interrupt had ever happened (see `models.workloads.running`). A flush thus
costs the same computing for 2 CPUs as for 512.
"""

from typing import Final

import numpy as np

from models.kernel.arena import header, reserve, slot_array
from models.kernel.flush import BATCHED, flush_kernel
from models.kernel.layout import charge, costs, counts
from models.kernel.list_costs import charge_lists
from models.kernel.observe import observe
from models.workloads.seats import BROOD, MAX_BROODS, MAX_ROWS, QUEUE, ROW, SEAT
from simcore.compiled import jit

__all__ = ["CLOCK", "RANGE", "RUNNING", "Clocks", "clock_of", "pay", "ranges", "running"]

CLOCK: Final = np.dtype(
    [
        ("lock_free_ns", "<i8"),  # from when on the map lock is free
        ("lock_held_ns", "<i8"), ("lock_waited_ns", "<i8"),  # in all
        ("interrupted_ns", "<i8"),  # what all flushes so far cost a CPU that ordered none of them
        ("cpus", "<i8"),
        ("pending", "<i8"),  # removals whose flush is put off
        ("next_round_ns", "<i8"),  # when flushes that are put off next cost every CPU its TLB
        ("in_progress", "<i8"), ("begun", "<i8"),  # operations: now, ever
        ("switches", "<i8"),  # how often a task gave its CPU up
        ("drift", "<f8"),  # by which part all takes longer than it costs
        ("ticking", "<i8"),  # whether somebody looks after grace periods
    ]
)  # fmt: skip
RUNNING: Final = np.dtype([("ideal_end_ns", "<i8"), ("number", "<i8"), ("cpu", "<i8")])
"""An operation in progress, see `models.workloads.running`."""
RANGE: Final = np.dtype(
    [
        ("kind", "<i8"), ("mapping", "<i8"), ("file", "<i8"), ("index", "<i8"), ("node", "<i8"),
        ("left", "<i8"),  # faults that may follow the one in progress without anybody being asked
        ("done", "<i8"),  # faults begun that nobody has been told of
        ("out_of_memory", "<i8"), ("slice_end_ns", "<i8"),
    ]
)  # fmt: skip
"""What a CPU's thread faults in, see `models.workloads.burst`.

Of a range of forks (`models.workloads.brood_steps.FORK`), ``mapping`` is the brood and ``file`` the row being forked.
"""


class Clocks:
    """Accounts of time for one machine.

    Attributes:
        handle: first argument of the compiled operations.
        clock: one `CLOCK` record.
        running: `RUNNING` records, those of operations in progress first.
        ranges: `RANGE` records, one per CPU.
        seats: `SEAT` records, one per CPU.
        queue: one `QUEUE` record.
        rows: `ROW` records.
        broods: `BROOD` records.
    """

    def __init__(self, cpus: int) -> None:
        self.clock = np.zeros(1, CLOCK)
        self.clock["cpus"] = cpus
        self.running = np.zeros(cpus + 1, RUNNING)
        self.ranges = np.zeros(cpus, RANGE)
        self.seats = np.zeros(cpus, SEAT)
        self.queue = np.zeros(1, QUEUE)
        self.rows = reserve(MAX_ROWS, ROW)
        self.broods = reserve(MAX_BROODS, BROOD)
        self._header = header(
            [self.clock, self.running, self.ranges, self.seats, self.queue, self.rows, self.broods]
        )
        self.handle = int(self._header.ctypes.data)

    def is_running(self, cpu: int) -> bool:
        """Whether a CPU's operation is in progress."""
        return bool((self.running["cpu"][: int(self.clock[0]["in_progress"])] == cpu).any())


clock_of = slot_array(0, CLOCK)
running = slot_array(1, RUNNING)
ranges = slot_array(2, RANGE)


@jit
def put_off(kernel: int, clocks: int, now_ns: int) -> None:
    """Turn removals whose flush is put off into what is due now (see `models.kernel.flush_config`)."""
    due, cost, clock = charge(kernel), costs(kernel), clock_of(clocks)[0]
    clock.pending += due.pending
    due.pending = 0
    while clock.pending >= cost.flush_batch:
        clock.pending -= cost.flush_batch
        if cost.flush_mode == BATCHED:
            flush_kernel(kernel, True)
            continue
        due.after_ns += cost.local_flush_page
        due.flush_ns += cost.local_flush_page
        if now_ns >= clock.next_round_ns:
            clock.next_round_ns = now_ns + cost.flush_period
            due.after_ns += cost.local_flush
            due.flush_ns += cost.local_flush
            due.interrupted_ns += cost.local_flush
            due.full_flushes += 1


@jit
def pay(kernel: int, clocks: int, now_ns: int, spent_ns: int) -> int:
    """Turn what an operation charged into the time that it takes, and note the kernel's numbers.

    The operation works, queues for the map lock, holds it, and then waits for its flushes; every other CPU is
    interrupted meanwhile.

    Args:
        kernel: handle of the kernel's state; its charge is taken and set back to nothing.
        spent_ns: CPU time of the operation beside the charge.

    Returns:
        Time from now until the operation ends, if nobody interrupts it.
    """
    charge_lists(kernel)
    due, clock = charge(kernel), clock_of(clocks)[0]
    end_ns = now_ns + due.cpu_ns + spent_ns
    if due.lock_ns > 0:
        begin_ns = max(end_ns, clock.lock_free_ns)
        clock.lock_waited_ns += begin_ns - end_ns
        clock.lock_held_ns += due.lock_ns
        end_ns = begin_ns + due.lock_ns
        clock.lock_free_ns = end_ns
    if due.pending > 0:
        put_off(kernel, clocks, now_ns)
    end_ns += due.after_ns
    if due.flush_ns > 0:
        clock.interrupted_ns += due.interrupted_ns
        counted = counts(kernel)
        counted.flushes += due.flushes
        counted.full_flushes += due.full_flushes
        counted.flush_ns += due.flush_ns + due.interrupted_ns * (clock.cpus - 1)
    due.cpu_ns = due.lock_ns = due.after_ns = due.flushes = due.interrupted_ns = due.flush_ns = due.full_flushes = 0
    observe(kernel, now_ns)
    return int((end_ns - now_ns) * (1.0 + clock.drift))

"""Children that live the same plain life, step by step in compiled code, without a process each [design rule 5].

A child forks off, gets a CPU, opens a secret file, maps it, touches its page, sleeps until it is woken or goes on at
once, ends and is collected. Each step is an operation like any other: it changes the kernel's state when it begins,
is paid for, and ends in its turn among all operations. What a child does next is its `stage`.
"""

from typing import Final

from models.kernel.plain_tasks import end_task, fork_task, map_file, open_file, reap_task, touch_file
from models.kernel.room import plenty
from models.workloads.clocks import clock_of, pay, ranges
from models.workloads.cpu_queue import drop_row, idle, next_waiting, take_idle, take_row, wait
from models.workloads.cpus import SLICE_NS
from models.workloads.running import pop, push, replace_first
from models.workloads.seats import NOBODY, broods, queue_of, rows, seats
from simcore.compiled import jit

__all__ = [
    "END", "FORK", "GONE", "MAP", "OPEN", "REAP", "STAND", "TOUCH", "asks", "begin_fork", "begin_forks", "fork_asks",
    "fork_ended", "go_on", "proceed", "start_child", "wake_all",
]  # fmt: skip

FORK: Final = 3
"""Kind of a range of forks, beside those of faults (`models.workloads.burst`)."""
OPEN: Final = 0
MAP: Final = 1
TOUCH: Final = 2
STAND: Final = 3
END: Final = 4
REAP: Final = 5
GONE: Final = 6
"""What a child does next."""


@jit
def begin_fork(kernel: int, clocks: int, cpu: int, now_ns: int) -> int:
    """The parent on a CPU begins to fork its next child, `ranges[cpu].file`; returns when that ends."""
    wanted = ranges(clocks)[cpu]
    brood = broods(clocks)[wanted.mapping]
    number = take_row(clocks)
    row = rows(clocks)[number]
    row.task = fork_task(kernel, brood.plan, cpu, wanted.node, now_ns)
    row.brood, row.stage, row.cpu = wanted.mapping, OPEN, NOBODY
    wanted.file = number
    wanted.left -= 1
    wanted.done += 1
    brood.growing += 1
    brood.alive += 1
    brood.forked += 1
    return int(now_ns + pay(kernel, clocks, now_ns, brood.plan.fork_ns))


@jit
def begin_forks(
    kernel: int, clocks: int, cpu: int, brood: int, count: int, now_ns: int, slice_end_ns: int
) -> None:
    """Begin the first of so many forks by the parent on a CPU.

    Args:
        slice_end_ns: from when on the parent gives way, once a fork has ended, if others wait for a CPU.
    """
    wanted = ranges(clocks)[cpu]
    wanted.kind, wanted.mapping, wanted.node = FORK, brood, seats(clocks)[cpu].node
    wanted.left, wanted.done, wanted.out_of_memory, wanted.slice_end_ns = count, 0, 0, slice_end_ns
    push(clocks, cpu, begin_fork(kernel, clocks, cpu, now_ns))


@jit
def start_child(kernel: int, clocks: int, row: int, now_ns: int) -> None:
    """A child wants a CPU, and takes its next step if one is idle."""
    cpu = take_idle(clocks, rows(clocks)[row].cpu)
    if cpu == NOBODY:
        wait(clocks, row)
        return
    seat = seats(clocks)[cpu]
    seat.row, seat.began_ns = row, now_ns
    push(clocks, cpu, proceed(kernel, clocks, cpu, now_ns))


@jit
def wake_all(kernel: int, clocks: int, brood: int, now_ns: int) -> None:
    """All children that sleep want a CPU, in the order in which they fell asleep."""
    record = broods(clocks)[brood]
    row = record.first
    record.first = record.last = NOBODY
    while row != NOBODY:
        following = rows(clocks)[row].next
        start_child(kernel, clocks, row, now_ns)
        row = following


@jit
def fork_asks(kernel: int, clocks: int, cpu: int) -> bool:
    """Whether memory might not do for the parent's next fork, or for its new child's first steps."""
    idle_cpu = queue_of(clocks)[0].first_idle
    if not plenty(kernel, ranges(clocks)[cpu].node):
        return True
    return idle_cpu != NOBODY and not plenty(kernel, seats(clocks)[idle_cpu].node)


@jit
def fork_ended(kernel: int, clocks: int, cpu: int, now_ns: int) -> None:
    """The parent's operation, the first to end, has ended: the next fork begins, then the new child wants a CPU."""
    child = ranges(clocks)[cpu].file
    replace_first(clocks, begin_fork(kernel, clocks, cpu, now_ns))
    start_child(kernel, clocks, child, now_ns)


@jit
def proceed(kernel: int, clocks: int, cpu: int, now_ns: int) -> int:
    """The child that has a CPU takes its next step; returns when that ends, or NOBODY: it has given the CPU up."""
    seat = seats(clocks)[cpu]
    number, node = seat.row, seat.node
    row = rows(clocks)[number]
    brood = broods(clocks)[row.brood]
    shared = brood.plan
    if row.stage == STAND:
        brood.filled += 1
        brood.fault_ns += now_ns - row.touched_ns
        brood.growing -= 1
        row.stage = END
        if brood.holds:
            row.cpu = cpu
            row.next = NOBODY
            if brood.first == NOBODY:
                brood.first = number
            else:
                rows(clocks)[brood.last].next = number
            brood.last = number
            seat.row = NOBODY
            clock_of(clocks)[0].switches += 1
            return NOBODY
    stage = row.stage
    row.stage = stage + 1
    spent_ns = 0
    if stage == OPEN:
        row.file = open_file(kernel, shared, cpu, node, row.task, now_ns)
        spent_ns = shared.open_ns
    elif stage == MAP:
        row.mapping = map_file(kernel, shared, cpu, node, row.task, now_ns)
        spent_ns = shared.map_ns
    elif stage == TOUCH:
        row.touched_ns = now_ns
        touch_file(kernel, shared, cpu, node, row.file, row.mapping)
        brood.secret_pages += 1
        brood.secret_pages_peak = max(brood.secret_pages_peak, brood.secret_pages)
    elif stage == END:
        end_task(kernel, shared, cpu, node, row.task, row.file, row.mapping, now_ns)
        brood.secret_pages -= 1
        spent_ns = shared.exit_ns
    elif stage == REAP:
        reap_task(kernel, shared, cpu, node, row.task, now_ns)
        brood.ended += 1
        spent_ns = shared.reap_ns
    else:
        brood.alive -= 1
        drop_row(clocks, number)
        seat.row = NOBODY
        clock_of(clocks)[0].switches += 1
        return NOBODY
    return int(now_ns + pay(kernel, clocks, now_ns, spent_ns))


@jit
def _begins(clocks: int, row: int) -> bool:
    """Whether a row that gets a CPU begins an operation, and nobody has to be asked."""
    stage = rows(clocks)[row].stage
    return stage in (OPEN, TOUCH, END, REAP) or (stage == MAP and clock_of(clocks)[0].ticking > 0)


@jit
def asks(kernel: int, clocks: int, cpu: int, now_ns: int) -> bool:
    """Whether Python has to see to it that the child on a CPU goes on, now that its operation ends.

    That is so when a thread has to be woken, a process to be started, or memory might not do.
    """
    seat, clock = seats(clocks)[cpu], clock_of(clocks)[0]
    row, first = rows(clocks)[seat.row], queue_of(clocks)[0].first
    brood, stage = broods(clocks)[row.brood], row.stage
    if not plenty(kernel, seat.node):
        return True
    late = first != NOBODY and now_ns - seat.began_ns >= SLICE_NS
    if late or stage == GONE or (stage == STAND and brood.holds):
        if first != NOBODY and not _begins(clocks, first):
            return True
        if late:
            return False
    if stage == STAND:
        return bool(brood.growing == 1)
    if stage == GONE and brood.alive == 1:
        return True
    return (stage in (MAP, GONE)) and clock.ticking == 0


@jit
def go_on(kernel: int, clocks: int, cpu: int, now_ns: int) -> None:
    """The child's operation, the first to end, has ended and nobody asks: it goes on, or whoever gets the CPU next."""
    seat, queue, clock = seats(clocks)[cpu], queue_of(clocks)[0], clock_of(clocks)[0]
    end_ns = NOBODY
    if queue.first != NOBODY and now_ns - seat.began_ns >= SLICE_NS:
        clock.switches += 1
        rows(clocks)[seat.row].cpu = cpu
        following = next_waiting(clocks)
        wait(clocks, seat.row)
    else:
        end_ns = proceed(kernel, clocks, cpu, now_ns)
        if end_ns != NOBODY:
            replace_first(clocks, end_ns)
            return
        following = next_waiting(clocks)
    if following == NOBODY:
        pop(clocks)
        idle(clocks, cpu)
        return
    seat.row, seat.began_ns = following, now_ns
    replace_first(clocks, proceed(kernel, clocks, cpu, now_ns))

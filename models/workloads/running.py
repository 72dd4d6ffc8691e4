"""Operations in progress, in the order in which they will end.

An interrupt puts off the end of every operation in progress by the same time, except that of the operation which
caused it. So each is kept by its *ideal end*: its end less all that interrupts have cost any CPU since the run began
(`Clocks.clock.interrupted_ns`), taken when it began, with its own interrupts counted already. The ideal end never
changes, and neither does the order; the real one is the ideal end plus what interrupts have cost by now. Nothing has
to be done when an interrupt happens, whatever the number of CPUs.

Of two operations that end in the same nanosecond, the one that began first ends first.
"""

from models.workloads.clocks import clock_of, pay, running
from simcore.compiled import jit

__all__ = ["begin", "cancel", "next_end", "pop", "push", "replace_first"]


@jit
def _before(one: int, one_number: int, other: int, other_number: int) -> bool:
    return one < other or (one == other and one_number < other_number)


@jit
def _sift_down(clocks: int, at: int, ideal_end_ns: int, number: int, cpu: int) -> None:
    """Put an operation in at a place of the heap or below it."""
    heap, count = running(clocks), clock_of(clocks)[0].in_progress
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and _before(
            heap[child + 1].ideal_end_ns, heap[child + 1].number, heap[child].ideal_end_ns, heap[child].number
        ):
            child += 1
        if _before(ideal_end_ns, number, heap[child].ideal_end_ns, heap[child].number):
            break
        heap[at].ideal_end_ns, heap[at].number, heap[at].cpu = (
            heap[child].ideal_end_ns,
            heap[child].number,
            heap[child].cpu,
        )
        at = child
    heap[at].ideal_end_ns, heap[at].number, heap[at].cpu = ideal_end_ns, number, cpu


@jit
def _sift_up(clocks: int, at: int, ideal_end_ns: int, number: int, cpu: int) -> None:
    """Put an operation in at a place of the heap or above it."""
    heap = running(clocks)
    while at > 0:
        parent = (at - 1) // 2
        if not _before(ideal_end_ns, number, heap[parent].ideal_end_ns, heap[parent].number):
            break
        heap[at].ideal_end_ns, heap[at].number, heap[at].cpu = (
            heap[parent].ideal_end_ns,
            heap[parent].number,
            heap[parent].cpu,
        )
        at = parent
    heap[at].ideal_end_ns, heap[at].number, heap[at].cpu = ideal_end_ns, number, cpu


@jit
def push(clocks: int, cpu: int, end_ns: int) -> None:
    """A CPU's operation has begun; it ends at a time if nobody interrupts it from now on."""
    clock = clock_of(clocks)[0]
    clock.begun += 1
    clock.in_progress += 1
    _sift_up(clocks, clock.in_progress - 1, end_ns - clock.interrupted_ns, clock.begun, cpu)


@jit
def replace_first(clocks: int, end_ns: int) -> None:
    """The operation that ends first has ended, and the same CPU has begun another one."""
    clock = clock_of(clocks)[0]
    clock.begun += 1
    _sift_down(clocks, 0, end_ns - clock.interrupted_ns, clock.begun, running(clocks)[0].cpu)


@jit
def pop(clocks: int) -> None:
    """The operation that ends first has ended."""
    heap, clock = running(clocks), clock_of(clocks)[0]
    clock.in_progress -= 1
    last = heap[clock.in_progress]
    _sift_down(clocks, 0, last.ideal_end_ns, last.number, last.cpu)


@jit
def cancel(clocks: int, cpu: int) -> bool:
    """A CPU's operation will not end: its task was killed. Returns whether there was one."""
    heap, clock = running(clocks), clock_of(clocks)[0]
    for at in range(clock.in_progress):
        if heap[at].cpu == cpu:
            clock.in_progress -= 1
            last = heap[clock.in_progress]
            ideal_end_ns, number, other = last.ideal_end_ns, last.number, last.cpu
            if at == clock.in_progress:
                return True
            if _before(ideal_end_ns, number, heap[at].ideal_end_ns, heap[at].number):
                _sift_up(clocks, at, ideal_end_ns, number, other)
            else:
                _sift_down(clocks, at, ideal_end_ns, number, other)
            return True
    return False


@jit
def next_end(clocks: int) -> int:
    """When the next operation ends as things stand; only if any is in progress."""
    return int(running(clocks)[0].ideal_end_ns + clock_of(clocks)[0].interrupted_ns)


@jit
def begin(kernel: int, clocks: int, cpu: int, now_ns: int, spent_ns: int) -> int:
    """Begin an operation that has changed the kernel's state already: pay for it, and wait for its end.

    Returns:
        Time that it takes, if nobody interrupts it.
    """
    duration_ns = pay(kernel, clocks, now_ns, spent_ns)
    push(clocks, cpu, now_ns + duration_ns)
    return int(duration_ns)

"""Many faults of many CPUs in one event: as many as no other event can come between, in compiled code [design rule 5].

Each fault changes the kernel's state, is paid for, and noted at its own time, exactly as if it had an event of its
own. When a thread's fault ends and it wants another page, the next fault begins at once; nobody else has to be asked.
Operations end in the order that `models.workloads.running` keeps, which is the order in which one event per fault
would find them, and at the same instant other events come first. So the loop may go on until the next end is
not before the next other event, or belongs to a thread that has something else to do.
"""

from typing import Final

from models.kernel.address_space import touch_anon, touch_table
from models.kernel.layout import costs, counts
from models.kernel.observe import gather, observe_steps
from models.kernel.secret_pages import OUT_OF_MEMORY, fault_page
from models.kernel.secret_runs import fault_run, repeats
from models.workloads.brood_steps import FORK, asks, fork_asks, fork_ended, go_on
from models.workloads.clocks import clock_of, pay, ranges, running
from models.workloads.running import push, replace_first
from models.workloads.seats import NOBODY, queue_of, seats
from simcore.compiled import jit

__all__ = ["ANON", "CPU_BITS", "SECRET", "TABLE", "begin_range", "burst", "cut_ranges", "end_range", "take_done"]

SECRET: Final = 0
ANON: Final = 1
TABLE: Final = 2
CPU_BITS: Final = 12
"""Of what `burst` returns, the low bits say who must be asked."""
_WORTH_A_RUN: Final = 4
"""Faults in a row below which doing them together does not pay."""


@jit
def _fault(kernel: int, clocks: int, cpu: int, now_ns: int, node_cache: int, node_shift: int) -> int:
    """Begin a CPU's next fault; returns when it ends if nobody interrupts it."""
    wanted = ranges(clocks)[cpu]
    if wanted.kind == SECRET:
        good = (
            fault_page(kernel, cpu, wanted.node, wanted.mapping, wanted.file, wanted.index, node_cache, node_shift)
            != OUT_OF_MEMORY
        )
    elif wanted.kind == ANON:
        good = touch_anon(kernel, cpu, wanted.node, wanted.mapping, 1) == 1
    else:
        good = touch_table(kernel, cpu, wanted.node, wanted.mapping, 1) == 1
    if good:
        wanted.index += 1
        wanted.done += 1
        wanted.left -= 1
    else:
        wanted.left = 0
        wanted.out_of_memory = 1
    return int(now_ns + pay(kernel, clocks, now_ns, 0))


@jit
def begin_range(
    kernel: int, clocks: int, cpu: int, node: int, kind: int, mapping: int, file: int, index: int, count: int,
    now_ns: int, slice_end_ns: int, node_cache: int, node_shift: int,
) -> None:  # fmt: skip
    """Begin the first of a thread's faults, of pages one after the other.

    Args:
        kind: SECRET (policy `page`), ANON or TABLE (one page table per 2 MiB).
        index: of a secret mapping: its next page.
        count: pages wanted, at least 1.
        slice_end_ns: from when on the thread gives way, once a fault has ended, if others wait for a CPU.
    """
    wanted = ranges(clocks)[cpu]
    wanted.kind, wanted.mapping, wanted.file, wanted.index, wanted.node = kind, mapping, file, index, node
    wanted.left, wanted.done, wanted.out_of_memory, wanted.slice_end_ns = count, 0, 0, slice_end_ns
    push(clocks, cpu, _fault(kernel, clocks, cpu, now_ns, node_cache, node_shift))


@jit
def _free_of_others(clocks: int, kernel: int, now_ns: int, before_ns: int) -> int:
    """How many equal faults of the CPU that is first can begin from now on before anybody else's operation ends.

    0: the map lock is still held.
    """
    cost, clock, heap = costs(kernel), clock_of(clocks)[0], running(clocks)
    if clock.lock_free_ns > now_ns + cost.secret_fault:
        return 0
    step_ns = cost.secret_fault + cost.map_step + cost.flush_page
    most = (before_ns - now_ns - 1) // step_ns + 1
    if clock.in_progress > 1:
        other = heap[1].ideal_end_ns
        if clock.in_progress > 2:
            other = min(other, heap[2].ideal_end_ns)
        # Its own interrupts put the others off: seen against them, each fault takes that much less.
        ahead_ns, gain_ns = other - (now_ns - clock.interrupted_ns), step_ns - cost.interrupted
        if ahead_ns <= 0 or gain_ns <= 0:
            return 1
        most = min(most, (ahead_ns - 1) // gain_ns + 1)
    return int(most)


@jit
def _run(kernel: int, clocks: int, cpu: int, now_ns: int, most: int, node_cache: int, node_shift: int) -> bool:
    """Do equal faults of the CPU that is first, one after the other, and pay for them together; false: there is none.

    The first fault waits for nobody and neither do the others, so that all take the same time.
    """
    wanted, clock = ranges(clocks)[cpu], clock_of(clocks)[0]
    most = repeats(kernel, wanted.mapping, wanted.index, most)
    if most <= 0:
        return False
    gather(kernel)
    done = fault_run(kernel, cpu, wanted.node, wanted.mapping, wanted.file, node_cache, node_shift, most)
    if done == 0:
        return False
    cost, counted = costs(kernel), counts(kernel)
    step_ns = cost.secret_fault + cost.map_step + cost.flush_page
    clock.lock_held_ns += done * cost.map_step
    clock.lock_free_ns = now_ns + (done - 1) * step_ns + cost.secret_fault + cost.map_step
    clock.interrupted_ns += done * cost.interrupted
    counted.flushes += done
    counted.flush_ns += done * (cost.flush_page + cost.interrupted * (clock.cpus - 1))
    observe_steps(kernel, now_ns, step_ns, done)
    wanted.index += done
    wanted.done += done
    wanted.left -= done
    clock.begun += done - 1
    replace_first(clocks, now_ns + done * step_ns)
    return True


@jit
def set_range(
    clocks: int, cpu: int, node: int, kind: int, mapping: int, file: int, index: int, count: int
) -> None:
    """Say what a CPU's thread faults in; see `begin_range`."""
    wanted = ranges(clocks)[cpu]
    wanted.kind, wanted.mapping, wanted.file, wanted.index, wanted.node = kind, mapping, file, index, node
    wanted.left, wanted.done, wanted.out_of_memory, wanted.slice_end_ns = count, 0, 0, 0


@jit
def next_fault(kernel: int, clocks: int, cpu: int, now_ns: int, node_cache: int, node_shift: int) -> int:
    """One fault of a range on a machine's only CPU; returns the time that it takes, or -1 less it without memory."""
    duration_ns = _fault(kernel, clocks, cpu, now_ns, node_cache, node_shift) - now_ns
    return -1 - duration_ns if ranges(clocks)[cpu].out_of_memory else duration_ns


@jit
def burst(
    kernel: int, clocks: int, now_ns: int, before_ns: int, only: int, node_cache: int, node_shift: int
) -> int:
    """Let operations end and others follow, until somebody must be asked or another event is due.

    Args:
        now_ns: the clock; what is returned is relative to it.
        before_ns: time of the next other event.
        only: CPU whose faults alone may follow; NOBODY: all may.

    Returns:
        -1 when no operation is in progress. Else when the next one ends, in ns from now, shifted left by 12, plus one
        more than the CPU whose thread must be asked then; plus nothing when another event comes first.
    """
    clock, heap, wanted = clock_of(clocks)[0], running(clocks), ranges(clocks)
    while clock.in_progress > 0:
        cpu = heap[0].cpu
        end_ns = heap[0].ideal_end_ns + clock.interrupted_ns
        if end_ns >= before_ns:
            return int((end_ns - now_ns) << CPU_BITS)
        if seats(clocks)[cpu].row != NOBODY:
            if only != NOBODY or asks(kernel, clocks, cpu, end_ns):
                return int((end_ns - now_ns) << CPU_BITS | (cpu + 1))
            go_on(kernel, clocks, cpu, end_ns)
            continue
        contended = queue_of(clocks)[0].first != NOBODY
        if (
            wanted[cpu].left == 0
            or (contended and end_ns >= wanted[cpu].slice_end_ns)
            or (only != NOBODY and cpu != only)
        ):
            return int((end_ns - now_ns) << CPU_BITS | (cpu + 1))
        if wanted[cpu].kind == FORK:
            if fork_asks(kernel, clocks, cpu):
                return int((end_ns - now_ns) << CPU_BITS | (cpu + 1))
            fork_ended(kernel, clocks, cpu, end_ns)
            continue
        if wanted[cpu].kind == SECRET and wanted[cpu].left >= _WORTH_A_RUN:
            until_ns = min(before_ns, wanted[cpu].slice_end_ns) if contended else before_ns
            most = _free_of_others(clocks, kernel, end_ns, until_ns)
            if most >= _WORTH_A_RUN:
                most = min(most, wanted[cpu].left)
                if _run(kernel, clocks, cpu, end_ns, most, node_cache, node_shift):
                    continue
        replace_first(clocks, _fault(kernel, clocks, cpu, end_ns, node_cache, node_shift))
    return -1


@jit
def take_done(clocks: int, cpu: int) -> int:
    """Faults of a CPU begun that nobody has been told of; from now on they are told."""
    wanted = ranges(clocks)[cpu]
    done = wanted.done
    wanted.done = 0
    return int(done)


@jit
def end_range(clocks: int, cpu: int) -> int:
    """A thread has been asked: its range is over; returns `take_done`, or less than 0: the last found no memory.

    The value is then -1 less the faults done before.
    """
    wanted = ranges(clocks)[cpu]
    done = take_done(clocks, cpu)
    wanted.left = 0
    failed = wanted.out_of_memory
    wanted.out_of_memory = 0
    return int(-1 - done if failed else done)


@jit
def cut_ranges(clocks: int) -> None:
    """Let every thread be asked when its present fault ends."""
    wanted = ranges(clocks)
    for cpu in range(clock_of(clocks)[0].cpus):
        wanted[cpu].left = 0

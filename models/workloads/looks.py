"""Secret pages that are looked at as soon as they are there: many of them in one event [design rule 5].

Faults and looks take turns, and each takes its own time. While no other event is due and nobody waits for a CPU, nobody
can come between, and all of it is done in compiled code, as if each had an event of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.entities import Mapping, SecretFile
from models.kernel.layout import page_handle
from models.kernel.pages.layout import NONE, config, zones
from models.kernel.pool_chunks import hand_out
from models.kernel.secret_pages import OUT_OF_MEMORY, fault_page
from models.workloads.clocks import pay
from models.workloads.thread import Thread
from models.workloads.waits import Wait
from simcore.compiled import jit
from simcore.environment import LateTimeout

__all__ = ["touch_and_look"]

# How a run of faults and looks ended: all done; before the time of a fault or of a look had passed; after a fault that
# boosted a watermark, which the kernel's own threads are woken by; at a fault without memory.
_DONE, _IN_FAULT, _IN_LOOK, _BOOSTED, _FAILED = range(5)
_RESULTS: Final = 5


def touch_and_look(thread: Thread, mapping: Mapping, times: NDArray[np.int64]) -> Wait:
    """Fault in the next pages of a secret mapping, and look at each.

    Args:
        times: how long each look takes, in ns.

    Raises:
        Killed: as `Thread.touch_secret`.
    """
    done = 0
    while done < len(times):
        run = yield from _run(thread, mapping, times[done:])
        if run == 0:
            yield from thread.touch_secret(mapping)
            yield from _look(thread, int(times[done]))
            run = 1
        done += run


def _look(thread: Thread, time_ns: int) -> Wait:
    thread.system.kernel.spent_ns += time_ns
    return thread.spend()


def _room_pages(thread: Thread, mapping: Mapping, file: SecretFile, wanted: int) -> int:
    """How many of a mapping's next pages, the file's next too, may be faulted in while nobody can come between."""
    system = thread.system
    alone = (system.direct or system.single) and not system.operations.in_progress and not system.ranges.active
    if not alone or not system.cpus.calm or file.present != mapping.touched:
        return 0
    return system.kernel.fault_room_pages(mapping, wanted)


def _run(thread: Thread, mapping: Mapping, times: NDArray[np.int64]) -> Wait:
    """Do what faults and looks can be done in one event, and wait for the end of the last; returns how many."""
    system, file, cpu = thread.system, mapping.file, thread.cpu
    kernel, env = system.kernel, system.env
    assert file is not None
    at_hand, results = kernel.policy.at_hand(file), np.empty(_RESULTS, np.int64)
    room = min(_room_pages(thread, mapping, file, len(times)), at_hand.pages)
    if room <= 0:
        return 0
    _faults_and_looks(
        kernel.handle, system.clocks.handle, cpu, kernel.node_of[cpu], mapping.holder, file.holder, mapping.touched,
        at_hand.pfn, at_hand.removed, kernel.node_cache, kernel.node_shift,
        times[:room], env.now, env.next_event_ns, kernel.spent_ns, results,
    )  # fmt: skip
    ended, done, passed_ns, fault_ns, rest_ns = results.tolist()
    mapping.touched += done
    file.present += done
    kernel.charge_pages(file, done)
    kernel.policy.handed_out(file, done)
    system.secret_faults += done
    system.secret_fault_ns += fault_ns
    if done:
        kernel.spent_ns = 0
    if passed_ns and not env.pass_time(passed_ns):
        yield LateTimeout(env, passed_ns)
    kernel.now_ns = began_ns = env.now
    if ended == _DONE:
        return done
    if ended == _IN_LOOK:
        yield from thread.wait_out(rest_ns)
        return done
    try:
        if ended == _FAILED:
            yield from thread.spend()
            yield from thread.find_memory(costly=kernel.policy.costly)
        elif ended == _IN_FAULT:
            yield from thread.wait_out(rest_ns)
        else:
            yield from thread.give_way()
    finally:
        system.secret_fault_ns += env.now - began_ns
    if ended != _FAILED:
        yield from _look(thread, int(times[done - 1]))
    return done


@jit
def _boosted(kernel: int) -> bool:
    store = page_handle(kernel)
    for zone in range(config(store).zones):
        if zones(store)[zone].boosted:
            return True
    return False


@jit
def _faults_and_looks(
    kernel: int, clocks: int, cpu: int, node: int, mapping: int, file: int, index: int, pfn: int, removed: bool,
    node_cache: int, node_shift: int, times: NDArray[np.int64], now_ns: int, before_ns: int, spent_ns: int,
    results: NDArray[np.int64],
) -> None:  # fmt: skip
    """Fault in pages of a file, and look at each, until another event is due.

    Args:
        index: of the mapping and of the file: the next page.
        pfn, removed: see `models.kernel.secretmem.base.AtHand`.
        times: how long each look takes.
        before_ns: time of the next other event.
        spent_ns: CPU time that is still to be paid for.
        results: set to how it ended, pages got, time that has passed, how much of that was faults, and how long the
            last fault or look still takes.
    """
    results[:] = 0
    began_ns = now_ns
    for at in range(len(times)):
        if pfn == NONE:
            got = fault_page(kernel, cpu, node, mapping, file, index + at, node_cache, node_shift) != OUT_OF_MEMORY
        else:
            got = hand_out(kernel, cpu, node, mapping, file, index + at, pfn + at, removed, node_cache, node_shift)
        if not got:
            results[0] = _FAILED
            break
        results[1] += 1
        delay_ns = pay(kernel, clocks, now_ns, spent_ns)
        if now_ns + delay_ns >= before_ns:
            results[0], results[4] = _IN_FAULT, delay_ns
            break
        now_ns += delay_ns
        results[3] += delay_ns
        if _boosted(kernel):
            results[0] = _BOOSTED
            break
        delay_ns, spent_ns = pay(kernel, clocks, now_ns, times[at]), 0
        if now_ns + delay_ns >= before_ns:
            results[0], results[4] = _IN_LOOK, delay_ns
            break
        now_ns += delay_ns
    results[2] = now_ns - began_ns
